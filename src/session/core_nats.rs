//! What handles ask of core NATS: subscriptions, publishes and requests, at most once each.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::task::Waker;

use super::SessionError;
use super::line::Ticket;
use super::machine::Session;
use super::notice::{LinkNotice, RequestError};
use super::subscriber::{Received, Subscriber, SubscriptionEnd, SubscriptionLimits};
use crate::connection::{PublishError, Sid};
use crate::proto::{HeaderBlock, Pattern, ServerError, Subject, SubjectBuf, encode};
use crate::time::Instant;

impl Session {
    /// Subscribes, in a queue group or alone. Of the messages that wait for their reader as many are kept as the limits
    /// allow; more are dropped and counted, and a [`LinkNotice::SlowConsumer`] tells of it.
    ///
    /// # Errors
    /// When the connection is over or drains, has as many subscriptions as its limit allows, or a link that takes nothing,
    /// and when the server would close the link over it.
    pub fn subscribe(
        &mut self,
        subject: Pattern,
        queue: Option<SubjectBuf>,
        limits: SubscriptionLimits,
    ) -> Result<Sid, SessionError> {
        self.check_open()?;
        if self.is_draining() {
            return Err(SessionError::Draining);
        }
        if !self.connection.takes_subscriptions() {
            return Err(SessionError::NoRoom);
        }
        let len = encode::sub_line_len(&subject, queue.as_ref().map(SubjectBuf::as_subject));
        if len > encode::CONTROL_LINE_MAX {
            return Err(SessionError::ControlLine { len });
        }
        let subscriber = Subscriber::new(subject.as_str(), limits);
        let sid = self.connection.subscribe(subject, queue).ok_or(SessionError::TooManySubscriptions)?;
        self.subscribers.insert(sid, subscriber);
        self.wake_driver();
        Ok(sid)
    }

    /// Ends a subscription, and drops what waits for its reader.
    pub fn unsubscribe(&mut self, sid: Sid) {
        self.connection.unsubscribe(sid);
        self.subscribers.remove(&sid);
        self.settle_drain(self.now);
        self.wake_driver();
    }

    /// Ends a subscription once it has received `max` messages in all, those before this included, on whatever links.
    /// Those that are dropped because the reader is slow count as well. What waits can still be read.
    pub fn unsubscribe_after(&mut self, sid: Sid, max: u64) {
        self.connection.unsubscribe_after(sid, max);
        if !self.connection.is_subscribed(sid)
            && let Some(subscriber) = self.subscribers.get_mut(&sid)
        {
            subscriber.end(SubscriptionEnd::Complete, &mut self.woken);
        }
        self.wake_driver();
    }

    /// Ends a subscription in an orderly way: the server sends no more, and what it had sent before is still received
    /// and read.
    pub fn drain_subscription(&mut self, sid: Sid, now: Instant) {
        let Some(subscriber) = self.subscribers.get_mut(&sid).filter(|subscriber| !subscriber.has_ended()) else {
            return;
        };
        if self.connection.drain(sid) {
            let asked = self.ask(now);
            self.end_answered(sid, asked);
            self.wake_driver();
        } else {
            subscriber.end(SubscriptionEnd::Drained, &mut self.woken);
        }
    }

    /// The next message of a subscription, or none yet, and then the waker is woken when there is one, or the
    /// subscription has ended.
    pub fn next_received(&mut self, sid: Sid, waker: &Waker) -> Option<Received> {
        let received = self.subscribers.get_mut(&sid)?.next(waker);
        self.settle_drain(self.now);
        received
    }

    /// Why a subscription gives no more messages, once all that waited is read.
    pub fn subscription_end(&self, sid: Sid) -> Option<SubscriptionEnd> {
        match self.subscribers.get(&sid) {
            Some(subscriber) => subscriber.over().cloned(),
            None => Some(SubscriptionEnd::Unsubscribed),
        }
    }

    /// Messages that a slow reader has missed.
    pub fn dropped(&self, sid: Sid) -> u64 {
        self.subscribers.get(&sid).map_or(0, Subscriber::dropped)
    }

