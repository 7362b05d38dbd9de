//! Several sinks under each policy, against a naive twin: answers in any order, full queues, sinks that fail, crashes.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::num::NonZeroUsize;

use bytes::Bytes;
use natsink::jetstream::{Outcome, Rejection};
use natsink::rng::Rng;
use natsink::sink::{
    CommitPolicy, Counts, FanOut, FanOutSink, Fingerprint, Format, Gap, Input, Mapper, MapperOptions, PipelineOptions,
    PrefixHash, Record, Start, Template, TemplateKind,
};
use natsink::time::Instant;

fn sink(records_max: usize, required: bool, start: Start) -> FanOutSink {
    let subject = Template::new("s", TemplateKind::Subject).unwrap();
    let mapper = Mapper::new(MapperOptions::new("p", Input::named("in"), Format::Json, subject)).unwrap();
    let mut options = PipelineOptions::default();
    options.dead_letters = true;
    options.records_max = records_max;
    FanOutSink { mapper, options, start, required }
}

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

fn records(text: &str) -> Vec<Record> {
    let mut position = 0;
    let cut = |(i, line): (usize, &str)| {
        let (start, end) = (position, position + line.len() as u64);
        position = end;
        let line = Bytes::copy_from_slice(line.trim_end_matches('\n').as_bytes());
        Record { line, position: start, end, number: i as u64 + 1, read_at: Instant::ZERO }
    };
    text.split_inclusive('\n').enumerate().map(cut).collect()
}

fn quorum(count: usize) -> CommitPolicy {
    CommitPolicy::Quorum(NonZeroUsize::new(count).unwrap())
}

fn send(fan_out: &mut FanOut, sink: usize) -> Option<u64> {
    let (tag, message) = fan_out.poll_message(sink)?;
    drop(message);
    fan_out.handle_sent(sink, tag);
    Some(tag)
}

fn store_all(fan_out: &mut FanOut, sink: usize) {
    while let Some(tag) = send(fan_out, sink) {
        fan_out.handle_outcome(sink, tag, &Outcome::Stored { seq: tag + 1 }, at(1));
    }
}

fn write_gaps(fan_out: &mut FanOut, is_end: bool) -> Vec<(usize, Gap)> {
    let mut gaps = Vec::new();
    while let Some((sink, gap)) = fan_out.poll_gap(is_end, at(1)) {
        fan_out.handle_gap_written(sink, at(1));
        gaps.push((sink, gap));
    }
    gaps
}

#[track_caller]
fn adds_up(counts: &Counts) {
    let Counts { read, stored, duplicate, dead, gap, pending, skipped, .. } = *counts;
    assert_eq!(read, stored + duplicate + dead + gap + pending + skipped, "{counts:?}");
}

#[test]
fn a_sink_that_is_not_required_has_a_gap_where_it_was_too_slow_and_goes_on_behind_it() {
    let sinks = vec![sink(100, true, Start::default()), sink(4, false, Start::default())];
    let mut fan_out = FanOut::new(CommitPolicy::Required, Start::default(), sinks);
    let all = records(&"{}\n".repeat(20));
    for record in &all[..10] {
        assert!(fan_out.has_room(), "nobody waits for the second sink");
        fan_out.handle_record(record.clone());
        store_all(&mut fan_out, 0);
    }
    assert_eq!((fan_out.position(), fan_out.sink(1).position(), fan_out.sink(1).missing()), (30, 0, 6));
    assert!(fan_out.is_missing(1) && fan_out.is_settled() && !fan_out.is_done());
    assert_eq!(write_gaps(&mut fan_out, false), [], "the gap is not at the watermark");
    store_all(&mut fan_out, 1);
    assert_eq!(write_gaps(&mut fan_out, false), [], "the gap may still grow");
    let commit = fan_out.take_commit().unwrap();
    assert_eq!((commit.position, commit.sinks[0].position, commit.sinks[1].position), (30, 30, 12));
    fan_out.handle_committed(&commit);
    fan_out.handle_record(all[10].clone());
    let gaps = write_gaps(&mut fan_out, false);
    assert_eq!(
        gaps.iter().map(|(sink, gap)| (*sink, gap.from, gap.to, gap.count)).collect::<Vec<_>>(),
        [(1, 12, 30, 6)]
    );
    store_all(&mut fan_out, 0);
    store_all(&mut fan_out, 1);
    assert!(fan_out.is_done() && !fan_out.is_missing(1));
    let counts = fan_out.sink(1).counts();
    assert_eq!((counts.read, counts.stored, counts.gap), (11, 5, 6));
    assert_eq!((fan_out.counts().read, fan_out.counts().stored), (11, 11));
}

