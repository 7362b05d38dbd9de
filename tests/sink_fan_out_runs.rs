//! Several sinks over many runs: they come and go, are required or not, under any policy, and any run may die at any moment.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use natsink::jetstream::{Outcome, Rejection};
use natsink::rng::Rng;
use natsink::sink::{
    CommitPolicy, FanOut, FanOutCommit, FanOutSink, Format, Input, Mapper, MapperOptions, PipelineOptions, Record,
    Start, Template, TemplateKind,
};
use natsink::time::Instant;

const SINKS: usize = 4;
const RECORDS: usize = 60;
/// Bytes of a line.
const LINE: u64 = 3;

/// What a sink has of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Has,
    /// A gap record tells of it.
    Gap,
    /// The sink was not there when it went by.
    Absent,
}

/// What is on disk, and what the sinks hold.
struct World {
    /// Where the policy and each sink stand.
    position: u64,
    known: BTreeMap<usize, Start>,
    fates: Vec<Vec<Option<Fate>>>,
    gaps: usize,
}

/// A run: its sinks by their names, and what the policy asks of them.
struct Run {
    fan_out: FanOut,
    names: Vec<usize>,
    awaited: Vec<bool>,
    votes: Vec<bool>,
    needed: usize,
    begin: u64,
    starts: Vec<u64>,
    /// What is in flight: sink and tag.
    flying: Vec<(usize, u64)>,
    /// For each tag of a sink, its record.
    tags: Vec<Vec<usize>>,
    failed: Vec<bool>,
}

fn record(index: usize) -> Record {
    let position = index as u64 * LINE;
    // Every ninth is blank, every seventh no JSON.
    let line = if index % 9 == 4 {
        "  "
    } else if index % 7 == 3 {
        "xx"
    } else {
        "{}"
    };
    Record { line: line.into(), position, end: position + LINE, number: index as u64 + 1, read_at: Instant::ZERO }
}

fn is_blank(index: usize) -> bool {
    index % 9 == 4
}

fn start(position: u64) -> Start {
    Start { position, lines: position / LINE, ..Start::default() }
}

impl World {
    /// A run with other sinks and another policy than before; `None` where it would be refused.
    fn run(&mut self, rng: &mut Rng) -> Option<Run> {
        let names: Vec<usize> = (0..SINKS).filter(|_| rng.below(3) > 0).collect();
        let required: Vec<bool> = names.iter().map(|_| rng.below(2) == 0).collect();
        let policy = match rng.below(3) {
            0 => CommitPolicy::Required,
            1 => CommitPolicy::All,
            _ => CommitPolicy::Quorum(NonZeroUsize::new(1 + rng.below(SINKS as u64) as usize)?),
        };
        let is_first = self.known.is_empty();
        let refused = |(name, required): (&usize, &bool)| *required && !is_first && !self.known.contains_key(name);
        let lacks = policy == CommitPolicy::Required && !required.contains(&true);
        let is_too_many = matches!(policy, CommitPolicy::Quorum(count) if count.get() > names.len());
        if names.is_empty() || lacks || is_too_many || names.iter().zip(&required).any(refused) {
            return None;
        }
        let votes: Vec<bool> = required.iter().map(|it| *it || policy != CommitPolicy::Required).collect();
        let awaited = votes.iter().map(|it| *it && !matches!(policy, CommitPolicy::Quorum(_))).collect();
        let needed = match policy {
            CommitPolicy::Quorum(count) => count.get(),
            _ => votes.iter().filter(|it| **it).count(),
        };
        let sinks = names.iter().zip(&required).map(|(name, required)| {
            let subject = Template::new("s", TemplateKind::Subject).unwrap();
            let mapper = Mapper::new(MapperOptions::new("p", Input::named("in"), Format::Json, subject)).unwrap();
            let mut options = PipelineOptions::default();
            options.dead_letters = true;
            options.records_max = 2 + rng.below(8) as usize;
            let start = self.known.get(name).copied().unwrap_or(start(self.position));
            FanOutSink { mapper, options, start, required: *required }
        });
        let fan_out = FanOut::new(policy, start(self.position), sinks.collect());
        // The ones that are gone are forgotten; one that is new has nothing of what was before.
        self.known.retain(|name, _| names.contains(name));
        for name in &names {
            if !self.known.contains_key(name) {
                let absent = (self.position / LINE) as usize;
                self.fates[*name][..absent].iter_mut().for_each(|fate| *fate = fate.or(Some(Fate::Absent)));
            }
        }
        let starts = (0..names.len()).map(|sink| fan_out.sink(sink).position()).collect();
        let (tags, failed) = (vec![Vec::new(); names.len()], vec![false; names.len()]);
        let run = Run {
            begin: self.position,
            starts,
            fan_out,
            names,
            awaited,
            votes,
            needed,
            flying: Vec::new(),
            tags,
            failed,
        };
        let commit = run.fan_out.start_commit();
        self.write(&run, &commit);
        Some(run)
    }

