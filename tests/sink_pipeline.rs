//! The pipeline against a naive twin and a model stream: outcomes in any order, crashes at any moment.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use natsink::jetstream::{Outcome, Rejection};
use natsink::rng::Rng;
use natsink::sink::{
    Commit, Counts, EventError, Fingerprint, Format, Input, LineHash, Mapper, MapperOptions, Oversize, Pipeline,
    PipelineOptions, PrefixHash, Reason, Record, Start, Template, TemplateKind,
};
use natsink::time::Instant;

fn pipeline(format: Format, options: PipelineOptions, start: Start) -> Pipeline {
    let subject = Template::new("s", TemplateKind::Subject).unwrap();
    let mapper = Mapper::new(MapperOptions::new("p", Input::named("in"), format, subject)).unwrap();
    Pipeline::new(mapper, options, start)
}

fn with_letters() -> PipelineOptions {
    let mut options = PipelineOptions::default();
    options.dead_letters = true;
    options
}

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

/// Cuts text into records from `position` on.
fn records(text: &str, position: u64, lines: u64) -> Vec<Record> {
    let mut at = position;
    let mut records = Vec::new();
    for (i, line) in text[position as usize..].split_inclusive('\n').enumerate() {
        let end = at + line.len() as u64;
        let bytes = Bytes::copy_from_slice(line.trim_end_matches('\n').as_bytes());
        records.push(Record { line: bytes, position: at, end, number: lines + i as u64 + 1, read_at: Instant::ZERO });
        at = end;
    }
    records
}

fn oversize(record: &Record) -> Oversize {
    let mut hash = LineHash::default();
    hash.update(&record.line);
    Oversize {
        position: record.position,
        end: record.end,
        number: record.number,
        read_at: record.read_at,
        len: record.line.len() as u64,
        len_max: 3,
        head: record.line.slice(..record.line.len().min(4)),
        sha256: [7; 32],
        mark: hash.finish(),
    }
}

fn send(pipeline: &mut Pipeline) -> Option<u64> {
    let (tag, message) = pipeline.poll_message()?;
    drop(message);
    pipeline.handle_sent(tag);
    Some(tag)
}

fn rejected() -> Outcome {
    Outcome::Rejected(Rejection::TooLarge { size: 2, max: 1 })
}

fn counts(pipeline: &Pipeline) -> Counts {
    let counts = pipeline.counts();
    let sum = counts.stored + counts.duplicate + counts.dead + counts.pending + counts.skipped;
    assert_eq!(counts.read, sum, "{counts:?}");
    counts
}

#[test]
fn a_message_is_offered_until_it_is_sent() {
    let mut pipeline = pipeline(Format::Lines, with_letters(), Start::default());
    assert!(pipeline.poll_message().is_none());
    for record in records("a\n\nb\n", 0, 0) {
        pipeline.handle_record(record);
    }
    assert_eq!(pipeline.poll_message().unwrap().0, 0);
    assert_eq!(pipeline.poll_message().unwrap().0, 0);
    assert_eq!(send(&mut pipeline), Some(0));
    assert_eq!(send(&mut pipeline), Some(2), "the blank line is passed over");
    assert_eq!(send(&mut pipeline), None);
    pipeline.handle_outcome(2, &Outcome::Stored { seq: 9 }, at(5));
    assert_eq!(pipeline.position(), 0);
    pipeline.handle_outcome(0, &Outcome::Duplicate { seq: 10, verified: false }, at(7));
    assert_eq!((pipeline.position(), pipeline.lines()), (5, 3));
    pipeline.handle_outcome(0, &rejected(), at(8));
    let counts = counts(&pipeline);
    assert_eq!((counts.stored, counts.duplicate, counts.unverified, counts.skipped), (1, 1, 1, 1));
    assert_eq!((counts.first_seq, counts.last_seq, counts.inversions, counts.bytes), (9, 10, 1, 2));
    assert_eq!(pipeline.latency().max(), Some(Duration::from_micros(7)));
}

