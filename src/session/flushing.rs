//! Flushes: asking the server for a sign that it has read all that was written, and taking the answer.

use alloc::vec::Vec;
use core::mem;
use core::task::{Poll, Waker};
use core::time::Duration;

use super::flush::{Asked, Flush, FlushError, FlushId, FlushState, Loss, Ping};
use super::machine::{PublisherId, Session};
use super::subscriber::SubscriptionEnd;
use crate::connection::{LinkError, Sid};
use crate::time::Instant;

impl Session {
    /// Asks the server for a sign that it has read all that was written before: published messages, subscriptions. The
    /// answer, with the time from the question's leaving to its coming, is read with [`Session::poll_flush`].
    ///
    /// What publishers hold back and who waits for room is not written yet.
    ///
    /// # Errors
    /// When there is no link, or the connection is over.
    pub fn begin_flush(&mut self, now: Instant) -> Result<FlushId, FlushError> {
        if let Some(reason) = self.connection.close_reason() {
            return Err(FlushError::Closed(reason.clone()));
        }
        if !self.connection.is_up() {
            return Err(FlushError::NoLink);
        }
        let asked = self.ask(now);
        self.flushes.made += 1;
        let id = FlushId(self.flushes.made);
        self.flushes.open.insert(id, Flush { state: FlushState::Open(asked), reader: None });
        self.flushes.has_unasked |= asked.is_none();
        self.wake_driver();
        Ok(id)
    }

    /// What became of a flush, and then it is forgotten; or nothing yet, and then the waker is woken when it is known.
    ///
    /// # Errors
    /// A flush ends with its link: nothing of it goes over to the next. One that is forgotten has no link.
    pub fn poll_flush(&mut self, id: FlushId, waker: &Waker) -> Poll<Result<Duration, FlushError>> {
        match self.flushes.open.remove(&id) {
            None => Poll::Ready(Err(FlushError::NoLink)),
            Some(Flush { state: FlushState::Over(result), .. }) => Poll::Ready(result),
            Some(Flush { state, .. }) => {
                self.flushes.open.insert(id, Flush { state, reader: Some(waker.clone()) });
                Poll::Pending
            }
        }
    }

    /// Forgets a flush whose answer nobody will read.
    pub fn give_up_flush(&mut self, id: FlushId) {
        self.flushes.open.remove(&id);
    }

    /// How often a link was lost with messages to core NATS that were not known to be read.
    pub fn losses(&self) -> u64 {
        self.flushes.losses
    }

    /// Why a link was lost the last time that [`Session::losses`] counts.
    pub fn last_loss(&self) -> Option<&LinkError> {
        self.flushes.last_loss.as_ref()
    }

    /// Ends a subscription once the server has answered behind what it had sent for it.
    pub(super) fn end_answered(&mut self, sid: Sid, asked: Option<u64>) {
        self.flushes.ending.push((sid, asked));
        self.flushes.has_unasked |= asked.is_none();
    }

    /// Sends a PING, unless the last one has all in front of it. `None` when it cannot be sent now.
    pub(super) fn ask(&mut self, now: Instant) -> Option<u64> {
        let (_, pushed) = self.connection.progress();
        if let Some(last) = self.flushes.pings.back().filter(|last| last.pushed == pushed) {
            return Some(last.number);
        }
        let number = self.flushes.pings_made + 1;
        if !self.connection.ping(number) {
            return None;
        }
        self.flushes.pings_made = number;
        let (_, pushed) = self.connection.progress();
        self.flushes.pings.push_back(Ping { number, pushed, asked_at: now, left_at: None });
        Some(number)
    }

    /// Asks for proof that the server has read all messages to core NATS, unless it is asked for already.
    pub(super) fn prove(&mut self, now: Instant) {
        let asked = self.flushes.pings.back().map(|last| last.pushed);
        let is_asked = |written| asked.is_some_and(|pushed| pushed >= written);
        if !self.is_proven() && !self.flushes.unproven.is_some_and(is_asked) {
            // A PING that cannot be sent now is sent when one of those before it is answered.
            self.ask(now);
            self.wake_driver();
        }
    }