    /// Publishes to core NATS: at most once. `ticket` is the caller's place in the line, if it has one.
    ///
    /// It is written to the present link or not at all: nothing is kept for a later one. When the link is lost before
    /// the server has read it, it is lost: a flush tells, and a [`LinkNotice::Unsent`] of those that had not even left.
    ///
    /// # Errors
    /// Nothing was written then. `NoLink` and `NoRoom` pass; who waits for that in line is served in turn.
    pub fn publish(
        &mut self,
        ticket: Option<Ticket>,
        subject: Subject<'_>,
        reply: Option<Subject<'_>>,
        headers: Option<&HeaderBlock>,
        payload: &[u8],
    ) -> Result<(), PublishError> {
        self.check_turn(ticket)?;
        self.connection.publish(subject, reply, headers, payload)?;
        self.wrote();
        self.wake_driver();
        Ok(())
    }

    /// Asks: publishes with an inbox of its own for one answer, which is read as from a subscription.
    ///
    /// # Errors
    /// As for [`Session::publish`] and [`Session::subscribe`]. Nothing was written then.
    pub fn request(
        &mut self,
        ticket: Option<Ticket>,
        subject: Subject<'_>,
        headers: Option<&HeaderBlock>,
        payload: &[u8],
    ) -> Result<Sid, RequestError> {
        self.check_turn(ticket)?;
        self.connection.check_publish(subject, None, headers, payload)?;
        self.inboxes_made += 1;
        let inbox = format!("{}{}", self.connection.inbox_root(), self.inboxes_made);
        let reply = Subject::new(&inbox).map_err(SessionError::InboxPrefix)?;
        let pattern = Pattern::new(inbox.as_str()).map_err(SessionError::InboxPrefix)?;
        let sid = self.connection.subscribe(pattern, None).ok_or(SessionError::TooManySubscriptions)?;
        self.connection.unsubscribe_after(sid, 1);
        let published = self.connection.publish(subject, Some(reply), headers, payload);
        self.wake_driver();
        if let Err(error) = published {
            self.connection.unsubscribe(sid);
            return Err(error.into());
        }
        self.wrote();
        let mut subscriber = Subscriber::new(&inbox, SubscriptionLimits::messages(1));
        subscriber.question = Some(subject.as_str().to_string());
        self.subscribers.insert(sid, subscriber);
        Ok(sid)
    }

    /// Waits in line for a link with room; the place is written into `ticket` and must be given back with
    /// [`Session::leave_line`].
    pub fn wait_in_line(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) {
        self.line.wait(ticket, waker);
    }

    /// Gives a place in the line back.
    pub fn leave_line(&mut self, ticket: Ticket) {
        self.line.leave(ticket);
        self.line.wake_first(&mut self.woken);
    }

    /// A message has come for a subscriber.
    pub(super) fn received(&mut self, is_slow: bool, sid: Sid) {
        let Some(subscriber) = self.subscribers.get_mut(&sid) else { return };
        if !self.connection.is_subscribed(sid) {
            subscriber.end(SubscriptionEnd::Complete, &mut self.woken);
        }
        if is_slow {
            let (subject, dropped) = (subscriber.subject.clone(), subscriber.dropped());
            self.note(LinkNotice::SlowConsumer { subject, dropped });
        }
    }

    /// Ends those that the server refuses.
    pub(super) fn deny_subscribers(&mut self, error: &ServerError) {
        let denied: Vec<Sid> = match error {
            ServerError::PermissionsViolationForSubscription { subject, queue } => {
                self.connection.subscriptions_to(subject, queue.as_deref()).collect()
            }
            ServerError::PermissionsViolationForPublish { subject } => {
                self.asking(|subscriber| subscriber.question.as_ref() == Some(subject)).collect()
            }
            ServerError::PermissionsViolationForReply { reply } => {
                self.asking(|subscriber| subscriber.question.is_some() && subscriber.subject == *reply).collect()
            }
            _ => return,
        };
        for sid in denied {
            // What belongs to a publisher is the publisher's to end.
            if let Some(subscriber) = self.subscribers.get_mut(&sid) {
                subscriber.end(SubscriptionEnd::Denied(error.clone()), &mut self.woken);
                self.connection.unsubscribe(sid);
            }
        }
    }

    fn asking(&self, is_meant: impl Fn(&Subscriber) -> bool) -> impl Iterator<Item = Sid> {
        self.subscribers.iter().filter(move |(_, subscriber)| is_meant(subscriber)).map(|(sid, _)| *sid)
    }

    fn check_turn(&self, ticket: Option<Ticket>) -> Result<(), PublishError> {
        if self.is_sealed() && self.connection.close_reason().is_none() {
            return Err(PublishError::Draining);
        }
        if self.leaving.is_some() {
            return Err(PublishError::NoLink);
        }
        if !self.line.is_first(ticket) {
            return Err(PublishError::NoRoom);
        }
        Ok(())
    }
}