#[test]
fn under_the_policy_all_the_slowest_sink_holds_the_input_and_has_no_gap() {
    let sinks = vec![sink(100, true, Start::default()), sink(4, false, Start::default())];
    let mut fan_out = FanOut::new(CommitPolicy::All, Start::default(), sinks);
    let mut taken = 0;
    for record in records(&"{}\n".repeat(20)) {
        if !fan_out.has_room() {
            break;
        }
        fan_out.handle_record(record);
        store_all(&mut fan_out, 0);
        taken += 1;
    }
    assert_eq!((taken, fan_out.position(), fan_out.sink(1).missing()), (4, 0, 0));
    assert!(!fan_out.handle_failed(1), "without it the policy is never satisfied");
    store_all(&mut fan_out, 1);
    assert_eq!((fan_out.position(), fan_out.is_done()), (12, true));
}

#[test]
fn while_a_commit_is_under_way_no_other_is_waited_for() {
    let sinks = vec![sink(100, true, Start::default()), sink(100, true, Start::default())];
    let mut fan_out = FanOut::new(CommitPolicy::All, Start::default(), sinks);
    fan_out.handle_record(records("{}\n").remove(0));
    store_all(&mut fan_out, 0);
    let commit = fan_out.take_commit().unwrap();
    // This one has moved since, and would be due soon.
    store_all(&mut fan_out, 1);
    assert_eq!(fan_out.poll_timeout(), None);
    assert_eq!(fan_out.poll_commit(at(1_000_000)), None);
    fan_out.handle_committed(&commit);
    assert!(fan_out.poll_timeout().is_some() && fan_out.poll_commit(at(1_000_000)).is_some());
}

#[test]
fn required_with_no_required_sink_waits_for_all() {
    let sinks = vec![sink(9, false, Start::default()), sink(9, false, Start::default())];
    let mut fan_out = FanOut::new(CommitPolicy::Required, Start::default(), sinks);
    fan_out.handle_record(records("{}\n").remove(0));
    store_all(&mut fan_out, 0);
    assert_eq!(fan_out.position(), 0);
    store_all(&mut fan_out, 1);
    assert_eq!(fan_out.position(), 3);
}

#[test]
fn a_quorum_goes_on_without_a_failed_sink_and_ends_where_an_event_cannot_have_it_any_more() {
    let start = Start::default();
    let sinks = vec![sink(9, true, start), sink(9, true, start), sink(2, true, start)];
    let mut fan_out = FanOut::new(quorum(2), start, sinks);
    for record in records(&"{}\n".repeat(4)) {
        assert!(fan_out.has_room());
        fan_out.handle_record(record);
    }
    store_all(&mut fan_out, 0);
    assert_eq!(fan_out.position(), 0, "one sink is no quorum");
    // The third sink has the first two events only: without the second nobody else will ever have the others.
    let mut other =
        FanOut::new(quorum(2), start, vec![sink(9, true, start), sink(9, true, start), sink(2, true, start)]);
    records(&"{}\n".repeat(2)).into_iter().for_each(|record| other.handle_record(record));
    assert!(other.handle_failed(1), "two sinks have both events or will");
    assert!(!fan_out.handle_failed(1), "the last two events can be with one sink only");
    store_all(&mut other, 0);
    store_all(&mut other, 2);
    assert_eq!((other.position(), other.has_room()), (6, true));
    assert!(!other.handle_failed(2), "one sink is left");
}