    /// Notes that a message to core NATS was written.
    pub(super) fn wrote(&mut self) {
        let (_, pushed) = self.connection.progress();
        self.flushes.unproven = Some(pushed);
        self.flushes.unsent.push_back(pushed);
    }

    /// Whether the server is known to have read all messages to core NATS.
    pub(super) fn is_proven(&self) -> bool {
        self.flushes.unproven.is_none_or(|written| written <= self.connection.proven())
    }

    /// Whether nothing that was asked of this link is unanswered.
    pub(super) fn is_answered(&self) -> bool {
        self.flushes.pings.is_empty() && self.is_proven()
    }

    /// Asks for the publishers that want to know whether the server has read what they wrote.
    pub(super) fn ask_for_publishers(&mut self, now: Instant) {
        let wanting: Vec<PublisherId> =
            self.seats.iter_mut().filter_map(|(id, seat)| seat.publisher.poll_proof().then_some(*id)).collect();
        if wanting.is_empty() {
            return;
        }
        let asked = self.ask(now);
        for id in wanting {
            let Some(seat) = self.seats.get_mut(&id) else { continue };
            seat.proof = asked;
            if asked.is_none() {
                seat.publisher.handle_unasked(now);
            }
        }
    }

    /// Notes which PINGs have left, and asks for those who could not ask yet.
    pub(super) fn settle_flushes(&mut self, now: Instant) {
        let (transmitted, _) = self.connection.progress();
        while self.flushes.unsent.front().is_some_and(|end| *end <= transmitted) {
            self.flushes.unsent.pop_front();
        }
        if self.is_proven() {
            self.flushes.unproven = None;
        }
        for ping in self.flushes.pings.iter_mut().rev().take_while(|ping| ping.left_at.is_none()) {
            ping.left_at = (ping.pushed <= transmitted).then_some(now);
        }
        if self.flushes.has_unasked
            && let Some(number) = self.ask(now)
        {
            self.flushes.asked(number);
        }
    }

    /// The server has answered this PING.
    pub(super) fn answered(&mut self, number: u64, now: Instant) {
        let flushes = &mut self.flushes;
        let Some(ping) = flushes.pings.pop_front().filter(|ping| ping.number == number) else { return };
        let took = now.since(ping.left_at.unwrap_or(ping.asked_at));
        for flush in flushes.open.values_mut() {
            if matches!(flush.state, FlushState::Open(Some(asked)) if asked == number) {
                flush.state = FlushState::Over(Ok(took));
                self.woken.extend(flush.reader.take());
            }
        }
        for seat in self.seats.values_mut().filter(|seat| seat.proof == Some(number)) {
            seat.proof = None;
            seat.publisher.handle_read(now);
        }
        let is_answered = |(_, asked): &mut (Sid, Asked)| *asked == Some(number);
        for (sid, _) in self.flushes.ending.extract_if(.., is_answered).collect::<Vec<_>>() {
            self.connection.unsubscribe(sid);
            if let Some(subscriber) = self.subscribers.get_mut(&sid) {
                subscriber.end(SubscriptionEnd::Drained, &mut self.woken);
            }
        }
    }

    /// The link is gone: nothing that was asked of it will be answered.
    pub(super) fn fail_flushes(&mut self, error: &FlushError) -> Loss {
        let flushes = &mut self.flushes;
        let mut is_possible = flushes.unproven.take().is_some();
        let unsent = mem::take(&mut flushes.unsent).len() as u64;
        if let (true, FlushError::LinkLost(cause)) = (is_possible, error) {
            flushes.losses += 1;
            flushes.last_loss = Some(cause.clone());
        }
        flushes.pings.clear();
        flushes.has_unasked = false;
        for flush in flushes.open.values_mut() {
            if matches!(flush.state, FlushState::Open(_)) {
                flush.state = FlushState::Over(Err(error.clone()));
                self.woken.extend(flush.reader.take());
            }
        }
        for (sid, _) in mem::take(&mut flushes.ending) {
            if let (Some(subscriber), FlushError::LinkLost(cause)) = (self.subscribers.get_mut(&sid), error) {
                is_possible |= !subscriber.has_ended();
                subscriber.end(SubscriptionEnd::LinkLost(cause.clone()), &mut self.woken);
            }
        }
        Loss { unsent, is_possible }
    }
}
