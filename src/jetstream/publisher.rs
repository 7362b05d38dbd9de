//! The publisher's machine: messages in, exactly one outcome for each out, over any number of links.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::task::Waker;
use core::time::Duration;

use super::acks::{AckSlot, Acks};
use super::in_flight::{InFlight, Owner, Parts, State};
use super::ordered::{Ordered, Pace};
use super::read_back::ReadBack;
use super::recall::Recall;
use super::sifting::Sifting;
use super::silence::Silence;
use super::stream_check::StreamCheck;
use super::{
    Anomaly, Message, Notice, Outcome, Payload, PublisherError, PublisherOptions, PublisherStatistics, Rejection,
    StreamInfo, SubmitError, token,
};
use crate::connection::{CloseReason, Delivery, Outbox, PATIENCE_DOUBLINGS_MAX};
use crate::proto::decimal::push_decimal_str;
use crate::proto::encode::CONTROL_LINE_MAX;
use crate::proto::{HEADERS_LEN_MAX, ServerError, ServerInfo};
use crate::time::Instant;
use crate::wakers::Wakers;

/// A publisher into JetStream, as a machine without sockets, clock or entropy.
///
/// It is told what the connection saw (`handle_*`) and writes into the connection's outbox (`pump`). Every message
/// that [`Publisher::submit`] takes gets exactly one [`Outcome`]. Messages are written in the order they were taken;
/// at the first anomaly it stops, pauses, and writes again from the first unsettled on, always with the same id.
#[derive(Debug)]
pub struct Publisher {
    pub(super) options: PublisherOptions,
    /// The inbox with its last dot: what comes on subjects below it is for this publisher.
    pub(super) reply_root: String,
    pub(super) fixed_headers: Vec<u8>,
    /// The start of ids for messages that bring none; the ordinal is written behind it.
    own_id: String,
    own_id_root_len: usize,
    pub(super) ledger: InFlight,
    pub(super) lane: Ordered,
    pub(super) check: StreamCheck,
    pub(super) read_back: ReadBack,
    pub(super) recall: Recall,
    /// Where there are more ids than can be held.
    pub(super) sifting: Option<Sifting>,
    /// How long after a message was written the stream's memory of its id is relied on.
    pub(super) trust: Duration,
    /// Whether a message that the stream was known to hold is missing, and the stream is to be looked at before that counts.
    pub(super) is_missing: bool,
    /// Messages before this one that are missing are missing in the stream as it was looked at since.
    pub(super) missing_until: u64,
    /// Messages in a row that were not among the ids read back.
    pub(super) misses: usize,
    pub(super) last_stream: String,
    pub(super) acks: Acks,
    pub(super) outcomes: VecDeque<(u64, Outcome)>,
    pub(super) outcomes_readers: Wakers,
    pub(super) woken: Vec<Waker>,
    pub(super) notices: VecDeque<Notice>,
    pub(super) failure: Option<PublisherError>,
    pub(super) server: Server,
    /// Since when the first unsettled message is known to have left, and to be unanswered.
    pub(super) silence: Option<Silence>,
    /// Whether the server shall say that it has read what was written.
    wants_proof: bool,
    /// When the watermark last moved, or messages began to be pending.
    pub(super) moved_at: Instant,
    /// Since when something is asked on this link, and nothing of any kind was answered since. A new pass changes
    /// nothing in it.
    pub(super) unheard_since: Option<Instant>,
    pub(super) last_anomaly: Option<Anomaly>,
    /// Links that were closed over something written while only this publisher had anything out, since it last wrote
    /// without care.
    pub(super) violations: u32,
    /// The size of the message that found no room last, until one is taken: who waits for room waits for as much.
    refused_size: usize,
    /// The highest sequence before the watermark.
    pub(super) seq_max: u64,
    pub(super) first_stored_seq: Option<u64>,
    pub(super) acked_seq: u64,
    pub(super) dead_link: bool,
    /// Links given up in a row over the same first unsettled message: each is given twice the time of the last, since
    /// a link may be too slow for the message.
    pub(super) dead_links: u32,
    pub(super) changed: bool,
    pub(super) statistics: PublisherStatistics,
}

/// What the publisher keeps of the server's INFO.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) max_payload: usize,
    pub(super) jetstream: bool,
}

