//! The pipeline: records in, messages out, outcomes in, watermark out. It has no socket, no clock and no file.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use super::counts::Counts;
use super::dead_letter::{DeadLetter, Reason, Unsent, Whole};
use super::error::EventError;
use super::histogram::Histogram;
use super::input::Input;
use super::mapper::Mapper;
use super::passed::Passed;
use super::record::{Oversize, Record};
use super::replay::Replay;
use super::ring::{Entry, Line, Ring, State};
use super::verdict::Verdict;
use super::watermark::{Start, Watermark};
use crate::jetstream::{Message, Outcome};
use crate::time::Instant;

/// How much a pipeline holds, and how often its watermark is committed. Start from the defaults.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PipelineOptions {
    /// A commit is due when the watermark has passed this many records since the last one.
    pub batch_events_max: u64,
    /// A commit is due when the watermark has passed this many bytes of input since the last one.
    pub batch_bytes_max: u64,
    /// A commit is due when the watermark moved this long ago.
    pub batch_age_max: Duration,
    /// Whether there is a place for dead letters. Without one the first event that needs it stops the pipeline.
    pub dead_letters: bool,
    /// Records held at most: twice what the publisher's window takes, or more.
    pub records_max: usize,
    /// Bytes of input between the watermark and the last record at most, before no further record is taken.
    pub bytes_max: u64,
    /// How many records after one that it had not settled an earlier run can have sent: its window and this one's, or more.
    pub replay_max: u64,
}

/// The pipeline. Records go in, in the order of their input; each is exactly one of stored, duplicate, dead, skipped or
/// pending; the watermark is the end of the last record before which nothing is pending.
///
/// Whoever drives it repeats: give it records while it [has room](Self::has_room); hand every
/// [message](Self::poll_message) to the publisher and tell it so; tell it the outcomes; write its
/// [dead letters](Self::poll_dead_letter) and tell it so; write its [commits](Self::poll_commit) and tell it so. It ends
/// when the input has ended and the pipeline [is settled](Self::is_settled), or when it [has stopped](Self::stop).
///
/// ```
/// use natsink::jetstream::Outcome;
/// use natsink::sink::{Format, Input, Mapper, MapperOptions, Pipeline, PipelineOptions, Record, Start, Template, TemplateKind};
/// use natsink::time::Instant;
///
/// let subject = Template::new("orders.events", TemplateKind::Subject)?;
/// let mapper = Mapper::new(MapperOptions::new("shop", Input::named("example"), Format::Lines, subject))?;
/// let mut pipeline = Pipeline::new(mapper, PipelineOptions::default(), Start::default());
///
/// pipeline.handle_record(Record { line: "hello".into(), position: 0, end: 6, number: 1, read_at: Instant::ZERO });
/// let (tag, message) = pipeline.poll_message().expect("one record waits");
/// drop(message); // to the publisher, which takes it
/// pipeline.handle_sent(tag);
/// pipeline.handle_outcome(tag, &Outcome::Stored { seq: 17 }, Instant::ZERO);
///
/// assert_eq!(pipeline.position(), 6);
/// let commit = pipeline.take_commit().expect("the watermark has moved");
/// assert_eq!((commit.position, commit.read_from), (6, 0));
/// pipeline.handle_committed(&commit);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pipeline {
    pub(super) mapper: Mapper,
    pub(super) options: PipelineOptions,
    pub(super) replay: Replay,
    pub(super) ring: Ring,
    /// The tag of the next record to send.
    pub(super) next_to_send: u64,
    /// The record that the mapper holds ready.
    pub(super) prepared: Option<u64>,
    pub(super) letters: VecDeque<DeadLetter>,
    pub(super) stop: Option<Box<DeadLetter>>,
    pub(super) counts: Counts,
    pub(super) latency: Histogram,
    /// Where the next record begins.
    pub(super) read_to: u64,
    pub(super) watermark: Watermark,
    pub(super) committed: Watermark,
    /// Since when the watermark is ahead of what is committed.
    pub(super) ahead_since: Option<Instant>,
    pub(super) committing: bool,
    /// The highest sequence before the watermark, in the order of the input.
    pub(super) seq_max: u64,
    /// Bytes of input that the ring stands for and does not hold.
    pub(super) gap_bytes: u64,
    /// Events of gaps that no record tells of yet.
    pub(super) missing: u64,
    /// What the watermark has passed, for a policy over several sinks to count; `None` where nobody asks.
    pub(super) passed: Option<VecDeque<Passed>>,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self {
            batch_events_max: 2000,
            batch_bytes_max: 4 * 1024 * 1024,
            batch_age_max: Duration::from_millis(50),
            dead_letters: false,
            records_max: 16 * 1024,
            bytes_max: 8 * 1024 * 1024,
            replay_max: 32 * 1024,
        }
    }
}

