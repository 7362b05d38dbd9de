//! The orderly end of a session: what was subscribed is read to its end, what was published is settled, then it closes.

use alloc::vec::Vec;
use core::task::{Poll, Waker};

use super::drain::{Drain, DrainError, Stage};
use super::machine::Session;
use super::subscriber::SubscriptionEnd;
use crate::connection::{CloseReason, LinkError};
use crate::time::Instant;

impl Session {
    /// Begins the orderly end, which takes until `until` at most; called again, the earlier moment counts.
    ///
    /// First the subscriptions are drained, and read by whoever reads them; requests may get their answers. Meanwhile
    /// messages are taken, but nothing new can be subscribed. Then nothing is taken any more, publishers settle what
    /// they have, and the server is asked whether it has read all. Then the session closes.
    pub fn begin_drain(&mut self, until: Instant, now: Instant) {
        match &mut self.drain {
            Some(drain) => drain.until = drain.until.min(until),
            None => {
                let stage = match self.connection.close_reason() {
                    Some(reason) => Stage::Over(Err(DrainError::Closed(reason.clone()))),
                    None => Stage::Reading,
                };
                self.drain = Some(Drain { until, stage, lost: None });
                self.drain_subscriptions(now);
            }
        }
        self.settle(now);
        self.wake_driver();
    }

    /// How the drain ended, or that it has not yet, and then the waker is woken when it has.
    ///
    /// # Errors
    /// See [`DrainError`].
    pub fn poll_drain(&mut self, waker: &Waker) -> Poll<Result<(), DrainError>> {
        if let Some(Drain { stage: Stage::Over(result), .. }) = &self.drain {
            return Poll::Ready(result.clone());
        }
        self.state_watchers.add(waker);
        Poll::Pending
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// Whether messages are not taken any more because of a drain.
    pub(super) fn is_sealed(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.stage != Stage::Reading)
    }

    /// When the patience is over.
    pub(super) fn drain_timeout(&self) -> Option<Instant> {
        self.drain.as_ref().filter(|drain| !matches!(drain.stage, Stage::Over(_))).map(|drain| drain.until)
    }

    /// A link is lost, and perhaps messages with it.
    pub(super) fn drain_lost(&mut self, cause: &LinkError) {
        if let Some(drain) = &mut self.drain {
            drain.lost.get_or_insert_with(|| cause.clone());
        }
    }

    /// The connection is over.
    pub(super) fn drain_closed(&mut self, reason: &CloseReason) {
        if let Some(drain) = &mut self.drain
            && !matches!(drain.stage, Stage::Over(_))
        {
            drain.stage = Stage::Over(Err(DrainError::Closed(reason.clone())));
        }
    }

    /// Takes the next steps, if it is time to.
    pub(super) fn settle_drain(&mut self, now: Instant) {
        let Some(Drain { stage, until, lost }) = &self.drain else { return };
        let (until, lost) = (*until, lost.clone());
        if matches!(stage, Stage::Over(_)) {
            return;
        }
        if *stage == Stage::Reading && self.unread() == 0 {
            self.seal();
        }
        if self.is_sealed() && self.in_flight() == 0 {
            if self.is_proven() {
                return self.finish(lost.map_or(Ok(()), |cause| Err(DrainError::LinkLost(cause))));
            }
            self.prove(now);
        }
        if until <= now {
            self.finish(Err(DrainError::Unfinished { unread: self.unread(), in_flight: self.in_flight() }));
        }
    }

    /// Asks the server to send no more for any subscription, and ends those for which nothing can be on its way.
    fn drain_subscriptions(&mut self, now: Instant) {
        let mut ending = Vec::new();
        for (sid, subscriber) in &mut self.subscribers {
            if subscriber.question.is_some() || subscriber.has_ended() {
                continue;
            }
            if self.connection.drain(*sid) {
                ending.push(*sid);
            } else {
                subscriber.end(SubscriptionEnd::Drained, &mut self.woken);
            }
        }
        if !ending.is_empty() {
            let asked = self.ask(now);
            ending.into_iter().for_each(|sid| self.end_answered(sid, asked));
        }
    }

    /// Takes nothing new from here on; who waits for room is told.
    fn seal(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.stage = Stage::Settling;
        }
        self.line.wake_all(&mut self.woken);
        for seat in self.seats.values_mut() {
            seat.wake_line(&mut self.woken);
        }
    }

    fn finish(&mut self, result: Result<(), DrainError>) {
        if let Some(drain) = &mut self.drain {
            drain.stage = Stage::Over(result);
        }
        self.connection.close(CloseReason::Requested);
        self.read_events(self.now);
        self.wake_driver();
    }

    /// Subscriptions that have not ended, and messages that wait for their readers.
    fn unread(&self) -> usize {
        self.subscribers.values().map(|subscriber| subscriber.unread() + usize::from(!subscriber.has_ended())).sum()
    }

    fn in_flight(&self) -> usize {
        self.seats.values().map(|seat| seat.publisher.in_flight()).sum()
    }
}