#[test]
fn a_failed_sinks_gap_is_one_record_at_the_end() {
    let sinks = vec![sink(100, true, Start::default()), sink(100, false, Start::default())];
    let mut fan_out = FanOut::new(CommitPolicy::Required, Start::default(), sinks);
    let all = records("{}\nbad\n{}\n\n{}\n{}\n");
    all[..3].iter().for_each(|record| fan_out.handle_record(record.clone()));
    let tag = send(&mut fan_out, 1).unwrap();
    fan_out.handle_outcome(1, tag, &Outcome::Stored { seq: 1 }, at(1));
    send(&mut fan_out, 1).unwrap();
    assert!(fan_out.handle_failed(1));
    assert!(fan_out.poll_message(1).is_none());
    all[3..].iter().for_each(|record| fan_out.handle_record(record.clone()));
    while let Some((sink, letter)) = fan_out.poll_dead_letter() {
        fan_out.handle_dead_letter_written(sink, letter.tag, at(1));
    }
    store_all(&mut fan_out, 0);
    while let Some((sink, letter)) = fan_out.poll_dead_letter() {
        fan_out.handle_dead_letter_written(sink, letter.tag, at(1));
    }
    assert!(fan_out.is_settled());
    assert_eq!(write_gaps(&mut fan_out, false), [], "until the end the next run can bring it all");
    assert_eq!(fan_out.sink(1).position(), 7, "behind the dead letter");
    let gaps = write_gaps(&mut fan_out, true);
    assert_eq!(gaps.iter().map(|(_, gap)| (gap.from, gap.to, gap.count)).collect::<Vec<_>>(), [(7, 17, 3)]);
    let counts = fan_out.sink(1).counts();
    assert_eq!((counts.stored, counts.dead, counts.gap, counts.skipped, counts.pending), (1, 1, 3, 1, 0));
    assert!(fan_out.is_done());
}

#[test]
fn a_pipe_that_cannot_be_read_again_leaves_a_gap_to_the_sink_that_was_behind() {
    let text = "{}\n".repeat(10);
    let begin = |position: u64| Start { position, lines: position / 3, ..Start::default() };
    let sinks = vec![sink(100, true, begin(18)), sink(100, false, begin(6)), sink(100, true, begin(15))];
    let mut fan_out = FanOut::new(CommitPolicy::Required, begin(15), sinks);
    assert_eq!(fan_out.begin(), (6, 2));
    fan_out.begin_at_policy();
    records(&text)[5..].iter().for_each(|record| fan_out.handle_record(record.clone()));
    let gaps = write_gaps(&mut fan_out, false);
    assert_eq!(
        gaps.iter().map(|(sink, gap)| (*sink, gap.from, gap.to, gap.count)).collect::<Vec<_>>(),
        [(1, 6, 15, 3)]
    );
    (0..3).for_each(|sink| store_all(&mut fan_out, sink));
    assert_eq!((fan_out.position(), fan_out.is_done()), (30, true));
    assert_eq!([0, 1, 2].map(|sink| fan_out.sink(sink).counts().stored), [4, 5, 5]);
    assert_eq!((fan_out.counts().read, fan_out.counts().stored), (5, 5));
}

#[test]
fn a_sink_that_is_waited_for_from_now_on_is_waited_for_at_the_end_too() {
    let text = "{}\n".repeat(4);
    let begin = |position: u64| Start { position, lines: position / 3, ..Start::default() };
    // The second one was not required before, and is behind the policy.
    let sinks = vec![sink(100, true, begin(12)), sink(100, true, begin(3))];
    let mut fan_out = FanOut::new(CommitPolicy::Required, begin(12), sinks);
    assert_eq!(fan_out.begin(), (3, 1));
    records(&text)[1..].iter().for_each(|record| fan_out.handle_record(record.clone()));
    assert!(!fan_out.is_settled(), "what the policy waits for is pending");
    store_all(&mut fan_out, 1);
    assert!(fan_out.is_settled() && fan_out.is_done());
}

#[test]
fn the_end_of_the_input_says_nothing_to_a_sink_that_is_behind_it() {
    let begin = |position: u64| Start { position, lines: position / 3, read_from: 1, ..Start::default() };
    let sinks = vec![sink(100, true, begin(12)), sink(100, false, begin(3))];
    let mut fan_out = FanOut::new(CommitPolicy::Required, begin(12), sinks);
    (0..2).for_each(|sink| fan_out.handle_began(sink, 50));
    let read_from =
        |fan_out: &FanOut| fan_out.start_commit().sinks.iter().map(|sink| sink.read_from).collect::<Vec<_>>();
    fan_out.handle_all_read(false);
    assert_eq!(read_from(&fan_out), [50, 1], "the second one has yet to be given what the first one has");
    records(&"{}\n".repeat(4))[1..].iter().for_each(|record| fan_out.handle_record(record.clone()));
    store_all(&mut fan_out, 1);
    fan_out.handle_all_read(false);
    assert_eq!(read_from(&fan_out), [50, 50]);
}