impl Pipeline {
    /// A pipeline that begins at `start` of the mapper's input.
    pub fn new(mapper: Mapper, options: PipelineOptions, start: Start) -> Self {
        let watermark = Watermark::at(&start, 0);
        Self {
            mapper,
            options,
            replay: Replay::new(&start, options.replay_max),
            ring: Ring::new(),
            next_to_send: 0,
            prepared: None,
            letters: VecDeque::new(),
            stop: None,
            counts: Counts::default(),
            latency: Histogram::new(),
            read_to: start.position,
            watermark,
            committed: watermark,
            ahead_since: None,
            committing: false,
            seq_max: 0,
            gap_bytes: 0,
            missing: 0,
            passed: None,
        }
    }

    /// Goes on with another input. Counts and latencies go on too, and so does what is known of the stream: only where the
    /// input begins is taken from `start`, which counts as committed.
    ///
    /// # Panics
    /// When something of the last input is pending, or a commit is under way.
    pub fn start_input(&mut self, input: &Input, start: Start) {
        assert!(self.is_settled() && !self.committing, "an input begins when the one before it is settled");
        self.mapper.set_input(input);
        self.prepared = None;
        self.read_to = start.position;
        self.watermark = Watermark::at(&start, self.watermark.records);
        self.committed = self.watermark;
        self.ahead_since = None;
    }

    /// Whether a further record is wanted now.
    pub fn has_room(&self) -> bool {
        let held = self.read_to - self.watermark.position - self.gap_bytes;
        self.stop.is_none() && self.ring.len() < self.options.records_max && held < self.options.bytes_max
    }

    /// Whether at least half of its bounds are free.
    pub(super) fn is_half_free(&self) -> bool {
        let held = self.read_to - self.watermark.position - self.gap_bytes;
        self.stop.is_none() && self.ring.len() <= self.options.records_max / 2 && held <= self.options.bytes_max / 2
    }

    /// Takes the next record.
    ///
    /// # Panics
    /// When it does not begin where the one before it ended.
    pub fn handle_record(&mut self, record: Record) {
        let now = record.read_at;
        self.handle_line(Line::Record(record), now);
    }

    /// Takes a line that is too long to be one.
    ///
    /// # Panics
    /// When it does not begin where the record before it ended.
    pub fn handle_oversize(&mut self, line: Oversize) {
        let now = line.read_at;
        self.handle_line(Line::Oversize(Box::new(line)), now);
    }

    pub(super) fn handle_line(&mut self, line: Line, now: Instant) {
        assert_eq!(line.position(), self.read_to, "a record begins where the one before it ended");
        let blank = self.is_blank(&line);
        let state = if blank { State::Skipped } else { State::Unsent };
        self.read_to = line.end();
        self.counts.read += 1;
        self.counts.skipped += u64::from(blank);
        self.ring.push(Entry::new(line, state));
        self.advance(now);
    }

    /// Whether it is no event, but a line of white space.
    pub(super) fn is_blank(&self, line: &Line) -> bool {
        matches!(line, Line::Record(record) if self.mapper.format().is_blank(&record.line))
    }

    /// The next message to send, and its tag; the same one again until [`handle_sent`](Self::handle_sent) is told of it.
    /// Events that cannot be sent are passed over: they become dead letters, or stop the pipeline.
    pub fn poll_message(&mut self) -> Option<(u64, Message<'_>)> {
        loop {
            if self.stop.is_some() {
                return None;
            }
            let tag = self.next_to_send.max(self.ring.first_tag());
            self.next_to_send = tag;
            let entry = self.ring.entry_mut(tag)?;
            let made = match &entry.line {
                _ if entry.state != State::Unsent => {
                    self.next_to_send += 1;
                    continue;
                }
                Line::Record(_) if self.prepared == Some(tag) => break,
                Line::Record(record) => self.mapper.prepare(record).map(|()| self.mapper.payload_len(record)),
                Line::Oversize(line) => Err(EventError::TooLong { len: line.len, max: line.len_max }),
                // It is unsent at no time.
                Line::Gap(_) => return None,
            };
            match made {
                Ok(payload_len) => {
                    entry.payload_len = payload_len;
                    self.prepared = Some(tag);
                }
                Err(error) => self.doom(tag, Reason::Event(error)),
            }
        }
        let tag = self.next_to_send;
        let Line::Record(record) = &self.ring.entry(tag)?.line else { return None };
        Some((tag, self.mapper.mapped(record).message()))
    }

