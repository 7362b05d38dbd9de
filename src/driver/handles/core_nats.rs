//! Core NATS through a client's handle: publish, subscribe, request and flush. The futures need no runtime.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use super::client::Client;
use super::handle::Handle;
use super::subscription::Subscription;
use crate::connection::{LinkError, PublishError, Sid};
use crate::proto::{HeaderBlock, Pattern, Subject, SubjectBuf};
use crate::session::{
    FlushError, FlushId, Received, RequestError, Session, SessionError, SubscriptionEnd, SubscriptionLimits, Ticket,
};

impl Client {
    /// Publishes to core NATS, at most once: waits for a link with room, and writes it there.
    ///
    /// Who waits is served first come, first served; while there is no link it waits for one. Nothing is kept for a later
    /// link: what was written when a link is lost may be lost with it. [`Client::flush`] tells whether the server has read
    /// it, and a [`LinkNotice::Unsent`](crate::session::LinkNotice::Unsent) counts what had not even left. Dropped while it
    /// waits, nothing was written; once it is ready, all of it.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use natsink::proto::Subject;
    ///
    /// let client = natsink::connect("nats://127.0.0.1:4222").await?;
    /// client.publish(Subject::new("greetings")?, None, None, b"hello").await?;
    /// client.flush(Duration::from_secs(5)).await?; // the server has read it
    /// let answer = client.request(Subject::new("time")?, b"now?", Duration::from_secs(1)).await?;
    /// println!("{:?}", answer.payload);
    /// client.drain(Duration::from_secs(5)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the message is larger than the server takes, or the connection drains or is over. Nothing was written then.
    pub async fn publish(
        &self,
        subject: Subject<'_>,
        reply: Option<Subject<'_>>,
        headers: Option<&HeaderBlock>,
        payload: &[u8],
    ) -> Result<(), PublishError> {
        Turn::new(self, |session, ticket| match session.publish(ticket, subject, reply, headers, payload) {
            Err(PublishError::NoLink | PublishError::NoRoom) => None,
            result => Some(self.published(session, result)),
        })
        .await
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
        self.handle().shared.with(|session| {
            let result = session.publish(None, subject, reply, headers, payload);
            self.published(session, result)
        })
    }

    /// Subscribes, with the default limits on what waits to be read.
    ///
    /// The server hears of it before anything that is published afterwards through this client.
    ///
    /// # Errors
    /// When the connection is over or drains, or has as many subscriptions as its limit allows. That the server refuses
    /// it is told later: it ends then.
    pub fn subscribe(&self, pattern: Pattern) -> Result<Subscription, SessionError> {
        self.subscribe_with(pattern, None, SubscriptionLimits::default())
    }

    /// As [`Client::subscribe`], as a member of a queue group: each message goes to one of its members.
    ///
    /// # Errors
    /// As for [`Client::subscribe`].
    pub fn queue_subscribe(&self, pattern: Pattern, queue: SubjectBuf) -> Result<Subscription, SessionError> {
        self.subscribe_with(pattern, Some(queue), SubscriptionLimits::default())
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
        let sid = self.handle().shared.with(|session| session.subscribe(pattern, queue, limits))?;
        Ok(Subscription::new(Arc::clone(self.handle()), sid))
    }

    /// Asks as soon as there is a link with room, notes that in `is_asked`, and waits for the answer. Dropped before,
    /// nothing was asked; dropped later, an answer that still comes is dropped too.
    pub(in crate::driver) async fn ask(
        &self,
        subject: Subject<'_>,
        headers: Option<&HeaderBlock>,
        payload: &[u8],
        is_asked: &mut bool,
    ) -> Result<Received, RequestError> {
        let asked = Turn::new(self, |session, ticket| match session.request(ticket, subject, headers, payload) {
            Err(RequestError::Publish(PublishError::NoLink | PublishError::NoRoom)) => None,
            result => Some(result),
        });
        let question = Question { handle: self.handle(), sid: asked.await? };
        *is_asked = true;
        question.answer().await
    }

    /// Waits until the server has read all that was published through this handle. Dropped, nothing has happened.
    pub(in crate::driver) async fn flushed(&self) -> Result<(), FlushError> {
        let mut unflushed = Unflushed::take(self);
        let answer = self.pinged().await;
        if !matches!(answer, Ok(_) | Err(FlushError::LinkLost(_))) {
            return answer.map(drop);
        }
        // The link that has answered need not be the one that took the messages.
        match unflushed.told() {
            Some(cause) => Err(FlushError::LinkLost(cause)),
            None => answer.map(drop),
        }
    }

