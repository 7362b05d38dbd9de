//! Several pipelines behind one input: each sink has its own messages, answers and watermark, and a policy says how far the
//! input is done.

use alloc::vec::Vec;

use super::counts::Counts;
use super::dead_letter::DeadLetter;
use super::gap::Gap;
use super::histogram::Histogram;
use super::input::Input;
use super::ledger::Ledger;
use super::mapper::Mapper;
use super::passed::Passed;
use super::pipeline::{Pipeline, PipelineOptions};
use super::policy::CommitPolicy;
use super::record::{Oversize, Record};
use super::ring::{Line, Missed};
use super::watermark::Start;
use crate::jetstream::{Message, Outcome};
use crate::time::Instant;

/// One of the sinks of a [`FanOut`].
#[derive(Debug)]
pub struct FanOutSink {
    /// What makes its messages. The format must be the same for all sinks.
    pub mapper: Mapper,
    /// How much it holds. The bounds are also those of its queue when it is not waited for.
    pub options: PipelineOptions,
    /// Where it begins: what is before its position it has already. A fingerprint is not looked at.
    pub start: Start,
    /// Whether [`CommitPolicy::Required`] waits for it.
    pub required: bool,
}

/// Several pipelines behind one input, under one [`CommitPolicy`].
///
/// Every record is given to every sink, and is for each sink exactly one of stored, duplicate, dead, gap, skipped or
/// pending. The policy's watermark is the end of the last record before which every record is with as many sinks as the
/// policy wants. Which sinks the policy must wait for hold the input when they are full; any other gets a [`Gap`] instead of
/// what does not fit, and goes on behind it once half of its queue is free.
///
/// It is driven as a [`Pipeline`] is, with the index of a sink where one is meant; besides, its [gaps](Self::poll_gap) are
/// to be written down. With one sink it costs nothing more than the pipeline alone.
///
/// ```
/// use natsink::jetstream::Outcome;
/// use natsink::sink::{
///     CommitPolicy, FanOut, FanOutSink, Format, Input, Mapper, MapperOptions, PipelineOptions, Record, Start, Template,
///     TemplateKind,
/// };
/// use natsink::time::Instant;
///
/// let sink = |subject, required| {
///     let subject = Template::new(subject, TemplateKind::Subject)?;
///     let mapper = Mapper::new(MapperOptions::new("shop", Input::named("example"), Format::Lines, subject))?;
///     let (options, start) = (PipelineOptions::default(), Start::default());
///     Ok::<_, Box<dyn std::error::Error>>(FanOutSink { mapper, options, start, required })
/// };
/// let sinks = vec![sink("orders", true)?, sink("audit", false)?];
/// let mut fan_out = FanOut::new(CommitPolicy::Required, Start::default(), sinks);
///
/// fan_out.handle_record(Record { line: "hello".into(), position: 0, end: 6, number: 1, read_at: Instant::ZERO });
/// let (tag, message) = fan_out.poll_message(0).expect("one record waits for each sink");
/// drop(message); // to the first sink's publisher, which takes it
/// fan_out.handle_sent(0, tag);
/// fan_out.handle_outcome(0, tag, &Outcome::Stored { seq: 17 }, Instant::ZERO);
///
/// assert_eq!(fan_out.position(), 6, "the second one is not waited for");
/// let commit = fan_out.take_commit().expect("the watermark has moved");
/// assert_eq!((commit.sinks[0].position, commit.sinks[1].position), (6, 0));
/// fan_out.handle_committed(&commit);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FanOut {
    pub(super) members: Vec<Member>,
    /// The policy's account; none where there is one sink, whose own account it would be.
    pub(super) ledger: Option<Ledger>,
    /// Records the ledger holds at most, and bytes of input between its watermark and the last record.
    records_max: usize,
    bytes_max: u64,
    /// The ordinal of the next record.
    next: u64,
    pub(super) read_to: u64,
    pub(super) committing: bool,
}

/// A sink of the fan-out.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) pipeline: Pipeline,
    /// It has what is before this already.
    start: u64,
    /// Its word counts.
    votes: bool,
    /// The input waits for it.
    awaited: bool,
    /// It will take nothing more.
    failed: bool,
    /// What is read now it does not get.
    missing: bool,
    /// The ordinal of the first record that its watermark has not passed.
    cursor: Option<u64>,
}

