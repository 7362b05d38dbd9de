//! When a publisher reads ids back, and what it makes of them: messages that are stored already are never sent.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde_json::Value;

use super::ack::{PubAck, capped};
use super::delivered::Delivered;
use super::id_set::Digest;
use super::in_flight::{Entry, State};
use super::publisher::Publisher;
use super::recall::Progress;
use super::sifting::Sifting;
use super::verdict::Verdict;
use super::{Anomaly, Notice, Outcome, PublisherError, StoredMessage, StreamWarning};
use crate::connection::{Delivery, Outbox};
use crate::time::Instant;

/// Messages in a row that were not among the ids read back after which those left are taken for ids of other inputs. An
/// earlier run can have lost or been refused as many as its window held.
const MISSES_MAX: usize = 1 << 16;

/// The window of a stream that does not tell: the server's default.
const WINDOW_UNTOLD: Duration = Duration::from_secs(120);

impl Publisher {
    /// The last sequence of the stream when it was first looked at: whatever this publisher stores is stored behind it.
    pub fn began_after(&self) -> Option<u64> {
        self.check.began_after()
    }

    /// No message that is submitted from now on can be one of an earlier run: nothing more is read back for them. It has no
    /// effect while messages are in flight.
    pub fn end_resume(&mut self) {
        if self.failure.is_none() && self.ledger.is_empty() {
            self.sifting = None;
            self.recall.forget();
            self.recall.finish();
        }
    }

    /// The stream was looked at.
    pub(super) fn begin_recall(&mut self, now: Instant) {
        let Some(info) = self.check.info() else { return };
        // Where consumers remove messages, what is stored cannot be read back; the warning says so.
        let can_recall = !info.warnings.contains(&StreamWarning::Retention);
        let window = if info.duplicate_window.is_zero() { WINDOW_UNTOLD } else { info.duplicate_window };
        self.trust = if can_recall { window / 2 } else { Duration::MAX };
        let last_seq = info.last_seq;
        if !can_recall {
            self.sifting = None;
            self.recall.finish();
        } else if self.recall.begin(last_seq) {
            self.end_recall(now);
        }
    }

    /// What is to be written next was written so long ago that the stream may have stored it, and forgotten its id.
    pub(super) fn doubt_the_window(&mut self, now: Instant) {
        let front = self.ledger.front();
        let Some(after) = self.ledger.entry(front).map(|entry| entry.acked_before) else { return };
        let wanted = self.digests(|entry| entry.state == State::Open && entry.pass.is_some());
        self.recall.want(after, wanted);
        self.check.doubt(now);
    }

    /// Writes what is to be asked, and goes on where ids have been used up.
    pub(super) fn go_on_recalling(&mut self, outbox: &mut Outbox, now: Instant) {
        if self.recall.is_full() {
            // What comes next and is not among the ids read may be among those not read.
            let front = self.ledger.entry(self.ledger.front());
            let waits = front.is_some_and(|entry| entry.state == State::Open);
            if self.recall.is_half_free() || (waits && self.recall.has_room()) {
                self.recall.resume();
            } else if waits {
                return self.begin_sifting(now);
            }
        }
        self.recall.pump(&self.reply_root, outbox, now);
    }

    /// From now on only ids of messages in flight are kept.
    fn begin_sifting(&mut self, now: Instant) {
        self.sifting = Some(Sifting::new(self.ledger.front()));
        self.go_on_sifting(now);
    }

    /// Looks for the next window of messages, once those of the last one are settled.
    pub(super) fn go_on_sifting(&mut self, now: Instant) {
        let (front, back) = (self.ledger.front(), self.ledger.back());
        if !self.sifting.as_mut().is_some_and(|sifting| sifting.begin(front, back)) {
            return;
        }
        let wanted = self.digests(|entry| entry.state == State::Open);
        self.recall.forget();
        self.recall.want(self.options.recall_after.unwrap_or(0), wanted);
        self.check.doubt(now);
    }