    /// The checkpoint is on disk: what it says must be true.
    fn write(&mut self, run: &Run, commit: &FanOutCommit) {
        for (sink, (name, commit)) in run.names.iter().zip(&commit.sinks).enumerate() {
            for index in 0..(commit.position / LINE) as usize {
                let fate = self.fates[*name][index];
                assert!(is_blank(index) || fate.is_some(), "sink {name} lacks {index} in silence: {commit:?}");
            }
            assert!(commit.position >= self.known.get(name).map_or(0, |known| known.position), "{sink} goes back");
            self.known.insert(*name, start(commit.position));
        }
        assert!(commit.position >= self.position);
        for index in (run.begin / LINE) as usize..(commit.position / LINE) as usize {
            // What an earlier run has passed over at a sink, under another policy, was told then.
            let has = |sink: &usize| {
                let is_before = (index as u64) < run.starts[*sink] / LINE;
                run.votes[*sink] && (is_before || self.fates[run.names[*sink]][index] == Some(Fate::Has))
            };
            let having = (0..run.names.len()).filter(has).count();
            assert!(is_blank(index) || having >= run.needed, "the policy passes {index}, which {having} sinks have");
        }
        self.position = commit.position;
    }

    fn settle(&mut self, run: &Run, sink: usize, tag: u64, fate: Fate) {
        let index = run.tags[sink][tag as usize];
        self.fates[run.names[sink]][index] = Some(fate);
    }

    fn write_gaps(&mut self, run: &mut Run, is_end: bool) {
        while let Some((sink, gap)) = run.fan_out.poll_gap(is_end, Instant::ZERO) {
            assert!(!run.awaited[sink], "a sink that is waited for has a gap");
            let mut count = 0;
            for index in (gap.from / LINE) as usize..(gap.to / LINE) as usize {
                let fate = &mut self.fates[run.names[sink]][index];
                // What was on its way may be there all the same.
                *fate = fate.or(Some(Fate::Gap));
                count += u64::from(!is_blank(index));
            }
            assert_eq!(gap.count, count, "{gap:?}");
            self.gaps += 1;
            run.fan_out.handle_gap_written(sink, Instant::ZERO);
        }
    }

    fn write_letters(&mut self, run: &mut Run) {
        while let Some((sink, letter)) = run.fan_out.poll_dead_letter() {
            self.fates[run.names[sink]][(letter.position / LINE) as usize] = Some(Fate::Has);
            run.fan_out.handle_dead_letter_written(sink, letter.tag, Instant::ZERO);
        }
    }

    fn commit(&mut self, run: &mut Run) {
        if let Some(commit) = run.fan_out.take_commit() {
            self.write(run, &commit);
            run.fan_out.handle_committed(&commit);
        }
    }