#[test]
fn a_commit_is_due_by_records_bytes_or_age() {
    let mut options = PipelineOptions::default();
    options.batch_events_max = 3;
    options.batch_bytes_max = 1000;
    options.batch_age_max = Duration::from_micros(10);
    let long = format!("{}\n", "x".repeat(1000));
    let text = format!("a\na\na\na\n{long}a\n");
    let mut pipeline = pipeline(Format::Lines, options, Start::default());
    for record in records(&text, 0, 0) {
        pipeline.handle_record(record);
    }
    while send(&mut pipeline).is_some() {}
    let stored =
        |pipeline: &mut Pipeline, tag: u64, now| pipeline.handle_outcome(tag, &Outcome::Stored { seq: tag + 1 }, now);
    assert_eq!(pipeline.poll_commit(at(999)), None, "nothing to commit");
    stored(&mut pipeline, 0, at(100));
    assert_eq!(pipeline.poll_timeout(), Some(at(110)));
    assert_eq!(pipeline.poll_commit(at(109)), None);
    let commit = pipeline.poll_commit(at(110)).unwrap();
    assert_eq!((commit.position, commit.records, commit.lines), (2, 1, 1));
    (1..4).for_each(|tag| stored(&mut pipeline, tag, at(111)));
    assert_eq!(pipeline.poll_commit(at(200)), None, "one commit at a time");
    pipeline.handle_committed(&commit);
    let commit = pipeline.poll_commit(at(111)).unwrap();
    assert_eq!((commit.position, commit.records), (8, 3));
    pipeline.handle_committed(&commit);
    stored(&mut pipeline, 4, at(112));
    let commit = pipeline.poll_commit(at(112)).unwrap();
    pipeline.handle_committed(&commit);
    stored(&mut pipeline, 5, at(113));
    let commit = pipeline.take_commit().unwrap();
    pipeline.handle_committed(&commit);
    assert_eq!(commit.position, text.len() as u64);
    assert_eq!((pipeline.take_commit(), counts(&pipeline).batches), (None, 4));
}

#[test]
fn a_dead_letter_holds_the_watermark_until_it_is_written() {
    let text = "{\"a\":1}\n{\n{\"b\":2}\nlonger\n{}\n";
    let mut pipeline = pipeline(Format::Json, with_letters(), Start::default());
    for (i, record) in records(text, 0, 0).into_iter().enumerate() {
        match i {
            3 => pipeline.handle_oversize(oversize(&record)),
            _ => pipeline.handle_record(record),
        }
    }
    let mut tags = Vec::new();
    tags.extend(std::iter::from_fn(|| send(&mut pipeline)));
    assert_eq!(tags, [0, 2, 4]);
    pipeline.handle_outcome(2, &rejected(), at(1));
    for tag in [0, 4] {
        pipeline.handle_outcome(tag, &Outcome::Stored { seq: tag + 1 }, at(1));
    }
    assert_eq!((pipeline.position(), counts(&pipeline).pending), (8, 3));
    let [broken, long, refused] = [(); 3].map(|()| pipeline.poll_dead_letter().unwrap());
    assert_eq!(pipeline.poll_dead_letter(), None);
    assert_eq!((broken.tag, broken.position, broken.number, broken.attempts), (1, 8, 2, 0));
    assert_eq!((broken.subject, broken.id, &*broken.payload), (None, None, &b"{"[..]));
    assert!(matches!(broken.reason, Reason::Event(EventError::NotJson { .. })));
    assert_eq!((long.tag, &*long.payload, long.whole.unwrap().len), (3, &b"long"[..], 6));
    assert_eq!(long.reason.to_string(), "the line has 6 bytes, and max_line_bytes is 3");
    assert_eq!((refused.tag, refused.attempts, &*refused.payload), (2, 1, &b"{\"b\":2}"[..]));
    assert_eq!((refused.subject.as_deref(), refused.id.as_deref()), (Some("s"), Some("p|in:10")));
    assert!(refused.to_string().starts_with("line 3 (position 10, subject s, id p|in:10): message of 2 bytes"));
    for (tag, position) in [(3, 8), (1, 10), (2, text.len() as u64)] {
        pipeline.handle_dead_letter_written(tag, at(2));
        assert_eq!(pipeline.position(), position);
    }
    assert_eq!((pipeline.is_settled(), counts(&pipeline).dead), (true, 3));
}