    /// The publisher took the message with this tag.
    pub fn handle_sent(&mut self, tag: u64) {
        let read_from = self.read_from(tag);
        let Some(entry) = self.ring.entry_mut(tag).filter(|entry| entry.state == State::Unsent) else { return };
        entry.state = State::Sent;
        entry.read_from = Some(read_from);
        self.next_to_send = self.next_to_send.max(tag + 1);
    }

    /// The publisher's answer to the message with this tag. An answer to a record that has one already is ignored.
    pub fn handle_outcome(&mut self, tag: u64, outcome: &Outcome, now: Instant) {
        let Some(entry) = self.ring.entry_mut(tag) else { return };
        if !matches!(entry.state, State::Sent | State::Unsent) {
            return;
        }
        let (seq, duplicate, unverified) = match (Verdict::of(outcome), outcome) {
            (Verdict::Settled, Outcome::Stored { seq }) => (*seq, false, false),
            (Verdict::Settled, Outcome::Duplicate { seq, verified }) => (*seq, true, !verified),
            (Verdict::Dead, Outcome::Rejected(rejection)) => {
                return self.doom(tag, Reason::Rejected(rejection.clone()));
            }
            (Verdict::Stop, Outcome::Rejected(rejection)) => {
                return self.stop_at(tag, Reason::Rejected(rejection.clone()));
            }
            _ => return,
        };
        entry.state = State::Stored(seq);
        (entry.duplicate, entry.unverified) = (duplicate, unverified);
        self.counts.bytes += entry.payload_len as u64;
        if let Line::Record(record) = &entry.line {
            self.latency.record(now.since(record.read_at));
        }
        if duplicate {
            self.counts.duplicate += 1;
            self.counts.unverified += u64::from(unverified);
            self.replay.found(tag, seq, self.ring.first_tag());
        } else {
            self.counts.stored += 1;
            self.replay.stored(tag);
        }
        self.counts.saw(seq);
        self.advance(now);
    }

    /// The message with this tag is where it should be, and that place gives no sequence: a server without a stream, a file.
    /// It counts as stored.
    pub fn handle_taken(&mut self, tag: u64, now: Instant) {
        let Some(entry) = self.ring.entry_mut(tag).filter(|entry| entry.state == State::Sent) else { return };
        entry.state = State::Taken;
        self.counts.stored += 1;
        self.counts.bytes += entry.payload_len as u64;
        if let Line::Record(record) = &entry.line {
            self.latency.record(now.since(record.read_at));
        }
        self.advance(now);
    }

    /// What was sent and has no answer may be lost: it is to be sent again, from the first such on.
    pub fn handle_lost(&mut self) {
        for entry in self.ring.iter_mut().filter(|entry| entry.state == State::Sent) {
            entry.state = State::Unsent;
        }
        self.next_to_send = self.ring.first_tag();
    }

    /// The stream ended at this sequence before anything was sent: what is stored behind it is this run's.
    pub fn handle_began(&mut self, last_seq: u64) {
        self.replay.began(last_seq);
    }

    /// As [`handle_began`](Self::handle_began), for the first run of all: nothing of this pipeline's events can be in the
    /// stream at or before this sequence.
    pub fn handle_found(&mut self, last_seq: u64) {
        self.replay.is_first_run(last_seq);
        for entry in self.ring.iter_mut() {
            entry.read_from = entry.read_from.map(|read_from| read_from.max(last_seq));
        }
    }

    /// All that there is of the input was read, and what comes will be new: where all of it is settled, no earlier run can have
    /// sent what comes. `was_more` where the input may have been longer for an earlier run, as a pipe can whose writer fails:
    /// then nothing is concluded from an end that an earlier run has passed.
    pub fn handle_all_read(&mut self, was_more: bool) {
        if self.is_settled() {
            self.replay.all_read(self.ring.next_tag(), self.counts.last_seq, was_more);
        }
    }

    /// The subject of the message with this tag, while it waits for its answer.
    pub fn subject(&mut self, tag: u64) -> Option<&str> {
        let Line::Record(record) = &self.ring.entry(tag)?.line else { return None };
        self.prepared = None;
        self.mapper.prepare(record).ok()?;
        self.mapper.subject()
    }