impl FanOut {
    /// A fan-out whose policy has everything before `start`, the offset that a checkpoint holds. The input is to be read
    /// from [`begin`](Self::begin) on.
    ///
    /// A policy that would wait for nobody, [`CommitPolicy::Required`] with no such sink, waits for all; a quorum of more
    /// sinks than there are is one of all.
    ///
    /// # Panics
    /// Without sinks.
    pub fn new(policy: CommitPolicy, start: Start, sinks: Vec<FanOutSink>) -> Self {
        assert!(!sinks.is_empty(), "a fan-out has a sink");
        let policy = match policy {
            CommitPolicy::Required if sinks.iter().all(|sink| !sink.required) => CommitPolicy::All,
            policy => policy,
        };
        let needed = match policy {
            CommitPolicy::Required => sinks.iter().filter(|sink| sink.required).count(),
            CommitPolicy::All => sinks.len(),
            CommitPolicy::Quorum(count) => count.get().min(sinks.len()),
        };
        let records_max = sinks.iter().map(|sink| sink.options.records_max).max().unwrap_or_default();
        let bytes_max = sinks.iter().map(|sink| sink.options.bytes_max).max().unwrap_or_default();
        let is_alone = matches!(&*sinks, [only] if only.start.position == start.position);
        let member = |sink: FanOutSink| {
            let votes = sink.required || policy != CommitPolicy::Required;
            let awaited = votes && !matches!(policy, CommitPolicy::Quorum(_));
            Member::new(sink, &start, votes, awaited, is_alone)
        };
        let members: Vec<Member> = sinks.into_iter().map(member).collect();
        let begin = members.iter().map(|member| member.pipeline.position()).min().unwrap_or_default();
        let ledger = (!is_alone).then(|| Ledger::new(needed, &start));
        let read_to = begin.min(start.position);
        Self { members, ledger, records_max, bytes_max, next: 0, read_to, committing: false }
    }

    /// Where the input is to be read from: the least position that any sink needs, and how many lines are before it.
    pub fn begin(&self) -> (u64, u64) {
        let places = self.members.iter().map(|member| (member.pipeline.position(), member.pipeline.lines()));
        places.chain([(self.position(), self.lines())]).min().unwrap_or_default()
    }

    /// The input cannot be read again from [`begin`](Self::begin) on, but from the policy's position only: the sinks that
    /// need what is before it have a gap there. To be called before the first record.
    pub fn begin_at_policy(&mut self) {
        let (end, number) = (self.position(), self.lines());
        self.next = number;
        for member in &mut self.members {
            let (position, lines) = (member.pipeline.position(), member.pipeline.lines());
            if position < end {
                let lines = number.saturating_sub(lines).clamp(1, number.max(1));
                member.pipeline.miss(Missed { position, end, number, lines, events: lines });
                member.cursor = Some(number.saturating_sub(lines));
            }
        }
        self.read_to = end;
    }

    /// Goes on with another input at `start`. Counts and latencies go on too. Its start counts as committed, for every sink.
    ///
    /// # Panics
    /// When something of the last input is pending, at any sink, or a commit is under way.
    pub fn start_input(&mut self, input: &Input, start: Start) {
        for member in &mut self.members {
            member.pipeline.start_input(input, if self.ledger.is_some() { start.without_fingerprint() } else { start });
            (member.start, member.cursor) = (start.position, None);
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.start_input(&start);
        }
        self.read_to = start.position;
    }

    /// Whether a further record is wanted now.
    pub fn has_room(&self) -> bool {
        let Some(ledger) = &self.ledger else { return self.members[0].pipeline.has_room() };
        let held = self.read_to.saturating_sub(ledger.position());
        if ledger.len() >= self.records_max || held >= self.bytes_max {
            return false;
        }
        let is_free = |member: &&Member| member.votes && !member.failed && member.pipeline.has_room();
        self.members.iter().filter(is_free).count() >= ledger.needed()
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
        self.handle_line(Line::Oversize(line.into()), now);
    }

    #[inline]
    fn handle_line(&mut self, line: Line, now: Instant) {
        let Some(ledger) = &mut self.ledger else { return self.members[0].pipeline.handle_line(line, now) };
        assert_eq!(line.position(), self.read_to, "a record begins where the one before it ended");
        self.read_to = line.end();
        let ordinal = self.next;
        self.next += 1;
        let is_blank = self.members[0].pipeline.is_blank(&line);
        ledger.push(ordinal, &line, is_blank, now);
        self.members.iter_mut().for_each(Member::look);
        let takers = self.members.iter().filter(|member| member.votes && !member.missing).count();
        // One that has room and waits for more of it is better than none.
        let is_short = takers < ledger.needed();
        for member in &mut self.members {
            if line.end() <= member.start {
                if member.votes {
                    ledger.pass(ordinal, &Passed::BEFORE);
                }
                continue;
            }
            member.cursor.get_or_insert(ordinal);
            if is_short && !member.failed && member.pipeline.has_room() {
                member.missing = false;
            }
            member.take(&line, is_blank, now);
            member.settle(ledger);
        }
        ledger.advance(now);
    }