#[test]
fn without_a_place_for_dead_letters_the_first_bad_event_stops_all() {
    let mut pipeline = pipeline(Format::Json, PipelineOptions::default(), Start::default());
    for record in records("{}\n{}\n{}\n{\n{}\n", 0, 0) {
        pipeline.handle_record(record);
    }
    while send(&mut pipeline).is_some() {}
    assert_eq!(pipeline.stop().map(|stop| (stop.tag, stop.number, stop.position)), Some((3, 4, 9)));
    assert!(!pipeline.has_room() && pipeline.poll_message().is_none() && pipeline.poll_dead_letter().is_none());
    pipeline.handle_outcome(1, &rejected(), at(1));
    assert_eq!(pipeline.stop().map(|stop| stop.tag), Some(1), "the first one in the order of the input");
    pipeline.handle_outcome(2, &rejected(), at(1));
    pipeline.handle_outcome(0, &Outcome::Stored { seq: 1 }, at(1));
    assert_eq!(pipeline.stop().map(|stop| stop.tag), Some(1));
    assert_eq!((pipeline.position(), counts(&pipeline).pending), (3, 4));
    assert_eq!(pipeline.take_commit().unwrap().position, 3);
}

#[test]
fn an_ack_of_another_stream_stops_all_even_with_a_place_for_dead_letters() {
    let mut pipeline = pipeline(Format::Lines, with_letters(), Start::default());
    records("a\nb\n", 0, 0).into_iter().for_each(|record| pipeline.handle_record(record));
    let tag = send(&mut pipeline).unwrap();
    let wrong = Outcome::Rejected(Rejection::WrongStream { found: "OTHER".into() });
    pipeline.handle_outcome(tag, &wrong, at(1));
    assert!(pipeline.stop().is_some() && pipeline.poll_message().is_none() && pipeline.poll_dead_letter().is_none());
}

#[test]
fn an_unknown_event_stays_pending() {
    let mut pipeline = pipeline(Format::Lines, with_letters(), Start::default());
    records("a\nb\n", 0, 0).into_iter().for_each(|record| pipeline.handle_record(record));
    while send(&mut pipeline).is_some() {}
    pipeline.handle_outcome(0, &Outcome::Unknown, at(1));
    pipeline.handle_outcome(1, &Outcome::Stored { seq: 1 }, at(1));
    assert_eq!((pipeline.position(), counts(&pipeline).pending, pipeline.stop()), (0, 1, None));
    assert_eq!(pipeline.take_commit(), None);
}

#[test]
fn a_hole_does_not_let_memory_grow() {
    let mut options = with_letters();
    options.records_max = 100;
    let mut pipeline = pipeline(Format::Json, options, Start::default());
    let text = format!("{{}}\n{}", "\nbad\n".repeat(1000));
    let mut taken = 0;
    for record in records(&text, 0, 0) {
        while send(&mut pipeline).is_some() {}
        while let Some(letter) = pipeline.poll_dead_letter() {
            pipeline.handle_dead_letter_written(letter.tag, at(1));
        }
        if !pipeline.has_room() {
            break;
        }
        pipeline.handle_record(record);
        taken += 1;
    }
    assert_eq!(taken, 100);
    pipeline.handle_outcome(0, &Outcome::Stored { seq: 1 }, at(1));
    assert!(pipeline.has_room());
}

#[test]
fn another_input_begins_where_it_begins() {
    let mut pipeline = pipeline(Format::Lines, with_letters(), Start::default());
    records("a\n", 0, 0).into_iter().for_each(|record| pipeline.handle_record(record));
    send(&mut pipeline);
    pipeline.handle_outcome(0, &Outcome::Stored { seq: 1 }, at(1));
    let commit = pipeline.take_commit().unwrap();
    pipeline.handle_committed(&commit);
    pipeline.start_input(&Input::named("next"), Start::default());
    assert_eq!((pipeline.position(), pipeline.take_commit()), (0, None));
    records("b\n", 0, 0).into_iter().for_each(|record| pipeline.handle_record(record));
    let (tag, message) = pipeline.poll_message().unwrap();
    assert!(format!("{message:?}").contains("p|next:0"));
    assert_eq!(tag, 1);
    pipeline.handle_sent(tag);
    pipeline.handle_outcome(tag, &Outcome::Stored { seq: 2 }, at(1));
    assert_eq!((pipeline.take_commit().unwrap().position, counts(&pipeline).stored), (2, 2));
}