impl Publisher {
    /// A publisher whose answers come below `reply_root` (an inbox that ends with a dot), and which gives messages
    /// without an id the ids `{own_id_root}{n}`.
    pub fn new(options: PublisherOptions, reply_root: String, own_id_root: String) -> Self {
        let mut fixed_headers = b"NATS/1.0\r\n".to_vec();
        if let Some(stream) = &options.stream {
            fixed_headers.extend_from_slice(format!("Nats-Expected-Stream: {stream}\r\n").as_bytes());
        }
        fixed_headers.extend_from_slice(b"Nats-Msg-Id: ");
        let name_root = format!("natsink-{}", own_id_root.replace('.', "-"));
        let recall = Recall::new(&options, name_root);
        Self {
            reply_root,
            fixed_headers,
            own_id_root_len: own_id_root.len(),
            own_id: own_id_root,
            ledger: InFlight::default(),
            lane: Ordered::new(options.backoff, options.stream.is_some()),
            check: StreamCheck::new(&options),
            read_back: ReadBack::default(),
            recall,
            sifting: None,
            trust: Duration::MAX,
            is_missing: false,
            missing_until: 0,
            misses: 0,
            last_stream: String::new(),
            acks: Acks::default(),
            outcomes: VecDeque::new(),
            outcomes_readers: Wakers::default(),
            woken: Vec::new(),
            notices: VecDeque::new(),
            failure: None,
            server: Server { max_payload: usize::MAX, jetstream: true },
            silence: None,
            wants_proof: false,
            moved_at: Instant::ZERO,
            unheard_since: None,
            last_anomaly: None,
            violations: 0,
            refused_size: 0,
            seq_max: 0,
            first_stored_seq: None,
            acked_seq: options.acked_seq,
            dead_link: false,
            dead_links: 0,
            changed: false,
            statistics: PublisherStatistics::default(),
            options,
        }
    }

    // Commands.

    /// Takes a message whose outcome will be read from a slot.
    ///
    /// # Errors
    /// See [`SubmitError`]; nothing was sent then.
    pub fn submit_for_ack(&mut self, message: &Message<'_>, now: Instant) -> Result<AckSlot, SubmitError> {
        self.admit(message, now, |acks| Owner::Ack(acks.claim())).map(|owner| match owner {
            Owner::Ack(slot) => slot,
            Owner::Tag(_) => unreachable!("the owner is the one just made"),
        })
    }

    /// Takes a message whose outcome will come, under this tag, from [`Publisher::poll_outcome`].
    ///
    /// # Errors
    /// See [`SubmitError`]; nothing was sent then. `Full` also when two windows of outcomes are unread: a caller who
    /// reads once in every window of submissions never sees that.
    pub fn submit(&mut self, tag: u64, message: &Message<'_>, now: Instant) -> Result<(), SubmitError> {
        if self.failure.is_none() && self.outcomes.len() >= self.outcomes_max() {
            return Err(SubmitError::Full);
        }
        self.admit(message, now, |_| Owner::Tag(tag)).map(|_| ())
    }

    fn admit(
        &mut self,
        message: &Message<'_>,
        now: Instant,
        owner: impl FnOnce(&mut Acks) -> Owner,
    ) -> Result<Owner, SubmitError> {
        if let Some(failure) = &self.failure {
            return Err(SubmitError::Closed(failure.clone()));
        }
        if self.ledger.len() >= self.options.in_flight_max {
            return Err(SubmitError::Full);
        }
        let id = match message.id {
            Some(id) => id.as_str(),
            None => {
                self.own_id.truncate(self.own_id_root_len);
                push_decimal_str(&mut self.own_id, self.ledger.back());
                &self.own_id
            }
        };
        let parts = Parts {
            subject: message.subject.as_str(),
            reply_root: &self.reply_root,
            fixed_headers: &self.fixed_headers,
            id,
            headers: message.headers.map_or(&[], |headers| headers.as_bytes()),
            payload: message.payload.as_bytes(),
            shared: match &message.payload {
                Payload::Slice(_) => None,
                Payload::Shared(bytes) => Some(bytes),
            },
        };
        let size = parts.size();
        if !self.ledger.is_empty() && self.ledger.bytes_held() + size > self.options.in_flight_bytes_max {
            self.refused_size = size;
            return Err(SubmitError::Full);
        }
        for (size, max) in [
            (parts.control_line_len(), CONTROL_LINE_MAX),
            (parts.headers_len(), HEADERS_LEN_MAX),
            (size, self.check.size_max(self.server.max_payload)),
        ] {
            if size > max {
                self.check.look_again(now);
                return Err(SubmitError::Rejected(Rejection::TooLarge { size, max }));
            }
        }
        if let Err(rejection) = self.check.check_captured(parts.subject) {
            self.check.look_again(now);
            return Err(SubmitError::Rejected(rejection));
        }
        if self.ledger.is_empty() {
            self.moved_at = now;
        }
        self.refused_size = 0;
        let owner = owner(&mut self.acks);
        let recalled = if self.recall.has_ids() { self.recall.take(id.as_bytes()) } else { None };
        self.ledger.push(&parts, owner, self.acked_seq);
        self.statistics.submitted += 1;
        if self.recall.has_ids() || recalled.is_some() {
            self.recalled(recalled, now);
        }
        Ok(owner)
    }