    /// The next message for this sink, see [`Pipeline::poll_message`].
    pub fn poll_message(&mut self, sink: usize) -> Option<(u64, Message<'_>)> {
        let member = &mut self.members[sink];
        if member.failed { None } else { member.pipeline.poll_message() }
    }

    /// This sink's publisher took the message with this tag.
    pub fn handle_sent(&mut self, sink: usize, tag: u64) {
        self.members[sink].pipeline.handle_sent(tag);
    }

    /// What this sink was sent and has not answered is to be sent again, see [`Pipeline::handle_lost`].
    pub fn handle_lost(&mut self, sink: usize) {
        self.members[sink].pipeline.handle_lost();
    }

    /// This sink's stream was looked at for the first time, see [`Pipeline::handle_began`].
    pub fn handle_began(&mut self, sink: usize, last_seq: u64) {
        self.members[sink].pipeline.handle_began(last_seq);
    }

    /// The same of a sink that no earlier run knew, see [`Pipeline::handle_found`].
    pub fn handle_found(&mut self, sink: usize, last_seq: u64) {
        self.members[sink].pipeline.handle_found(last_seq);
    }

    /// All that there is of the input is before the policy's watermark, see [`Pipeline::handle_all_read`]. A sink that is behind
    /// has not been given all of it.
    pub fn handle_all_read(&mut self, was_more: bool) {
        let end = self.position();
        for member in self.members.iter_mut().filter(|member| member.pipeline.position() >= end) {
            member.pipeline.handle_all_read(was_more);
        }
    }

    /// The subject of this sink's message with this tag, while it waits for its answer.
    pub fn subject(&mut self, sink: usize, tag: u64) -> Option<&str> {
        self.members[sink].pipeline.subject(tag)
    }

    /// The answer of this sink's publisher to the message with this tag.
    pub fn handle_outcome(&mut self, sink: usize, tag: u64, outcome: &Outcome, now: Instant) {
        self.members[sink].pipeline.handle_outcome(tag, outcome, now);
        self.settle(sink, now);
    }

    /// The message with this tag is where this sink puts it, see [`Pipeline::handle_taken`].
    pub fn handle_taken(&mut self, sink: usize, tag: u64, now: Instant) {
        self.members[sink].pipeline.handle_taken(tag, now);
        self.settle(sink, now);
    }

    /// The next dead letter to write, and whose it is. Its event is pending there until
    /// [`handle_dead_letter_written`](Self::handle_dead_letter_written).
    pub fn poll_dead_letter(&mut self) -> Option<(usize, DeadLetter)> {
        let mut members = self.members.iter_mut().enumerate();
        members.find_map(|(sink, member)| Some((sink, member.pipeline.poll_dead_letter()?)))
    }

    /// This sink's dead letter of the event with this tag is written, and will be on disk before the next commit is.
    pub fn handle_dead_letter_written(&mut self, sink: usize, tag: u64, now: Instant) {
        self.members[sink].pipeline.handle_dead_letter_written(tag, now);
        self.settle(sink, now);
    }

    /// The next gap to write down, and whose it is: its events are pending there until
    /// [`handle_gap_written`](Self::handle_gap_written). A gap that may still grow is left alone, unless this is the end of
    /// the input.
    pub fn poll_gap(&mut self, is_end: bool, now: Instant) -> Option<(usize, Gap)> {
        for sink in 0..self.members.len() {
            let member = &mut self.members[sink];
            // What a sink that has failed is to miss ends with the input: until then the next run can bring it all.
            if member.failed && !is_end {
                continue;
            }
            let gap = member.pipeline.poll_gap(member.missing && !is_end, now);
            // It may have passed blank lines, of which there is no record.
            self.settle(sink, now);
            if let Some(gap) = gap {
                return Some((sink, gap));
            }
        }
        None
    }

    /// The record of this sink's gap is written, and will be on disk before the next commit is.
    pub fn handle_gap_written(&mut self, sink: usize, now: Instant) {
        self.members[sink].pipeline.handle_gap_written(now);
        self.settle(sink, now);
    }

    /// This sink will take nothing more, ever: what it has not got is a gap, and so is all that comes. `false` when the
    /// policy cannot be satisfied without it; then nothing is to be read any more.
    pub fn handle_failed(&mut self, sink: usize) -> bool {
        let Some(ledger) = &self.ledger else { return false };
        let member = &mut self.members[sink];
        if member.awaited {
            return false;
        }
        member.failed = true;
        member.pipeline.give_up();
        let alive = self.members.iter().filter(|member| member.votes && !member.failed).count();
        let holders = self.holders(ledger);
        alive >= ledger.needed() && holders.iter().all(|holders| *holders >= ledger.needed())
    }

