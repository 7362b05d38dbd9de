//! How a publisher settles messages, ends passes, and ends itself.

use core::time::Duration;

use super::in_flight::{Owner, State};
use super::ordered::Pace;
use super::publisher::Publisher;
use super::silence::Silence;
use super::{Anomaly, Notice, Outcome, PublisherError, Rejection};
use crate::proto::ServerError;
use crate::time::Instant;

/// Notices kept for a reader that does not come.
const NOTICES_MAX: usize = 64;

impl Publisher {
    /// The server has closed the link over something that was written to it. Takes the place of
    /// [`Publisher::handle_disconnected`].
    ///
    /// What is unsettled is written again one by one, `pause` after the next link has come up. A message that was out alone
    /// when that happens again is rejected; `is_alone` says that nobody else had anything out.
    pub fn handle_violation(&mut self, error: &ServerError, is_alone: bool, pause: Duration, now: Instant) {
        let (unanswered, first) = self.lane.unanswered(&self.ledger);
        if unanswered == 0 {
            return self.handle_disconnected();
        }
        if !self.lane.is_careful(&self.ledger) {
            self.violations = 0;
        }
        self.violations = self.violations.saturating_add(u32::from(is_alone));
        if let Some(culprit) = first.filter(|_| unanswered == 1 && self.violations > 1) {
            self.settle(culprit, Outcome::Rejected(Rejection::Violation(error.clone())), now);
        }
        self.lane.link_lost_over_one(self.ledger.front(), pause);
        self.link_is_gone();
    }

    /// Holds what was taken earlier against what server and stream take now. What is out is left to its answer: it may be
    /// stored.
    pub(super) fn reject_unfit(&mut self, now: Instant) {
        let max = self.check.size_max(self.server.max_payload);
        for ordinal in self.ledger.front()..self.ledger.back() {
            let Some(entry) = self.ledger.entry(ordinal).filter(|entry| entry.state == State::Open) else { continue };
            if self.lane.is_out(&self.ledger, ordinal) {
                continue;
            }
            let subject = core::str::from_utf8(self.ledger.subject(entry)).unwrap_or_default();
            let rejection = if entry.size > max {
                Rejection::TooLarge { size: entry.size, max }
            } else if let Err(rejection) = self.check.check_captured(subject) {
                rejection
            } else {
                continue;
            };
            self.settle(ordinal, Outcome::Rejected(rejection), now);
        }
    }

    /// The front has been out for `send_timeout` without an answer.
    pub(super) fn front_is_silent(&mut self, now: Instant) {
        let front = self.ledger.front();
        match self.ledger.entry(front).map(|entry| entry.state) {
            Some(State::Checking { seq }) => {
                self.read_back.ask(front, seq);
                self.silence = Some(Silence::new(now, self.options.send_timeout));
            }
            _ => self.pass_over(Anomaly::Silence, Pace::Slowly, now),
        }
    }

    /// Ends the pass. Everything unsettled is written again, in order, after a pause.
    pub(super) fn pass_over(&mut self, anomaly: Anomaly, pace: Pace, now: Instant) {
        let pause = self.lane.anomaly(pace, self.ledger.front(), now);
        self.silence = None;
        self.statistics.anomalies += 1;
        // Nothing was answered by the stream that was looked at: it may be another one by now.
        if !matches!(anomaly, Anomaly::Refused { .. }) {
            self.check.doubt(now + pause);
        }
        if anomaly == Anomaly::NoResponders {
            self.ask_again();
        }
        self.last_anomaly = Some(anomaly.clone());
        self.notice(Notice::Paused { anomaly, pause });
    }

    /// All questions about stored messages are asked anew.
    pub(super) fn ask_again(&mut self) {
        self.read_back.clear();
        for ordinal in self.ledger.front()..self.ledger.back() {
            if let Some(State::Checking { seq }) = self.ledger.entry(ordinal).map(|entry| entry.state) {
                self.read_back.ask(ordinal, seq);
            }
        }
    }

    pub(super) fn settle(&mut self, ordinal: u64, outcome: Outcome, now: Instant) {
        let Some(entry) = self.ledger.entry_mut(ordinal) else { return };
        if matches!(entry.state, State::Settled { .. }) {
            return;
        }
        // A repeated id's second message was stored with the first, and says nothing of the order of this run.
        let seq = match outcome {
            Outcome::Stored { seq } => Some(seq),
            Outcome::Duplicate { seq, .. } if entry.resent || self.first_stored_seq.is_none_or(|first| seq < first) => {
                Some(seq)
            }
            _ => None,
        };
        entry.state = State::Settled { seq };
        let owner = entry.owner;
        if let Outcome::Stored { seq } = outcome {
            self.first_stored_seq.get_or_insert(seq);
        }
        self.acked_seq = self.acked_seq.max(seq.unwrap_or(0));
        self.statistics.count(&outcome);
        self.tell(owner, outcome);
        let (seq_max, inversions) = (&mut self.seq_max, &mut self.statistics.inversions);
        let moved = self.ledger.pop_settled(|seq| {
            let seq = seq.unwrap_or(*seq_max);
            *inversions += u64::from(seq < *seq_max);
            *seq_max = seq.max(*seq_max);
        });
        if moved {
            self.moved_at = now;
            self.dead_links = 0;
            self.silence = None;
            self.unheard_since = None;
        }
        self.lane.settled(ordinal, &self.ledger, moved, now);
    }

    pub(super) fn tell(&mut self, owner: Owner, outcome: Outcome) {
        match owner {
            Owner::Ack(slot) => self.woken.extend(self.acks.settle(slot, outcome)),
            Owner::Tag(tag) => {
                self.outcomes.push_back((tag, outcome));
                self.outcomes_readers.wake(&mut self.woken);
            }
        }
    }

    pub(super) fn fail(&mut self, error: PublisherError) {
        if self.failure.is_some() {
            return;
        }
        self.failure = Some(error);
        self.changed = true;
        for ordinal in self.ledger.front()..self.ledger.back() {
            let Some(entry) = self.ledger.entry_mut(ordinal) else { continue };
            if !matches!(entry.state, State::Settled { .. }) {
                entry.state = State::Settled { seq: None };
                let owner = entry.owner;
                self.tell(owner, Outcome::Unknown);
            }
        }
        self.ledger.pop_settled(|_| {});
        self.silence = None;
        self.unheard_since = None;
        self.outcomes_readers.wake(&mut self.woken);
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        #[cfg(feature = "tracing")]
        super::telling::tell(&notice);
        if self.notices.len() == NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }
}