    /// The ids of the messages in flight that are meant.
    fn digests(&self, is_meant: impl Fn(&Entry) -> bool) -> Vec<Digest> {
        let entries = (self.ledger.front()..self.ledger.back()).filter_map(|ordinal| self.ledger.entry(ordinal));
        let meant = entries.filter(|entry| is_meant(entry));
        meant.map(|entry| Digest::of(self.ledger.id(entry, self.fixed_headers.len()))).collect()
    }

    /// A message on the inbox that is no answer: what the consumer delivers has the subject it was stored under.
    pub(super) fn take_recalled(&mut self, delivery: &Delivery<'_>, now: Instant) {
        if self.failure.is_some() || self.recall.is_clear() {
            return;
        }
        let Some(delivered) = delivery.reply.and_then(Delivered::parse) else {
            self.statistics.garbled += 1;
            return;
        };
        self.unheard_since = None;
        // What cannot be read in the headers that another writer gave a message is no id of ours.
        let id = delivery.headers.as_ref().and_then(|headers| headers.value("Nats-Msg-Id"));
        if let Some(progress) = self.recall.handle_delivered(delivered, id, now) {
            // The server is there, and what is pending waits for nothing else.
            self.moved_at = now;
            self.go_on_after(progress, Anomaly::Untold, now);
        }
    }

    /// An answer to a question about the consumer.
    pub(super) fn take_recall_answer(
        &mut self,
        tail: &[u8],
        status: Option<u16>,
        delivery: &Delivery<'_>,
        now: Instant,
    ) {
        if !self.recall.is_answer(tail) {
            return;
        }
        match (tail[0], status) {
            (step, Some(status)) => {
                let progress = match step {
                    b'R' => self.recall.handle_status(status, now),
                    _ => Progress::Lost(self.recall.start_anew(now)),
                };
                let words = delivery.headers.as_ref().and_then(|headers| headers.description()).unwrap_or_default();
                self.go_on_after(progress, anomaly(status, words), now);
            }
            (b'C', None) => self.take_created(delivery.payload, now),
            (b'N', None) => self.take_look(delivery.payload, now),
            (_, None) => self.statistics.garbled += 1,
        }
    }

    /// What comes of a word of the consumer or about it; `anomaly` is what it says where it is lost.
    pub(super) fn go_on_after(&mut self, progress: Progress, anomaly: Anomaly, now: Instant) {
        match progress {
            Progress::None => {}
            Progress::Read => self.have_read(now),
            Progress::Lost(pause) => {
                self.last_anomaly = Some(anomaly.clone());
                self.notice(Notice::RecallPaused { anomaly, pause });
            }
        }
    }

    fn take_created(&mut self, payload: &[u8], now: Instant) {
        if let Some(PubAck::Refused { code, err_code, description }) = PubAck::parse(payload) {
            return self.take_recall_refusal(code, err_code, description, now);
        }
        let answer: Value = serde_json::from_slice(payload).unwrap_or_default();
        let number = |value: Option<&Value>| value.and_then(Value::as_u64);
        match answer.get("config").filter(|_| answer.get("name").is_some_and(Value::is_string)) {
            // Servers may be configured to give no large batches.
            Some(config) => {
                self.recall.handle_created(number(answer.get("num_pending")), number(config.get("max_batch")))
            }
            None => self.statistics.garbled += 1,
        }
    }

    fn take_look(&mut self, payload: &[u8], now: Instant) {
        /// JetStream's error code for a message that is not there.
        const NO_MESSAGE: u16 = 10037;
        let next = match (StoredMessage::parse(payload), PubAck::parse(payload)) {
            (Some(message), _) => Some(message.seq),
            (None, Some(PubAck::Refused { err_code: NO_MESSAGE, .. })) => None,
            (None, Some(PubAck::Refused { code, err_code, description })) => {
                return self.take_recall_refusal(code, err_code, description, now);
            }
            (None, _) => {
                self.statistics.garbled += 1;
                return;
            }
        };
        let progress = self.recall.handle_look(next, now);
        self.go_on_after(progress, Anomaly::Untold, now);
    }