#[test]
fn what_all_sinks_have_already_is_committed() {
    let begin = |position: u64| Start { position, lines: position / 3, ..Start::default() };
    // The sink that the policy waited for is gone.
    let mut fan_out = FanOut::new(CommitPolicy::Required, begin(3), vec![sink(100, true, begin(9))]);
    assert_eq!(fan_out.begin(), (3, 1));
    records(&"{}\n".repeat(3))[1..].iter().for_each(|record| fan_out.handle_record(record.clone()));
    let commit = fan_out.take_commit().expect("the policy has moved");
    assert_eq!((commit.position, commit.sinks[0].position, commit.records), (9, 9, 2));
    fan_out.handle_committed(&commit);
    assert_eq!((fan_out.committed_position(), fan_out.take_commit()), (9, None));
}

/// What the naive twin knows of a record at a sink.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// Brought by an earlier run.
    Before,
    Pending,
    Stored,
    Duplicate,
    Dead,
    Gap,
    Blank,
}

/// A world: a fan-out, what it was given, and what became of it.
struct World {
    fan_out: FanOut,
    all: Vec<Record>,
    read: usize,
    fates: Vec<Vec<Fate>>,
    /// For each tag of a sink, its record.
    tags: Vec<Vec<usize>>,
    flying: Vec<Vec<u64>>,
    votes: Vec<bool>,
    awaited: Vec<bool>,
    needed: usize,
    failed: Vec<bool>,
    start: u64,
    over: bool,
}

impl World {
    fn new(rng: &mut Rng, seed: u64) -> Self {
        let lines = ["{}", "", "bad", "{\"a\":1}", "  ", "{ }"];
        let text: String = (0..80).map(|_| format!("{}\n", lines[rng.below(6) as usize])).collect();
        let all = records(&text);
        let count = 2 + rng.below(3) as usize;
        let mut required: Vec<bool> = (0..count).map(|_| rng.below(2) == 0).collect();
        required[0] |= required.iter().all(|required| !required);
        let policy = match seed % 3 {
            0 => CommitPolicy::Required,
            1 => CommitPolicy::All,
            _ => quorum(1 + rng.below(count as u64) as usize),
        };
        let votes: Vec<bool> = required.iter().map(|required| *required || policy != CommitPolicy::Required).collect();
        let awaited = votes.iter().map(|votes| *votes && !matches!(policy, CommitPolicy::Quorum(_))).collect();
        let needed = match policy {
            CommitPolicy::Quorum(needed) => needed.get(),
            _ => votes.iter().filter(|votes| **votes).count(),
        };
        let begins: Vec<usize> =
            (0..count).map(|_| if rng.below(2) == 0 { 0 } else { rng.below(20) as usize }).collect();
        let mut behind: Vec<usize> = begins.iter().zip(&votes).filter(|it| *it.1).map(|it| *it.0).collect();
        behind.sort_unstable_by(|a, b| b.cmp(a));
        let start_of = |index: usize| {
            let position = all[index].position;
            let mut prefix = PrefixHash::default();
            prefix.update(&text.as_bytes()[..position as usize]);
            let fingerprint: Option<Fingerprint> = Some(prefix.finish());
            Start { position, lines: index as u64, fingerprint, ..Start::default() }
        };
        let policy_start = start_of(behind[needed - 1]);
        let sinks = begins.iter().zip(&required);
        let sinks =
            sinks.map(|(begin, required)| sink(3 + rng.below(9) as usize, *required, start_of(*begin))).collect();
        let fan_out = FanOut::new(policy, policy_start, sinks);
        let (first, lines) = fan_out.begin();
        assert_eq!(first, all[*begins.iter().min().unwrap()].position, "the least that any sink needs");
        let fates = begins.iter().map(|begin| vec![Fate::Before; *begin]).collect();
        let (read, start) = (lines as usize, policy_start.position);
        let (tags, flying, failed) = (vec![Vec::new(); count], vec![Vec::new(); count], vec![false; count]);
        Self { fan_out, all, read, fates, tags, flying, votes, awaited, needed, failed, start, over: false }
    }

    fn sinks(&self) -> usize {
        self.fates.len()
    }