    /// Waits no longer for what this sink has not got, at the end of an input: it is a gap. It may still get what comes.
    pub fn give_up(&mut self, sink: usize) {
        self.members[sink].pipeline.give_up();
    }

    /// For each record that the policy has not passed, how many sinks have it or will.
    fn holders(&self, ledger: &Ledger) -> Vec<usize> {
        let mut holders: Vec<usize> = ledger.acks().collect();
        for member in self.members.iter().filter(|member| member.votes) {
            if let Some(cursor) = member.cursor {
                ledger.count_holders(&mut holders, cursor, member.pipeline.ring.iter());
            }
        }
        holders
    }

    fn settle(&mut self, sink: usize, now: Instant) {
        let Some(ledger) = &mut self.ledger else { return };
        self.members[sink].settle(ledger);
        ledger.advance(now);
    }

    /// How many sinks there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Never: a fan-out has a sink.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The pipeline of this sink.
    pub fn sink(&self, sink: usize) -> &Pipeline {
        &self.members[sink].pipeline
    }

    /// Whether the input waits for this sink, so that without it there is nothing to go on with.
    pub fn is_awaited(&self, sink: usize) -> bool {
        self.ledger.is_none() || self.members[sink].awaited
    }

    /// Whether this sink will take nothing more.
    pub fn has_failed(&self, sink: usize) -> bool {
        self.members[sink].failed
    }

    /// Whether this sink does not get what is read now.
    pub fn is_missing(&self, sink: usize) -> bool {
        self.members[sink].missing
    }

    /// Whether the policy has passed all that was read, and nobody whom it waits for is still behind it: a sink that was not
    /// waited for before can be.
    pub fn is_settled(&self) -> bool {
        let is_behind = |member: &Member| member.awaited && !member.pipeline.is_settled();
        match &self.ledger {
            Some(ledger) => ledger.is_empty() && !self.members.iter().any(is_behind),
            None => self.members[0].pipeline.is_settled(),
        }
    }

    /// Whether no sink has anything pending.
    pub fn is_done(&self) -> bool {
        self.members.iter().all(|member| member.pipeline.is_settled())
    }

    /// What became of the records so far, as the policy sees it: `dead` where a sink that counts wrote a dead letter,
    /// else `stored` where one of them newly has it, else `duplicate`. Records before the policy's own start are not in it.
    pub fn counts(&self) -> Counts {
        match &self.ledger {
            Some(ledger) => ledger.counts(),
            None => self.members[0].pipeline.counts(),
        }
    }

    /// The times from being read to being passed by the policy.
    pub fn latency(&self) -> &Histogram {
        match &self.ledger {
            Some(ledger) => ledger.latency(),
            None => self.members[0].pipeline.latency(),
        }
    }
}

impl Member {
    fn new(sink: FanOutSink, policy: &Start, votes: bool, awaited: bool, is_alone: bool) -> Self {
        let fingerprint = policy.fingerprint.filter(|_| is_alone);
        let start = Start { fingerprint, ..sink.start };
        let mut pipeline = Pipeline::new(sink.mapper, sink.options, start);
        pipeline.passed = (votes && !is_alone).then(Default::default);
        Self { pipeline, start: start.position, votes, awaited, failed: false, missing: false, cursor: None }
    }

    /// Whether the next record is for this sink: once its queue was full it waits until half of it is free.
    fn look(&mut self) {
        let is_due = if self.missing { self.pipeline.is_half_free() } else { self.pipeline.has_room() };
        self.missing = self.failed || !(self.awaited || is_due);
    }

    fn take(&mut self, line: &Line, is_blank: bool, now: Instant) {
        let position = self.pipeline.read_to;
        if self.missing {
            let events = u64::from(!is_blank);
            self.pipeline.miss(Missed { position, end: line.end(), number: line.number(), lines: 1, events });
        } else {
            self.pipeline.handle_line(line.from(position), now);
        }
    }

    /// Tells the ledger what the sink's watermark has passed.
    fn settle(&mut self, ledger: &mut Ledger) {
        let Self { pipeline, cursor, .. } = self;
        let (Some(passed), Some(cursor)) = (&mut pipeline.passed, cursor) else { return };
        for passed in passed.drain(..) {
            ledger.pass(*cursor, &passed);
            *cursor += passed.lines;
        }
    }
}
