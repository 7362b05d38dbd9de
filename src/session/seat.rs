//! A publisher's place in a session: the machine, and the queue of those who wait for room in its window.

use alloc::vec::Vec;
use core::task::Waker;

use super::line::{Line, Ticket};
use crate::connection::Sid;
use crate::jetstream::{AckSlot, Message, Outcome, Publisher, SubmitError};
use crate::time::Instant;
use crate::wakers::Wakers;

/// Free places that are waited for before a waiter is woken: fewer would wake both sides for every message.
const REFILL: usize = 64;

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) publisher: Publisher,
    pub(super) sid: Sid,
    /// The PING whose answer the publisher waits for.
    pub(super) proof: Option<u64>,
    line: Line,
    settled: Wakers,
}

impl Seat {
    pub(super) fn new(publisher: Publisher, sid: Sid) -> Self {
        Self { publisher, sid, proof: None, line: Line::default(), settled: Wakers::default() }
    }

    /// Takes the message if nobody waits before `ticket` and the window has room.
    pub(super) fn submit(
        &mut self,
        ticket: Option<Ticket>,
        tag: u64,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<(), SubmitError> {
        if !self.line.is_first(ticket) {
            return Err(SubmitError::Full);
        }
        self.publisher.submit(tag, message, now)
    }

    /// As [`Seat::submit`], for a message whose outcome will be read from a slot.
    pub(super) fn submit_for_ack(
        &mut self,
        ticket: Option<Ticket>,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<AckSlot, SubmitError> {
        if !self.line.is_first(ticket) {
            return Err(SubmitError::Full);
        }
        self.publisher.submit_for_ack(message, now)
    }

    /// Waits in line: `ticket` is filled in at the first call and kept through later ones.
    pub(super) fn wait(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) {
        self.line.wait(ticket, waker);
    }

    /// Leaves the line, served or not; the next one's turn may have come.
    pub(super) fn leave(&mut self, ticket: Ticket, woken: &mut Vec<Waker>) {
        self.line.leave(ticket);
        self.wake_first(woken);
    }

    pub(super) fn has_room(&self, ticket: Option<Ticket>) -> bool {
        self.line.is_first(ticket) && self.publisher.has_room()
    }

    /// Wakes who waits first, once it is worth it.
    pub(super) fn wake_first(&mut self, woken: &mut Vec<Waker>) {
        if self.line.is_empty() {
            return;
        }
        let max = self.publisher.in_flight_max();
        let free = max - self.publisher.in_flight().min(max);
        if self.publisher.has_room() && (free >= REFILL.min(max / 4) || self.publisher.in_flight() == 0) {
            self.line.wake_first(woken);
        }
    }

    /// Wakes everybody: the publisher is over.
    pub(super) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        self.line.wake_all(woken);
        self.settled.wake(woken);
    }

    /// Wakes all who wait for room: none will be given any more.
    pub(super) fn wake_line(&mut self, woken: &mut Vec<Waker>) {
        self.line.wake_all(woken);
    }

    /// Lets go of those who may have stopped waiting.
    pub(super) fn disperse(&mut self, woken: &mut Vec<Waker>) {
        self.settled.disperse(woken);
        self.publisher.disperse();
    }

    pub(super) fn await_settled(&mut self, waker: &Waker) {
        self.settled.add(waker);
    }

    pub(super) fn wake_settled(&mut self, woken: &mut Vec<Waker>) {
        if self.publisher.in_flight() == 0 {
            self.settled.wake(woken);
        }
    }

    pub(super) fn take_outcomes(&mut self, into: &mut Vec<(u64, Outcome)>, woken: &mut Vec<Waker>) -> usize {
        let before = into.len();
        while let Some(outcome) = self.publisher.poll_outcome() {
            into.push(outcome);
        }
        self.wake_first(woken);
        into.len() - before
    }
}