    fn take_recall_refusal(&mut self, code: u16, err_code: u16, description: String, now: Instant) {
        // JetStream's error codes.
        const IN_USE: u16 = 10013;
        const EXISTS: u16 = 10148;
        const NO_CONSUMER: u16 = 10014;
        const CONSUMERS_MAX: u16 = 10026;
        const NO_STREAM: u16 = 10059;
        let is_passing = match err_code {
            IN_USE | EXISTS | NO_CONSUMER => true,
            CONSUMERS_MAX => self.recall.is_haunted(),
            _ => code == 503 || matches!(Verdict::of(code, err_code), Verdict::RetrySoon | Verdict::RetrySlowly),
        };
        match err_code {
            NO_STREAM => {
                self.recall.want_again();
                self.check.doubt(now);
            }
            _ if is_passing => {
                let progress = Progress::Lost(self.recall.start_anew(now));
                self.go_on_after(progress, Anomaly::Refused { code, err_code, description }, now);
            }
            _ => self.fail(PublisherError::RecallRefused { err_code, description }),
        }
    }

    /// As many ids were read as there are, or as can be held.
    fn have_read(&mut self, now: Instant) {
        if self.recall.seen() >= self.recall.until() {
            return self.end_recall(now);
        }
        self.match_unsettled(now);
        if !self.recall.has_room() {
            self.recall.hold();
        }
    }

    fn end_recall(&mut self, now: Instant) {
        let found = self.match_unsettled(now) + self.recall.ids_held();
        self.recall.finish();
        if let Some(sifting) = &mut self.sifting {
            if sifting.end(found, self.options.in_flight_max) {
                self.sifting = None;
            }
            self.recall.forget();
        }
        self.misses = 0;
        for ordinal in self.ledger.front()..self.ledger.back() {
            if let Some(entry) = self.ledger.entry_mut(ordinal) {
                entry.doubtful_since = now;
            }
        }
        self.notice(Notice::Recalled { until: self.recall.until(), found });
    }

    /// Holds the unsettled messages against the ids that were read. How many are there.
    fn match_unsettled(&mut self, now: Instant) -> usize {
        let mut found = 0;
        for ordinal in self.ledger.front()..self.ledger.back() {
            if !self.recall.has_ids() {
                break;
            }
            let Some(entry) = self.ledger.entry(ordinal).filter(|entry| entry.state == State::Open) else { continue };
            if let Some(seq) = self.recall.take(self.ledger.id(entry, self.fixed_headers.len())) {
                found += 1;
                self.is_stored(ordinal, seq, now);
            }
        }
        found
    }

    /// The message just taken was held against the ids, and found at this sequence, or not.
    pub(super) fn recalled(&mut self, seq: Option<u64>, now: Instant) {
        if let Some(seq) = seq {
            self.misses = 0;
            return self.is_stored(self.ledger.back() - 1, seq, now);
        }
        self.misses += 1;
        if self.recall.is_clear() && self.misses >= MISSES_MAX.max(self.options.in_flight_max.saturating_mul(16)) {
            self.recall.forget();
        }
    }

    /// The stream holds a message with this one's id: it is read back and compared.
    fn is_stored(&mut self, ordinal: u64, seq: u64, now: Instant) {
        if let Some(entry) = self.ledger.entry_mut(ordinal) {
            // What was written once may be stored once, too: its sequence is that of this run.
            entry.resent |= entry.pass.is_some();
        }
        if !self.options.check_duplicates {
            return self.settle(ordinal, Outcome::Duplicate { seq, verified: false }, now);
        }
        if let Some(entry) = self.ledger.entry_mut(ordinal) {
            entry.state = State::Checking { seq };
        }
        self.read_back.ask(ordinal, seq);
    }
}

/// What a status says, in the server's words.
fn anomaly(status: u16, words: &[u8]) -> Anomaly {
    match status {
        503 => Anomaly::NoResponders,
        code => Anomaly::Refused { code, err_code: 0, description: capped(&String::from_utf8_lossy(words)) },
    }
}