    /// Ends the publisher: what is not settled is `Unknown`.
    pub fn close(&mut self) {
        self.fail(PublisherError::Closed);
    }

    /// Writes what may be written and fits. Called after facts are told and messages taken.
    pub fn pump(&mut self, outbox: &mut Outbox, now: Instant) {
        if self.failure.is_some() {
            return;
        }
        let known_seq = self.acked_seq.max(self.recall.seen());
        self.check.pump(&self.reply_root, known_seq, outbox, now);
        if !self.check.is_verified() {
            return;
        }
        if !self.recall.is_clear() || self.recall.is_due() {
            self.go_on_recalling(outbox, now);
        }
        if !self.lane.is_paused() {
            let stream = stream_name(&self.options, &self.last_stream);
            self.read_back.pump(&self.options.api_prefix, stream, &self.reply_root, outbox);
        }
        if self.recall.is_clear() {
            self.go_on_sifting(now);
        }
        if !self.recall.is_clear() {
            return;
        }
        let until = self.sifting.as_ref().map_or(u64::MAX, Sifting::until);
        let pumped = self.lane.pump(&mut self.ledger, until, outbox, self.trust, now);
        self.statistics.replayed += pumped.resent;
        if pumped.is_doubtful {
            self.doubt_the_window(now);
        }
    }

    // Facts.

    /// A link is up. What the server takes may have changed: what it no longer does is rejected.
    pub fn handle_connected(&mut self, info: &ServerInfo, now: Instant) {
        if self.failure.is_some() {
            return;
        }
        self.server = Server { max_payload: info.max_payload, jetstream: info.jetstream };
        self.check.link_up(now);
        self.lane.link_up(&self.ledger, now);
        self.ask_again();
        self.reject_unfit(now);
    }

    /// The server takes other messages than it said when the link came up.
    pub fn handle_info(&mut self, info: &ServerInfo, now: Instant) {
        let server = Server { max_payload: info.max_payload, jetstream: info.jetstream };
        if self.failure.is_none() && server.max_payload < mem::replace(&mut self.server, server).max_payload {
            self.reject_unfit(now);
        }
    }

    /// The link will be left: writes nothing more to it, and waits for the answers to what was written.
    pub fn hold(&mut self) {
        self.lane.hold();
    }

    /// Messages that were written to this link and are unanswered.
    pub fn unanswered(&self) -> usize {
        self.lane.unanswered(&self.ledger).0
    }

    /// Whether nothing that was written to this link is unanswered.
    pub fn is_quiet(&self) -> bool {
        self.failure.is_some() || self.unanswered() == 0
    }

    /// The link is gone. Its pass is over; what it left unsettled will be written again.
    pub fn handle_disconnected(&mut self) {
        self.lane.link_lost(self.ledger.front());
        self.link_is_gone();
    }

    pub(super) fn link_is_gone(&mut self) {
        self.check.link_lost();
        self.recall.link_lost();
        self.silence = None;
        self.unheard_since = None;
    }

    /// The connection is over.
    pub fn handle_closed(&mut self, reason: &CloseReason) {
        self.fail(match reason {
            CloseReason::Requested => PublisherError::Closed,
            reason => PublisherError::Connection(reason.clone()),
        });
    }