    fn read_one(&mut self) {
        let Some(record) = self.all.get(self.read).filter(|_| self.fan_out.has_room()) else { return };
        self.fan_out.handle_record(record.clone());
        for sink in 0..self.sinks() {
            if self.fates[sink].len() > self.read {
                continue;
            }
            let blank = record.line.trim_ascii().is_empty();
            let missing = self.fan_out.is_missing(sink);
            assert!(!missing || !self.awaited[sink] || self.failed[sink], "a sink that is waited for has a gap");
            self.fates[sink].push(match (missing, blank) {
                (_, true) => Fate::Blank,
                (true, false) => Fate::Gap,
                (false, false) => Fate::Pending,
            });
            // A coalesced gap is one entry, and one tag.
            let grows = missing && self.tags[sink].last().is_some_and(|last| *last == usize::MAX);
            if !grows {
                self.tags[sink].push(if missing { usize::MAX } else { self.read });
            }
        }
        self.read += 1;
    }

    fn step(&mut self, rng: &mut Rng) {
        let sink = rng.below(self.sinks() as u64) as usize;
        match rng.below(12) {
            0..=3 => self.read_one(),
            4..=5 => {
                if let Some(tag) = send(&mut self.fan_out, sink) {
                    self.flying[sink].push(tag);
                }
            }
            6..=8 if !self.flying[sink].is_empty() => {
                let late = rng.below(self.flying[sink].len() as u64) as usize;
                let tag = self.flying[sink].swap_remove(late);
                self.answer(rng, sink, tag);
            }
            9 => self.write_letters(),
            10 => drop(write_gaps(&mut self.fan_out, false)),
            11 if rng.below(40) == 0 && !self.failed[sink] => self.fail(sink),
            _ => {}
        }
    }

    fn answer(&mut self, rng: &mut Rng, sink: usize, tag: u64) {
        let record = self.tags[sink][tag as usize];
        if self.failed[sink] {
            return;
        }
        let outcome = match rng.below(5) {
            0 => Outcome::Rejected(Rejection::TooLarge { size: 2, max: 1 }),
            1 => Outcome::Duplicate { seq: tag + 1, verified: true },
            2 => {
                self.fates[sink][record] = Fate::Stored;
                return self.fan_out.handle_taken(sink, tag, at(1));
            }
            _ => Outcome::Stored { seq: tag + 1 },
        };
        match outcome {
            Outcome::Stored { .. } => self.fates[sink][record] = Fate::Stored,
            Outcome::Duplicate { .. } => self.fates[sink][record] = Fate::Duplicate,
            _ => {}
        }
        self.fan_out.handle_outcome(sink, tag, &outcome, at(1));
    }

    fn write_letters(&mut self) {
        while let Some((sink, letter)) = self.fan_out.poll_dead_letter() {
            let record = self.tags[sink][letter.tag as usize];
            self.fates[sink][record] = Fate::Dead;
            self.fan_out.handle_dead_letter_written(sink, letter.tag, at(1));
        }
    }

    fn fail(&mut self, sink: usize) {
        // Those that are waited for end the run, which is no world to go on with.
        if self.awaited[sink] {
            assert!(!self.fan_out.handle_failed(sink));
            return;
        }
        self.write_letters();
        let goes_on = self.fan_out.handle_failed(sink);
        self.failed[sink] = true;
        self.flying[sink].clear();
        for fate in self.fates[sink].iter_mut().filter(|fate| **fate == Fate::Pending) {
            *fate = Fate::Gap;
        }
        let possible = (0..self.read).all(|record| {
            let votes = (0..self.sinks()).filter(|sink| self.votes[*sink]);
            self.all[record].end <= self.fan_out.position()
                || self.fates[sink][record] == Fate::Blank
                || votes.filter(|sink| self.fates[*sink].get(record) != Some(&Fate::Gap)).count() >= self.needed
        });
        let alive = (0..self.sinks()).filter(|sink| self.votes[*sink] && !self.failed[*sink]).count();
        assert_eq!(goes_on, possible && alive >= self.needed);
        self.over |= !goes_on;
    }

    /// Whether a sink has this record and all before it, as far as it will ever have them.
    fn has(&self, sink: usize, record: usize) -> bool {
        let fates = &self.fates[sink];
        let settled = self.fan_out.sink(sink).position() >= self.all[record].end;
        settled && matches!(fates[record], Fate::Before | Fate::Stored | Fate::Duplicate | Fate::Dead)
    }