    /// Waits until the server has answered a PING behind all that was written, and gives the time that this took.
    /// Dropped, nothing has happened.
    pub(in crate::driver) async fn pinged(&self) -> Result<Duration, FlushError> {
        let handle = self.handle();
        let id = handle.shared.with_now(|session, now| session.begin_flush(now))?;
        let flush = Flush { handle, id };
        poll_fn(|cx| flush.handle.shared.with(|session| session.poll_flush(flush.id, cx.waker()))).await
    }

    /// Remembers when the first message was published that is not flushed yet.
    fn published(&self, session: &Session, result: Result<(), PublishError>) -> Result<(), PublishError> {
        if result.is_ok() && self.unflushed.load(Relaxed) == 0 {
            self.unflushed.store(session.losses() + 1, Relaxed);
        }
        result
    }
}

/// What a handle had published and is about to flush. Dropped, it is as it was.
struct Unflushed<'a> {
    client: &'a Client,
    since: u64,
}

impl<'a> Unflushed<'a> {
    fn take(client: &'a Client) -> Self {
        let since = client.handle().shared.with(|_| client.unflushed.swap(0, Relaxed));
        Self { client, since }
    }

    /// All of it is read or lost by now: the link that was lost, if one was.
    fn told(&mut self) -> Option<LinkError> {
        let since = mem::take(&mut self.since);
        self.client.handle().shared.with(|session| {
            let is_lost = since > 0 && session.losses() >= since;
            session.last_loss().filter(|_| is_lost).cloned()
        })
    }
}

impl Drop for Unflushed<'_> {
    fn drop(&mut self) {
        let Self { client, since: since @ 1.. } = *self else { return };
        client.handle().shared.with(|_| {
            let later = client.unflushed.load(Relaxed);
            client.unflushed.store(if later == 0 { since } else { since.min(later) }, Relaxed);
        });
    }
}

/// A question that was asked. Dropped, an answer that still comes is dropped too.
struct Question<'a> {
    handle: &'a Handle,
    sid: Sid,
}

impl Question<'_> {
    /// Waits for the answer.
    async fn answer(self) -> Result<Received, RequestError> {
        let received = poll_fn(|cx| {
            self.handle.shared.with(|session| match session.next_received(self.sid, cx.waker()) {
                Some(received) => Poll::Ready(Ok(received)),
                None => match session.subscription_end(self.sid) {
                    None => Poll::Pending,
                    Some(SubscriptionEnd::Denied(error)) => Poll::Ready(Err(RequestError::Denied(error))),
                    Some(SubscriptionEnd::Closed(reason)) => Poll::Ready(Err(SessionError::Closed(reason).into())),
                    Some(_) => Poll::Ready(Err(RequestError::NoAnswer)),
                },
            })
        })
        .await?;
        match received.status {
            Some(503) if received.payload.is_empty() => Err(RequestError::NoResponders),
            _ => Ok(received),
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.handle.shared.with(|session| session.unsubscribe(self.sid));
    }
}

/// A flush that somebody waits for, given up when they do no more.
struct Flush<'a> {
    handle: &'a Handle,
    id: FlushId,
}

impl Drop for Flush<'_> {
    fn drop(&mut self) {
        self.handle.shared.with(|session| session.give_up_flush(self.id));
    }
}

/// Waiting in line for a link with room, and giving the place back however it ends.
struct Turn<'a, F> {
    client: &'a Client,
    attempt: F,
    ticket: Option<Ticket>,
}

impl<'a, T, F> Turn<'a, F>
where
    F: FnMut(&mut Session, Option<Ticket>) -> Option<T> + Unpin,
{
    fn new(client: &'a Client, attempt: F) -> Self {
        Self { client, attempt, ticket: None }
    }
}

impl<T, F> Future for Turn<'_, F>
where
    F: FnMut(&mut Session, Option<Ticket>) -> Option<T> + Unpin,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self { client, attempt, ticket } = &mut *self;
        client.handle().shared.with(|session| match attempt(session, *ticket) {
            Some(result) => Poll::Ready(result),
            None => {
                session.wait_in_line(ticket, cx.waker());
                Poll::Pending
            }
        })
    }
}

impl<F> Drop for Turn<'_, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.client.handle().shared.with(|session| session.leave_line(ticket));
        }
    }
}