    /// A message came to the inbox.
    pub fn handle_message(&mut self, delivery: &Delivery<'_>, now: Instant) {
        let Some(tail) = delivery.subject.strip_prefix(self.reply_root.as_bytes()) else {
            return self.take_recalled(delivery, now);
        };
        if self.failure.is_some() {
            return;
        }
        let unheard_since = self.unheard_since.take();
        if delivery.is_damaged {
            self.statistics.garbled += 1;
            return;
        }
        let status = delivery.headers.as_ref().and_then(|headers| headers.status());
        if tail.len() == token::TOKEN_LEN {
            return self.take_answer(tail, status, delivery.payload, now);
        }
        match tail.first() {
            Some(b'I') => {
                self.take_stream_info(tail, status, delivery.payload, now);
                if self.check.is_verified() && self.lane.has_paused() {
                    // That a stream is there says nothing of the messages that it leaves unanswered.
                    self.unheard_since = unheard_since;
                }
            }
            Some(b'V') => self.take_read_back(tail, status, delivery.payload, now),
            Some(b'C' | b'N' | b'R') => self.take_recall_answer(tail, status, delivery, now),
            _ => self.statistics.garbled += 1,
        }
    }

    /// The server complained.
    pub fn handle_server_error(&mut self, error: &ServerError, now: Instant) {
        match error {
            ServerError::PermissionsViolationForPublish { subject } => self.deny_publish(subject, error, now),
            ServerError::PermissionsViolationForSubscription { subject, .. }
                if subject.starts_with(self.reply_root.as_str()) =>
            {
                self.fail(PublisherError::InboxDenied { words: format!("{error}") });
            }
            ServerError::PermissionsViolationForReply { reply } if reply.starts_with(self.reply_root.as_str()) => {
                self.fail(PublisherError::InboxDenied { words: format!("{error}") });
            }
            _ => {}
        }
    }

    /// The socket has taken `transmitted` bytes of this link in all.
    pub fn handle_transmitted(&mut self, transmitted: u64, now: Instant) {
        if self.silence.is_some() && self.unheard_since.is_some() {
            return;
        }
        let out = self.is_front_out(transmitted);
        if out {
            self.silence.get_or_insert_with(|| Silence::new(now, self.options.send_timeout));
        }
        if out || self.check.is_asked() || self.recall.is_asked() {
            self.unheard_since.get_or_insert(now);
        }
    }

    /// The server has read all that was written when this was asked for.
    pub fn handle_read(&mut self, now: Instant) {
        if let Some(silence) = &mut self.silence {
            silence.read(now);
        }
    }

    /// The server cannot be asked now whether it has read what was written.
    pub fn handle_unasked(&mut self, now: Instant) {
        if let Some(silence) = &mut self.silence {
            silence.ask_again(now, self.options.send_timeout);
        }
    }

    fn is_front_out(&self, transmitted: u64) -> bool {
        let front = self.ledger.front();
        self.ledger.entry(front).is_some_and(|entry| match entry.state {
            State::Open => self.lane.is_out(&self.ledger, front) && entry.sent_end <= transmitted,
            State::Checking { .. } => self.check.is_verified(),
            State::Settled { .. } => false,
        })
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.failure.is_some() {
            return;
        }
        if let Some(max) = self.options.max_elapsed
            && !self.ledger.is_empty()
            && self.moved_at + max <= now
        {
            let elapsed = now.since(self.moved_at);
            let last = self.last_anomaly.take();
            return self.fail(PublisherError::Exhausted { elapsed, last });
        }
        let progress = self.recall.handle_timeout(now);
        self.go_on_after(progress, Anomaly::Untold, now);
        self.lane.wake(now);
        if self.lane.is_overtaken(now) {
            self.pass_over(Anomaly::Overtaken, Pace::Soon, now);
        }
        if self.unheard_since.is_some_and(|since| since + self.link_patience() <= now) {
            self.dead_link = true;
            self.dead_links += 1;
            self.unheard_since = None;
        } else if self.silence.is_some_and(|silence| silence.is_over(now, self.options.send_timeout)) {
            self.front_is_silent(now);
        } else if let Some(silence) = &mut self.silence {
            self.wants_proof |= silence.ask(now);
            if silence.stall(now, self.options.send_timeout) {
                self.lane.stall();
            }
        }
    }

    /// How long a link may leave everything unanswered.
    fn link_patience(&self) -> Duration {
        self.options.batch_timeout.saturating_mul(1 << self.dead_links.min(PATIENCE_DOUBLINGS_MAX))
    }