/// What the naive twin knows of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Pending,
    Settled,
}

#[test]
fn the_watermark_is_the_naive_one_whatever_the_order() {
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let lines = ["{}", "", "bad", "{\"a\":1}", "  ", "long"];
        let text: String = (0..60).map(|_| format!("{}\n", lines[rng.below(6) as usize])).collect();
        let all = records(&text, 0, 0);
        let fingerprint = Some(Fingerprint::default());
        let mut pipeline = pipeline(Format::Json, with_letters(), Start { fingerprint, ..Start::default() });
        let mut fates = Vec::new();
        let mut flying = Vec::new();
        let mut letters = Vec::new();
        let mut sent = BTreeSet::new();
        let mut committed = 0;
        while fates.len() < all.len() || !pipeline.is_settled() {
            match rng.below(5) {
                0 => {
                    if let Some(record) = all.get(fates.len()) {
                        let blank = record.line.trim_ascii().is_empty();
                        fates.push(if blank { Fate::Settled } else { Fate::Pending });
                        match &*record.line {
                            b"long" => pipeline.handle_oversize(oversize(record)),
                            _ => pipeline.handle_record(record.clone()),
                        }
                    }
                }
                1 => {
                    if let Some(tag) = send(&mut pipeline) {
                        assert!(sent.insert(tag), "seed {seed}: {tag} was sent twice");
                        assert_eq!(sent.last(), Some(&tag), "seed {seed}: out of order");
                        flying.push(tag);
                    }
                    letters.extend(std::iter::from_fn(|| pipeline.poll_dead_letter()));
                }
                2 if !flying.is_empty() => {
                    let tag = flying.swap_remove(rng.below(flying.len() as u64) as usize);
                    let outcome = match rng.below(4) {
                        0 => rejected(),
                        1 => Outcome::Duplicate { seq: tag + 1, verified: true },
                        _ => Outcome::Stored { seq: tag + 1 },
                    };
                    pipeline.handle_outcome(tag, &outcome, at(1));
                    match outcome {
                        Outcome::Rejected(_) => letters.extend(pipeline.poll_dead_letter()),
                        _ => fates[tag as usize] = Fate::Settled,
                    }
                }
                3 if !letters.is_empty() => {
                    let letter = letters.swap_remove(rng.below(letters.len() as u64) as usize);
                    let record = &all[letter.tag as usize];
                    assert!(record.line.starts_with(&letter.payload) && letter.position == record.position);
                    pipeline.handle_dead_letter_written(letter.tag, at(1));
                    fates[letter.tag as usize] = Fate::Settled;
                }
                4 => {
                    if let Some(commit) = pipeline.take_commit() {
                        assert!(commit.position > committed && commit.position <= pipeline.position());
                        committed = commit.position;
                        pipeline.handle_committed(&commit);
                        let mut prefix = PrefixHash::default();
                        prefix.update(&text.as_bytes()[..commit.position as usize]);
                        assert_eq!(commit.fingerprint, Some(prefix.finish()), "seed {seed}");
                    }
                }
                _ => {}
            }
            let passed = fates.iter().take_while(|fate| **fate == Fate::Settled).count();
            let naive = passed.checked_sub(1).map_or(0, |last| all[last].end);
            assert_eq!(pipeline.position(), naive, "seed {seed}");
            assert_eq!(counts(&pipeline).read, fates.len() as u64);
        }
        assert_eq!((pipeline.position(), counts(&pipeline).pending), (text.len() as u64, 0));
    }
}

/// A stream that knows every id for ever, and stores some messages late.
#[derive(Default)]
struct Stream {
    ids: BTreeMap<u64, u64>,
    last: u64,
}