    fn check(&mut self, seed: u64) {
        let blank = |record: usize| self.all[record].line.trim_ascii().is_empty();
        let passes = |record: usize| {
            let votes = (0..self.sinks()).filter(|sink| self.votes[*sink] && self.has(*sink, record));
            blank(record) || votes.count() >= self.needed
        };
        let first = self.all.iter().position(|record| record.position == self.start).unwrap();
        let passed = (first..self.read).take_while(|record| passes(*record)).last();
        let naive = passed.map_or(self.start, |last| self.all[last].end);
        assert_eq!(self.fan_out.position(), naive, "seed {seed}");
        let counts = self.fan_out.counts();
        adds_up(&counts);
        assert_eq!(counts.read as usize, self.read.saturating_sub(first), "seed {seed}");
        for sink in 0..self.sinks() {
            self.check_sink(sink, seed);
        }
    }

    fn check_sink(&self, sink: usize, seed: u64) {
        let counts = self.fan_out.sink(sink).counts();
        adds_up(&counts);
        let count = |fate| self.fates[sink].iter().filter(|it| **it == fate).count() as u64;
        assert_eq!(counts.stored, count(Fate::Stored), "seed {seed}, sink {sink}");
        assert_eq!(counts.duplicate, count(Fate::Duplicate), "seed {seed}, sink {sink}");
        assert_eq!(counts.skipped, count(Fate::Blank), "seed {seed}, sink {sink}");
        assert_eq!(counts.dead, count(Fate::Dead), "seed {seed}, sink {sink}");
        assert_eq!(counts.gap + self.fan_out.sink(sink).missing(), count(Fate::Gap), "seed {seed}, sink {sink}");
    }
}

#[test]
fn the_policy_passes_what_it_says_and_each_sink_has_each_event_in_one_way() {
    let mut ended = 0;
    for seed in 0..240 {
        let mut rng = Rng::new(seed);
        let mut world = World::new(&mut rng, seed);
        let mut committed = world.start;
        for _ in 0..10_000 {
            (0..3).for_each(|_| world.step(&mut rng));
            world.check(seed);
            if rng.below(8) == 0
                && let Some(commit) = world.fan_out.take_commit()
            {
                assert!(commit.position >= committed && commit.position == world.fan_out.position(), "seed {seed}");
                let text: Vec<u8> = world.all.iter().flat_map(|it| [&it.line[..], b"\n"].concat()).collect();
                let mut prefix = PrefixHash::default();
                prefix.update(&text[..commit.position as usize]);
                assert_eq!(commit.fingerprint, Some(prefix.finish()), "seed {seed}");
                committed = commit.position;
                world.fan_out.handle_committed(&commit);
            }
            if world.over || world.read == world.all.len() && world.fan_out.is_settled() {
                break;
            }
        }
        if world.over {
            continue;
        }
        ended += 1;
        (0..world.sinks()).for_each(|sink| store_all_known(&mut world, sink));
        let lacking: Vec<usize> = (0..world.sinks()).filter(|sink| !world.fan_out.sink(*sink).is_settled()).collect();
        lacking.into_iter().for_each(|sink| world.fan_out.give_up(sink));
        write_gaps(&mut world.fan_out, true);
        world.write_letters();
        write_gaps(&mut world.fan_out, true);
        assert!(world.fan_out.is_done(), "seed {seed}");
        let end = world.all.last().unwrap().end;
        assert_eq!(world.fan_out.position(), end, "seed {seed}");
        for sink in 0..world.sinks() {
            let counts = world.fan_out.sink(sink).counts();
            adds_up(&counts);
            assert_eq!((counts.pending, world.fan_out.sink(sink).position()), (0, end), "seed {seed}, sink {sink}");
            assert!(!world.awaited[sink] || counts.gap == 0, "seed {seed}, sink {sink}");
        }
    }
    assert!(ended > 120, "most worlds come to their end: {ended}");
}

/// Brings a sink's world to its end: all that flies is stored.
fn store_all_known(world: &mut World, sink: usize) {
    for tag in std::mem::take(&mut world.flying[sink]) {
        let record = world.tags[sink][tag as usize];
        if !world.failed[sink] && world.fates[sink][record] == Fate::Pending {
            world.fan_out.handle_outcome(sink, tag, &Outcome::Stored { seq: tag + 1 }, at(1));
            world.fates[sink][record] = Fate::Stored;
        }
    }
    world.check_sink(sink, 0);
}