    // Wishes.

    /// When `handle_timeout` is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.failure.is_some() {
            return None;
        }
        let budget = self.options.max_elapsed.filter(|_| !self.ledger.is_empty()).map(|max| self.moved_at + max);
        let silence = self.silence.and_then(|silence| silence.timeout(self.options.send_timeout));
        let dead = self.unheard_since.map(|since| since + self.link_patience());
        [budget, silence, dead, self.lane.timeout(), self.check.timeout(), self.recall.timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next outcome of a message submitted under a tag.
    #[must_use]
    pub fn poll_outcome(&mut self) -> Option<(u64, Outcome)> {
        self.outcomes.pop_front()
    }

    /// What happened that a person would want to know. The latest are kept, a few dozen.
    #[must_use]
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Whether the publisher wants to be told, with [`Publisher::handle_read`], when the server has read all that was
    /// written until now. Said once.
    #[must_use]
    pub fn poll_proof(&mut self) -> bool {
        mem::take(&mut self.wants_proof)
    }

    /// Whether the publisher wants another link: this one has been silent for too long. Said once.
    #[must_use]
    pub fn poll_dead_link(&mut self) -> bool {
        mem::take(&mut self.dead_link)
    }

    /// Whether the stream was verified, or the publisher is over, since this was last asked.
    #[must_use]
    pub fn poll_changed(&mut self) -> bool {
        mem::take(&mut self.changed)
    }

    // Getters.

    /// Unread outcomes beyond which no message is taken.
    fn outcomes_max(&self) -> usize {
        self.options.in_flight_max.saturating_mul(2)
    }

    /// Whether the stream was looked at on the present link.
    pub fn is_verified(&self) -> bool {
        self.check.is_verified()
    }

    /// Messages that are not settled.
    pub fn in_flight(&self) -> usize {
        self.ledger.len()
    }

    /// Whether a message would be taken now: a small one, or the one that was last refused for its size.
    pub fn has_room(&self) -> bool {
        let held = self.ledger.bytes_held() + self.refused_size.max(1);
        self.failure.is_some()
            || (self.ledger.len() < self.options.in_flight_max
                && (self.ledger.is_empty() || held <= self.options.in_flight_bytes_max)
                && self.outcomes.len() < self.outcomes_max())
    }

    /// How many messages the window holds at most.
    pub fn in_flight_max(&self) -> usize {
        self.options.in_flight_max
    }

    /// Why the publisher is over, if it is.
    pub fn failure(&self) -> Option<&PublisherError> {
        self.failure.as_ref()
    }

    /// The stream as it was when last looked at; `None` before the first look, and for publishers to any stream.
    pub fn stream(&self) -> Option<&StreamInfo> {
        self.check.info()
    }

    /// Whether messages may be written now: there is a link, the stream on it was looked at, and the ids in it read back
    /// where they had to be.
    pub fn is_ready(&self) -> bool {
        self.failure.is_none() && self.check.is_verified() && self.recall.is_clear() && !self.lane.is_paused()
    }

    /// The counts.
    pub fn statistics(&self) -> PublisherStatistics {
        self.statistics
    }

    /// The outcome in a slot, which frees it; or none yet, and then the waker is woken when there is one.
    pub fn poll_ack(&mut self, slot: AckSlot, waker: &Waker) -> Option<Outcome> {
        self.acks.poll(slot, waker)
    }

    /// Frees a slot whose outcome nobody will read.
    pub fn give_up_ack(&mut self, slot: AckSlot) {
        self.acks.give_up(slot);
    }

    /// Lets go of those who may have stopped waiting.
    pub(crate) fn disperse(&mut self) {
        self.outcomes_readers.disperse(&mut self.woken);
    }

    /// Remembers whom to wake when the next tagged outcome comes.
    pub(crate) fn await_outcomes(&mut self, waker: &Waker) {
        self.outcomes_readers.add(waker);
    }

    /// Whom to wake, outside any lock.
    pub(crate) fn take_woken(&mut self, into: &mut Vec<Waker>) {
        into.append(&mut self.woken);
    }
}

pub(super) fn stream_name<'a>(options: &'a PublisherOptions, last_seen: &'a str) -> &'a str {
    options.stream.as_deref().unwrap_or(last_seen)
}