    /// One thing happens. Whether the run goes on.
    fn step(&mut self, run: &mut Run, read: &mut usize, rng: &mut Rng) -> bool {
        let sink = rng.below(run.names.len() as u64) as usize;
        match rng.below(12) {
            0..=3 if *read < RECORDS && run.fan_out.has_room() => {
                run.read(*read);
                *read += 1;
            }
            4..=6 => {
                if let Some((tag, message)) = run.fan_out.poll_message(sink) {
                    drop(message);
                    run.fan_out.handle_sent(sink, tag);
                    run.flying.push((sink, tag));
                }
            }
            7..=8 if !run.flying.is_empty() => {
                let (sink, tag) = run.flying.swap_remove(rng.below(run.flying.len() as u64) as usize);
                if run.failed[sink] {
                    return true;
                }
                let outcome = match rng.below(6) {
                    0 => Outcome::Rejected(Rejection::TooLarge { size: 2, max: 1 }),
                    1 => Outcome::Duplicate { seq: tag + 1, verified: true },
                    _ => Outcome::Stored { seq: tag + 1 },
                };
                if !matches!(outcome, Outcome::Rejected(_)) {
                    self.settle(run, sink, tag, Fate::Has);
                }
                run.fan_out.handle_outcome(sink, tag, &outcome, Instant::ZERO);
            }
            9 => self.write_letters(run),
            10 => self.write_gaps(run, false),
            11 => match rng.below(8) {
                0 if !run.failed[sink] && rng.below(6) == 0 => {
                    self.write_letters(run);
                    let goes_on = run.fan_out.handle_failed(sink);
                    run.failed[sink] |= !run.awaited[sink];
                    return goes_on;
                }
                _ => self.commit(run),
            },
            _ => {}
        }
        true
    }

    /// The end of the input was read. Whether all is done.
    fn end(&mut self, run: &mut Run, rng: &mut Rng) -> bool {
        if !run.fan_out.is_settled() || rng.below(60) > 0 {
            return false;
        }
        let behind = |sink: &usize| !run.fan_out.sink(*sink).is_settled();
        let behind: Vec<usize> = (0..run.names.len()).filter(behind).collect();
        for sink in behind {
            assert!(!run.awaited[sink], "given up although it is waited for");
            run.fan_out.give_up(sink);
        }
        self.write_letters(run);
        self.write_gaps(run, true);
        self.write_letters(run);
        self.write_gaps(run, true);
        assert!(run.fan_out.is_done());
        self.commit(run);
        assert_eq!(self.position, RECORDS as u64 * LINE);
        true
    }
}

impl Run {
    fn read(&mut self, index: usize) {
        let before: Vec<u64> =
            self.names.iter().enumerate().map(|(sink, _)| self.fan_out.sink(sink).counts().read).collect();
        self.fan_out.handle_record(record(index));
        for (sink, before) in before.into_iter().enumerate() {
            let is_given = self.fan_out.sink(sink).counts().read > before;
            let grows = self.fan_out.is_missing(sink) && self.tags[sink].last() == Some(&usize::MAX);
            if is_given && !grows {
                self.tags[sink].push(if self.fan_out.is_missing(sink) { usize::MAX } else { index });
            }
        }
    }
}

#[test]
fn no_sink_lacks_anything_in_silence_whoever_comes_and_goes() {
    let (mut ended, mut gaps, mut runs) = (0, 0, 0);
    for seed in 0..600 {
        let mut rng = Rng::new(seed);
        let fates = vec![vec![None; RECORDS]; SINKS];
        let mut world = World { position: 0, known: BTreeMap::new(), fates, gaps: 0 };
        for _ in 0..40 {
            let Some(mut run) = world.run(&mut rng) else { continue };
            runs += 1;
            let mut read = (run.fan_out.begin().0 / LINE) as usize;
            let steps = if rng.below(4) == 0 { 20_000 } else { rng.below(300) };
            for _ in 0..steps {
                if !world.step(&mut run, &mut read, &mut rng) {
                    break;
                }
                if read == RECORDS && world.end(&mut run, &mut rng) {
                    ended += 1;
                    break;
                }
            }
        }
        gaps += world.gaps;
    }
    assert!(ended > 600 && gaps > 300, "{ended} ends, {gaps} gaps in {runs} runs");
}