impl Stream {
    /// Publishes the event at `position`.
    fn publish(&mut self, position: u64) -> Outcome {
        if let Some(&seq) = self.ids.get(&position) {
            return Outcome::Duplicate { seq, verified: true };
        }
        self.last += 1;
        self.ids.insert(position, self.last);
        Outcome::Stored { seq: self.last }
    }
}

/// What a checkpoint promises: no event after its position is at or before the sequence to read back from. How many events
/// before it are read back in vain.
fn check(commit: &Commit, stream: &Stream, seed: u64) -> usize {
    for (position, seq) in &stream.ids {
        let behind = *position < commit.position || *seq > commit.read_from;
        assert!(behind, "seed {seed}: the event at {position} is at {seq}, and {commit:?} would not find it");
    }
    stream.ids.iter().filter(|(position, seq)| **position < commit.position && **seq > commit.read_from).count()
}

#[test]
fn what_is_after_a_checkpoint_is_after_its_sequence_over_any_number_of_crashes() {
    const WINDOW: usize = 6;
    const REACH: usize = 2 * WINDOW;
    let mut raised = 0;
    for seed in 0..600 {
        let mut rng = Rng::new(seed);
        let text: String = (0..120).map(|i| format!("{i}\n")).collect();
        let mut stream = Stream { last: 1000, ..Stream::default() };
        let mut start = Start { read_from: stream.last, ..Start::default() };
        while start.position < text.len() as u64 {
            let mut options = with_letters();
            options.replay_max = REACH as u64;
            let mut pipeline = pipeline(Format::Lines, options, start);
            // In some worlds nobody says where the stream ended.
            if seed % 3 > 0 {
                pipeline.handle_began(stream.last);
            }
            let mut unread = records(&text, start.position, start.lines).into_iter();
            let positions: Vec<u64> =
                records(&text, start.position, start.lines).iter().map(|it| it.position).collect();
            let mut flying: Vec<u64> = Vec::new();
            let mut acks: Vec<(u64, Outcome)> = Vec::new();
            let crash = 20 + rng.below(if seed % 4 == 0 { 60 } else { 400 });
            for _ in 0..crash {
                match rng.below(6) {
                    0 | 1 => {
                        let waits = flying.iter().chain(acks.iter().map(|(tag, _)| tag)).min().copied();
                        if let Some(record) = unread.next() {
                            pipeline.handle_record(record);
                        }
                        let next = pipeline.poll_message().map(|(tag, _)| tag);
                        // The window is counted from the first unsettled message on.
                        if let Some(tag) = next.filter(|tag| waits.is_none_or(|first| tag - first < WINDOW as u64)) {
                            pipeline.handle_sent(tag);
                            flying.push(tag);
                        }
                    }
                    // Mostly in order; what is refused at first comes late.
                    2 | 3 if !flying.is_empty() => {
                        let late = rng.below(4) == 0;
                        let index = if late { rng.below(flying.len() as u64) as usize } else { 0 };
                        let tag = flying.remove(index);
                        acks.push((tag, stream.publish(positions[tag as usize])));
                        acks.sort_by_key(|(tag, _)| *tag);
                    }
                    4 if !acks.is_empty() => {
                        let (tag, outcome) = acks.remove(rng.below(acks.len() as u64) as usize);
                        pipeline.handle_outcome(tag, &outcome, at(1));
                    }
                    // In some worlds the checkpoint stays far behind.
                    5 if rng.below(1 + seed % 12) == 0 => {
                        if let Some(commit) = pipeline.take_commit() {
                            let read_in_vain = check(&commit, &stream, seed);
                            assert!(seed % 3 == 0 || read_in_vain <= 3 * REACH, "seed {seed}: {read_in_vain}");
                            pipeline.handle_committed(&commit);
                            raised += u64::from(commit.read_from > start.read_from);
                            let Commit { position, lines, read_from, later, .. } = commit;
                            start = Start { position, lines, read_from, later, fingerprint: None };
                        }
                    }
                    _ => {}
                }
            }
        }
        assert_eq!(stream.ids.len(), 120, "seed {seed}: every event once");
    }
    assert!(raised > 1000, "the sequence must move at all: {raised}");
}
