//! What handles ask of a session: publishers and subscriptions made and ended, messages taken, outcomes given.

use alloc::format;
use alloc::vec::Vec;
use core::task::Waker;

use super::SessionError;
use super::line::Ticket;
use super::machine::{PublisherId, Session};
use super::seat::Seat;
use crate::connection::{CloseReason, LinkError};
use crate::jetstream::{AckSlot, Message, Outcome, Publisher, PublisherOptions, SubmitError};
use crate::proto::{Pattern, Subject, is_token};
use crate::time::Instant;

impl Session {
    /// Adds a publisher.
    ///
    /// # Errors
    /// When the connection is over or drains, or has as many subscriptions as its limit allows, or a name in the options
    /// is none.
    pub fn add_publisher(&mut self, options: PublisherOptions, now: Instant) -> Result<PublisherId, SessionError> {
        self.check_open()?;
        if self.is_draining() {
            return Err(SessionError::Draining);
        }
        if options.stream.as_ref().is_some_and(|stream| !is_token(stream)) {
            return Err(SessionError::StreamName);
        }
        let stream = options.stream.as_deref().unwrap_or("any");
        Subject::new(&format!("{}.STREAM.MSG.GET.{stream}", options.api_prefix)).map_err(SessionError::ApiPrefix)?;
        self.inboxes_made += 1;
        let number = self.inboxes_made;
        let reply_root = format!("{}{number}.", self.connection.inbox_root());
        let inbox = Pattern::new(format!("{reply_root}*")).map_err(SessionError::InboxPrefix)?;
        let sid = self.connection.subscribe(inbox, None).ok_or(SessionError::TooManySubscriptions)?;
        let own_id_root = format!("{:016x}.{number}.", self.run);
        let mut publisher = Publisher::new(options, reply_root, own_id_root);
        if self.connection.is_up()
            && let Some(info) = self.connection.info()
        {
            publisher.handle_connected(info, now);
        }
        let id = PublisherId(number);
        self.seats.insert(id, Seat::new(publisher, sid));
        self.pump(now);
        self.wake_driver();
        Ok(id)
    }

    /// Ends a publisher. What it had not settled is `Unknown`; outcomes can still be read until it is removed.
    pub fn close_publisher(&mut self, id: PublisherId) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.publisher.close();
            seat.publisher.take_woken(&mut self.woken);
            seat.wake_all(&mut self.woken);
            // Who waits for the stream to be looked at will not see it.
            self.state_watchers.wake(&mut self.woken);
            self.connection.unsubscribe(seat.sid);
            self.settle_drain(self.now);
            self.wake_driver();
        }
    }

    /// Forgets a publisher and its unread outcomes.
    pub fn remove_publisher(&mut self, id: PublisherId) {
        self.close_publisher(id);
        self.seats.remove(&id);
    }

    /// Takes a message for this publisher; its outcome will come under `tag`. `ticket` is the caller's place in the
    /// queue, if it has one.
    ///
    /// # Errors
    /// See [`SubmitError`]; nothing was sent then. `Full` also while others wait in the queue, `Closed` also once a drain
    /// takes nothing new.
    pub fn submit(
        &mut self,
        id: PublisherId,
        ticket: Option<Ticket>,
        tag: u64,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<(), SubmitError> {
        self.seat(id)?.submit(ticket, tag, message, now)?;
        self.submitted(id, now);
        Ok(())
    }

    /// As [`Session::submit`], for a message whose outcome will be read with [`Session::poll_ack`].
    ///
    /// # Errors
    /// As for [`Session::submit`].
    pub fn submit_for_ack(
        &mut self,
        id: PublisherId,
        ticket: Option<Ticket>,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<AckSlot, SubmitError> {
        let slot = self.seat(id)?.submit_for_ack(ticket, message, now)?;
        self.submitted(id, now);
        Ok(slot)
    }

    /// Waits in line for room in this publisher's window; the place is written into `ticket` and must be given back
    /// with [`Session::leave`].
    pub fn wait(&mut self, id: PublisherId, ticket: &mut Option<Ticket>, waker: &Waker) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.wait(ticket, waker);
        }
    }

    /// Gives a place in the line back.
    pub fn leave(&mut self, id: PublisherId, ticket: Ticket) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.leave(ticket, &mut self.woken);
        }
    }

    /// Whether a message would be taken from this place in the line: a small one, or the one last refused for its size.
    pub fn has_room(&self, id: PublisherId, ticket: Option<Ticket>) -> bool {
        self.is_sealed() || self.seats.get(&id).is_none_or(|seat| seat.has_room(ticket))
    }

    /// Moves all tagged outcomes that are there into `into`, and says how many; where there are none, wakes the
    /// waker when there are.
    pub fn take_outcomes(&mut self, id: PublisherId, into: &mut Vec<(u64, Outcome)>, waker: Option<&Waker>) -> usize {
        let Some(seat) = self.seats.get_mut(&id) else { return 0 };
        let taken = seat.take_outcomes(into, &mut self.woken);
        if let (0, Some(waker)) = (taken, waker) {
            seat.publisher.await_outcomes(waker);
        }
        taken
    }

    /// The outcome in a slot, which frees it; or none yet, and then the waker is woken when there is one.
    pub fn poll_ack(&mut self, id: PublisherId, slot: AckSlot, waker: &Waker) -> Option<Outcome> {
        match self.seats.get_mut(&id) {
            Some(seat) => seat.publisher.poll_ack(slot, waker),
            None => Some(Outcome::Unknown),
        }
    }

    /// Frees a slot whose outcome nobody will read.
    pub fn give_up_ack(&mut self, id: PublisherId, slot: AckSlot) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.publisher.give_up_ack(slot);
        }
    }

    /// Wakes the waker once no message of this publisher is in flight, or it is over.
    pub fn await_settled(&mut self, id: PublisherId, waker: &Waker) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.await_settled(waker);
        }
    }

    /// Makes a new link, once what was written to the present one is answered, a few seconds at most. Credentials and TLS
    /// files are read again for it.
    pub fn reconnect(&mut self, now: Instant) {
        self.move_away(LinkError::Requested, now);
        self.settle(now);
        self.wake_driver();
    }

    /// Ends the session at once. What is unsettled is `Unknown`.
    pub fn close(&mut self, now: Instant) {
        self.connection.close(CloseReason::Requested);
        self.settle(now);
        self.wake_driver();
    }

    /// Wakes the waker at the next change of the link's state.
    pub fn watch(&mut self, waker: &Waker) {
        self.state_watchers.add(waker);
    }
}