    /// The next dead letter to write. Its event is pending until
    /// [`handle_dead_letter_written`](Self::handle_dead_letter_written).
    pub fn poll_dead_letter(&mut self) -> Option<DeadLetter> {
        self.letters.pop_front()
    }

    /// The dead letter of the event with this tag is written, and will be on disk before the next commit is.
    pub fn handle_dead_letter_written(&mut self, tag: u64, now: Instant) {
        let Some(entry) = self.ring.entry_mut(tag).filter(|entry| entry.state == State::Doomed) else { return };
        entry.state = State::Dead;
        self.counts.dead += 1;
        self.advance(now);
    }

    /// The watermark: the offset at which the next run starts.
    pub const fn position(&self) -> u64 {
        self.watermark.position
    }

    /// The offset that was committed last.
    pub const fn committed_position(&self) -> u64 {
        self.committed.position
    }

    /// How many lines are before the watermark.
    pub const fn lines(&self) -> u64 {
        self.watermark.lines
    }

    /// Whether nothing that was read is pending.
    pub fn is_settled(&self) -> bool {
        self.ring.is_empty()
    }

    /// The event that stopped the pipeline: it can never be stored as it is, and there is no place for dead letters. It is
    /// pending, the watermark stays before it, and nothing more is sent; events before it may still be settled.
    pub fn stop(&self) -> Option<&DeadLetter> {
        self.stop.as_deref()
    }

    /// What became of the records so far.
    pub fn counts(&self) -> Counts {
        let mut counts = self.counts;
        let mut seq_max = self.seq_max;
        for entry in self.ring.iter() {
            if let State::Stored(seq) = entry.state {
                counts.inversions += u64::from(seq < seq_max);
                seq_max = seq_max.max(seq);
            }
        }
        counts.pending = counts.read - counts.settled();
        counts
    }

    /// The times from being read to being settled.
    pub const fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// The sequence after which the stream can hold the event with this tag, if it is sent now.
    pub(super) fn read_from(&self, tag: u64) -> u64 {
        self.replay.read_from(tag, self.counts.last_seq)
    }

    fn doom(&mut self, tag: u64, reason: Reason) {
        if !self.options.dead_letters {
            return self.stop_at(tag, reason);
        }
        if let Some(letter) = self.letter(tag, reason, State::Doomed) {
            self.letters.push_back(letter);
        }
    }

    fn stop_at(&mut self, tag: u64, reason: Reason) {
        let letter = self.letter(tag, reason, State::Stopping);
        if self.stop.as_ref().is_none_or(|stop| tag < stop.tag) {
            self.stop = letter.map(Box::new);
        }
    }

    /// Takes an event out of what is sent, and tells all that is known of it.
    fn letter(&mut self, tag: u64, reason: Reason, state: State) -> Option<DeadLetter> {
        let entry = self.ring.entry_mut(tag)?;
        let attempts = u32::from(entry.state == State::Sent);
        entry.state = state;
        let (mut subject, mut id, mut unsent) = (None, None, None);
        let (payload, whole) = match &entry.line {
            Line::Record(record) => {
                // The buffers may hold another record by now.
                self.prepared = None;
                if self.mapper.prepare(record).is_ok() {
                    unsent = Some(Unsent::of(&self.mapper.mapped(record), &record.line));
                }
                (subject, id) = (self.mapper.subject().map(String::from), self.mapper.id().map(String::from));
                (record.line.clone(), None)
            }
            Line::Oversize(line) => (line.head.clone(), Some(Whole { len: line.len, sha256: line.sha256 })),
            Line::Gap(_) => return None,
        };
        let (position, number) = (entry.line.position(), entry.line.number());
        Some(DeadLetter { tag, position, number, subject, id, reason, attempts, payload, whole, unsent })
    }

    pub(super) fn advance(&mut self, now: Instant) {
        while let Some(entry) = self.ring.pop_settled() {
            if let State::Stored(seq) = entry.state {
                self.counts.inversions += u64::from(seq < self.seq_max);
                self.seq_max = self.seq_max.max(seq);
            }
            if let Some(fingerprint) = &mut self.watermark.fingerprint {
                entry.line.mark(fingerprint);
            }
            if let Line::Gap(gap) = &entry.line {
                self.gap_bytes -= gap.end - gap.position;
            }
            self.watermark.position = entry.line.end();
            self.watermark.lines = entry.line.number();
            self.watermark.records += entry.line.lines();
            self.ahead_since.get_or_insert(now);
            if let Some(passed) = &mut self.passed {
                passed.push_back(Passed::of(&entry));
            }
        }
        self.replay.pass(self.ring.first_tag());
    }
}
