//! What a publisher makes of each answer: the acks, the refusals, and what was asked besides.

use alloc::format;
use alloc::string::String;

use super::ack::PubAck;
use super::in_flight::State;
use super::ordered::Pace;
use super::publisher::{Publisher, stream_name};
use super::read_back::ReadBack;
use super::verdict::{UNLISTED_SENDS_MAX, Verdict};
use super::{Anomaly, Notice, Outcome, PublisherError, Rejection, StoredMessage, StreamProblem, token};
use crate::proto::ServerError;
use crate::time::Instant;

impl Publisher {
    pub(super) fn take_answer(&mut self, tail: &[u8], status: Option<u16>, payload: &[u8], now: Instant) {
        let Some((ordinal, pass)) = token::read(tail, self.ledger.front()) else {
            self.statistics.garbled += 1;
            return;
        };
        let Some(entry) = self.ledger.entry(ordinal) else { return };
        // Refusals of an earlier pass say nothing of this one; a PubAck of any pass is proof.
        let current = pass.is(self.lane.pass()) && self.lane.is_out(&self.ledger, ordinal);
        if entry.state != State::Open {
            return;
        }
        match (status, PubAck::parse(payload)) {
            (Some(503), _) if current => self.pass_over(Anomaly::NoResponders, Pace::Slowly, now),
            (Some(429), _) if current => {
                let anomaly = Anomaly::Refused { code: 429, err_code: 10167, description: "too many requests".into() };
                self.pass_over(anomaly, Pace::Soon, now);
            }
            (Some(503 | 429), _) => {}
            (Some(_), _) | (None, None) => self.statistics.garbled += 1,
            (None, Some(PubAck::Stored { stream, seq, duplicate })) => {
                if self.options.stream.as_ref().is_some_and(|expected| expected.as_bytes() != stream.as_bytes()) {
                    let found = String::from_utf8_lossy(stream.as_bytes()).into_owned();
                    return self.settle(ordinal, Outcome::Rejected(Rejection::WrongStream { found }), now);
                }
                self.take_stored(ordinal, stream.as_bytes(), seq, duplicate, now);
            }
            (None, Some(PubAck::Refused { code, err_code, description })) => {
                if current || Verdict::of(code, err_code) == Verdict::Reject {
                    self.take_refusal(ordinal, code, err_code, description, now);
                }
            }
        }
    }

    fn take_stored(&mut self, ordinal: u64, stream: &[u8], seq: u64, duplicate: bool, now: Instant) {
        let Some(entry) = self.ledger.entry(ordinal) else { return };
        if !duplicate && seq <= entry.acked_before && self.options.stream.is_some() {
            // Stored behind a sequence, and before it: the stream that acknowledged it is not this one any more.
            let problem = StreamProblem::Rewound { acked: entry.acked_before, found: seq };
            return self.fail(PublisherError::Stream(problem));
        }
        // A message that was sent before can still be another one's duplicate: then that one's sequence is known.
        let is_doubtful = !entry.resent || seq <= self.seq_max;
        let verified = !is_doubtful;
        if duplicate && is_doubtful && self.options.check_duplicates && self.can_read_back(stream) {
            if let Some(entry) = self.ledger.entry_mut(ordinal) {
                entry.state = State::Checking { seq };
            }
            return self.read_back.ask(ordinal, seq);
        }
        let outcome = match duplicate {
            false => Outcome::Stored { seq },
            true => Outcome::Duplicate { seq, verified },
        };
        self.settle(ordinal, outcome, now);
    }

    /// Whether messages of this stream can be read back now: where no stream is named, of one at a time.
    fn can_read_back(&mut self, stream: &[u8]) -> bool {
        if self.options.stream.is_some() || self.last_stream.as_bytes() == stream {
            return true;
        }
        let checking = |ordinal| self.ledger.entry(ordinal).is_some_and(|entry| entry.state.is_checking());
        if (self.ledger.front()..self.ledger.back()).any(checking) {
            return false;
        }
        self.last_stream = String::from_utf8_lossy(stream).into_owned();
        true
    }

