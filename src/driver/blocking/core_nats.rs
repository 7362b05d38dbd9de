//! Core NATS, for threads that wait: publish, subscribe, request and flush.

use std::time::Duration;

use super::Client;
use super::park::{wait, wait_for};
use crate::connection::PublishError;
use crate::driver::handles;
use crate::proto::{HeaderBlock, Pattern, Subject, SubjectBuf};
use crate::session::{FlushError, Received, RequestError, SessionError, SubscriptionEnd, SubscriptionLimits};

impl Client {
    /// Publishes to core NATS, at most once: waits for a link with room, and writes it there.
    ///
    /// Who waits is served first come, first served; while there is no link it waits for one. Nothing is kept for a later
    /// link: what was written when a link is lost may be lost with it, and [`Client::flush`] tells whether the server has
    /// read it.
    ///
    /// # Errors
    /// When the message is larger than the server takes, or the connection drains or is over. Nothing was written then.
    pub fn publish(
        &self,
        subject: Subject<'_>,
        reply: Option<Subject<'_>>,
        headers: Option<&HeaderBlock>,
        payload: &[u8],
    ) -> Result<(), PublishError> {
        wait_for(self.0.publish(subject, reply, headers, payload))
    }

    /// As [`Client::publish`], but without waiting.
    ///
    /// # Errors
    /// Also when there is no link or no room, or others wait for that.
    pub fn try_publish(
        &self,
        subject: Subject<'_>,
        reply: Option<Subject<'_>>,
        headers: Option<&HeaderBlock>,
        payload: &[u8],
    ) -> Result<(), PublishError> {
        self.0.try_publish(subject, reply, headers, payload)
    }

    /// Subscribes, with the default limits on what waits to be read.
    ///
    /// The server hears of it before anything that is published afterwards through this client.
    ///
    /// # Errors
    /// When the connection is over or drains, or has as many subscriptions as its limit allows. That the server refuses
    /// it is told later: it ends then.
    pub fn subscribe(&self, pattern: Pattern) -> Result<Subscription, SessionError> {
        self.0.subscribe(pattern).map(Subscription)
    }

    /// As [`Client::subscribe`], as a member of a queue group: each message goes to one of its members.
    ///
    /// # Errors
    /// As for [`Client::subscribe`].
    pub fn queue_subscribe(&self, pattern: Pattern, queue: SubjectBuf) -> Result<Subscription, SessionError> {
        self.0.queue_subscribe(pattern, queue).map(Subscription)
    }

    /// As [`Client::subscribe`], with limits of its own.
    ///
    /// # Errors
    /// As for [`Client::subscribe`].
    pub fn subscribe_with(
        &self,
        pattern: Pattern,
        queue: Option<SubjectBuf>,
        limits: SubscriptionLimits,
    ) -> Result<Subscription, SessionError> {
        self.0.subscribe_with(pattern, queue, limits).map(Subscription)
    }

    /// Asks, and waits for one answer: for a link with room first, all within `patience`. A link that is lost meanwhile
    /// ends nothing: the answer may come over the next.
    ///
    /// # Errors
    /// When there is no link to ask over, nobody listens or answers, the server refuses the question, or the connection is
    /// over.
    pub fn request(&self, subject: Subject<'_>, payload: &[u8], patience: Duration) -> Result<Received, RequestError> {
        self.request_with_headers(subject, None, payload, patience)
    }

    /// As [`Client::request`], with headers.
    ///
    /// # Errors
    /// As for [`Client::request`].
    pub fn request_with_headers(
        &self,
        subject: Subject<'_>,
        headers: Option<&HeaderBlock>,
        payload: &[u8],
        patience: Duration,
    ) -> Result<Received, RequestError> {
        let mut is_asked = false;
        match wait(self.0.ask(subject, headers, payload, &mut is_asked), patience) {
            Some(answer) => answer,
            None if is_asked => Err(RequestError::NoAnswer),
            None => Err(RequestError::NoLink),
        }
    }

    /// Waits until the server has read all that was published to core NATS through this handle, and all that was
    /// subscribed. What publishers have in flight is for [`Publisher::settled`](super::Publisher::settled) to wait for.
    ///
    /// It is answered over the link on which it was asked, or not at all. Clones count what is published through them
    /// each for itself.
    ///
    /// # Errors
    /// When it is not known that all was read: a link was lost since this handle was last flushed and messages may be lost
    /// with it, which is told once; there is no link; or the answer does not come within `patience`.
    pub fn flush(&self, patience: Duration) -> Result<(), FlushError> {
        wait(self.0.flushed(), patience).unwrap_or(Err(FlushError::NoAnswer))
    }

    /// The time from the leaving of a PING, behind all that was written before, to the coming of its PONG.
    ///
    /// # Errors
    /// When there is no link, it is lost before the answer, or the answer does not come within `patience`.
    pub fn rtt(&self, patience: Duration) -> Result<Duration, FlushError> {
        wait(self.0.pinged(), patience).unwrap_or(Err(FlushError::NoAnswer))
    }
}

/// A subscription to core NATS: messages come at most once, in the order in which the server gives them out. It outlives
/// links; what is published while there is none, or was on its way when one was lost, is missed.
///
/// Dropped, it is unsubscribed, and what waits to be read is dropped. It keeps the connection open.
///
/// ```no_run
/// use std::time::Duration;
///
/// use natsink::blocking;
/// use natsink::proto::Pattern;
///
/// let client = blocking::connect("nats://127.0.0.1:4222")?;
/// let mut orders = client.subscribe(Pattern::new("orders.>")?)?;
/// while let Some(message) = orders.next(Duration::MAX) {
///     println!("{:?}: {} bytes", message.subject, message.payload.len());
/// }
/// println!("{:?}", orders.end());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Subscription(handles::Subscription);

impl Subscription {
    /// Waits for the next message. `None` when none came for so long, or the subscription has ended and all that waited is
    /// read; [`Subscription::end`] tells which, and why.
    pub fn next(&mut self, patience: Duration) -> Option<Received> {
        wait(self.0.next(), patience).flatten()
    }

    /// Ends it after `max` messages in all, those before this included, on whatever links: no more are given, and the
    /// server sends no more. Messages that were dropped because they were read too slowly count as well.
    pub fn unsubscribe_after(&self, max: u64) {
        self.0.unsubscribe_after(max);
    }

    /// Ends it in an orderly way: the server is told to send no more, what it had sent before can still be read, and then
    /// [`Subscription::next`] gives `None`.
    pub fn drain(&self) {
        self.0.drain();
    }

    /// Ends it at once, as dropping it does.
    pub fn unsubscribe(self) {
        self.0.unsubscribe();
    }

    /// Messages that were dropped since more waited than the limits allow.
    pub fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    /// Why it gives no more messages; `None` while there are some to be read, or may be.
    pub fn end(&self) -> Option<SubscriptionEnd> {
        self.0.end()
    }
}