    fn take_refusal(&mut self, ordinal: u64, code: u16, err_code: u16, description: String, now: Instant) {
        let anomaly = |description| Anomaly::Refused { code, err_code, description };
        let rejected = |description| Outcome::Rejected(Rejection::Refused { code, err_code, description });
        match Verdict::of(code, err_code) {
            Verdict::RetrySoon => self.pass_over(anomaly(description), Pace::Soon, now),
            Verdict::RetrySlowly => self.pass_over(anomaly(description), Pace::Slowly, now),
            Verdict::Reject => self.settle(ordinal, rejected(description), now),
            Verdict::Fatal => self.fail(PublisherError::Refused { err_code, description }),
            Verdict::Unlisted => {
                let refusals = self.ledger.entry_mut(ordinal).map_or(0, |entry| {
                    entry.refusals = entry.refusals.saturating_add(1);
                    entry.refusals
                });
                if refusals >= UNLISTED_SENDS_MAX {
                    self.settle(ordinal, rejected(description), now);
                } else {
                    self.pass_over(anomaly(description), Pace::Soon, now);
                }
            }
        }
    }

    pub(super) fn take_stream_info(&mut self, tail: &[u8], status: Option<u16>, payload: &[u8], now: Instant) {
        match self.check.handle_answer(tail, status, payload, self.server.jetstream, now) {
            Ok(false) => {}
            Ok(true) => {
                self.changed = true;
                self.notice(Notice::Verified);
                self.reject_unfit(now);
                self.begin_recall(now);
                if core::mem::take(&mut self.is_missing) {
                    self.missing_until = self.ledger.back();
                    self.ask_again();
                }
            }
            Err(problem) => self.fail(PublisherError::Stream(problem)),
        }
    }

    pub(super) fn take_read_back(&mut self, tail: &[u8], status: Option<u16>, payload: &[u8], now: Instant) {
        let Some(ordinal) = ReadBack::ordinal(tail, self.ledger.front()) else { return };
        let Some(entry) = self.ledger.entry(ordinal) else { return };
        let State::Checking { seq } = entry.state else { return };
        if let Some(anomaly) = passing(status, payload) {
            // All are asked again after the pause. The first to say so is enough.
            if !self.lane.is_paused() {
                self.pass_over(anomaly, Pace::Slowly, now);
                self.ask_again();
            }
            return;
        }
        let stored = StoredMessage::parse(payload);
        if stored.is_none() && entry.pass.is_none() && ordinal >= self.missing_until {
            // Its id was read back, and now it is not there: purged, or this is not the stream any more.
            self.is_missing = true;
            return self.check.doubt(now);
        }
        let outcome = match stored {
            None => Outcome::Duplicate { seq, verified: false },
            Some(stored)
                if (self.check.transforms() || stored.subject.as_bytes() == self.ledger.subject(entry))
                    && stored.payload == self.ledger.payload(entry) =>
            {
                Outcome::Duplicate { seq, verified: true }
            }
            Some(_) => Outcome::Rejected(Rejection::IdCollision { seq }),
        };
        self.settle(ordinal, outcome, now);
    }

    pub(super) fn deny_publish(&mut self, subject: &str, error: &ServerError, now: Instant) {
        if !self.check.is_verified() && subject == self.check.subject() {
            let words = format!("{error}");
            return self.fail(PublisherError::Stream(StreamProblem::PermissionDenied { words }));
        }
        if let Some(needed) = self.recall.denied(subject) {
            let words = format!("{error}");
            return self.fail(PublisherError::RecallDenied { subject: needed, words });
        }
        let stream = stream_name(&self.options, &self.last_stream);
        let read_back_denied = subject == ReadBack::subject(&self.options.api_prefix, stream);
        for ordinal in self.ledger.front()..self.ledger.back() {
            let Some(entry) = self.ledger.entry(ordinal) else { continue };
            match entry.state {
                State::Checking { seq } if read_back_denied => {
                    self.settle(ordinal, Outcome::Duplicate { seq, verified: false }, now);
                }
                State::Open
                    if self.lane.is_out(&self.ledger, ordinal) && self.ledger.subject(entry) == subject.as_bytes() =>
                {
                    let subject = subject.into();
                    self.settle(ordinal, Outcome::Rejected(Rejection::PermissionDenied { subject }), now);
                }
                _ => {}
            }
        }
    }
}

/// Why a stored message cannot be read just now; `None` for an answer that stands.
fn passing(status: Option<u16>, payload: &[u8]) -> Option<Anomaly> {
    if status == Some(503) {
        return Some(Anomaly::NoResponders);
    }
    let Some(PubAck::Refused { code, err_code, description }) = PubAck::parse(payload) else { return None };
    let passes = matches!(Verdict::of(code, err_code), Verdict::RetrySoon | Verdict::RetrySlowly);
    passes.then_some(Anomaly::Refused { code, err_code, description })
}
