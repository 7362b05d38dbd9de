//! The sequence to read back from: it goes along with the position, whatever kind of runs there were.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use natsink::jetstream::Outcome;
use natsink::sink::{
    Commit, Format, Input, Mapper, MapperOptions, Pipeline, PipelineOptions, Record, Start, Template, TemplateKind,
};
use natsink::time::Instant;

/// How many records behind an unsettled one a run may have sent.
const REACH: u64 = 100;
/// Bytes of a line.
const LINE: u64 = 2;

fn pipeline(start: Start) -> Pipeline {
    let subject = Template::new("s", TemplateKind::Subject).unwrap();
    let mapper = Mapper::new(MapperOptions::new("p", Input::named("in"), Format::Lines, subject)).unwrap();
    let mut options = PipelineOptions::default();
    options.replay_max = REACH;
    Pipeline::new(mapper, options, start)
}

/// Reads the next line and sends it. Its tag.
fn send(pipeline: &mut Pipeline) -> u64 {
    let (position, number) = (pipeline.position(), pipeline.lines() + 1);
    pipeline.handle_record(Record { line: "x".into(), position, end: position + LINE, number, read_at: Instant::ZERO });
    let (tag, message) = pipeline.poll_message().unwrap();
    drop(message);
    pipeline.handle_sent(tag);
    tag
}

fn settle(pipeline: &mut Pipeline, outcome: Outcome) {
    let tag = send(pipeline);
    pipeline.handle_outcome(tag, &outcome, Instant::ZERO);
}

fn commit(pipeline: &mut Pipeline) -> Commit {
    let commit = pipeline.take_commit().unwrap();
    pipeline.handle_committed(&commit);
    commit
}

fn start(commit: &Commit) -> Start {
    let Commit { position, lines, read_from, later, .. } = *commit;
    Start { position, lines, read_from, later, fingerprint: None }
}

#[test]
fn short_runs_one_after_the_other_read_back_no_more_than_one_long_one() {
    for events in [1, 7, 99, 101, 350] {
        let (mut last_seq, mut at) = (0, Start::default());
        for run in 0..(2000 / events) {
            let mut pipeline = pipeline(at);
            pipeline.handle_began(last_seq);
            for _ in 0..events {
                last_seq += 1;
                settle(&mut pipeline, Outcome::Stored { seq: last_seq });
            }
            at = start(&commit(&mut pipeline));
            let read = last_seq - at.read_from;
            assert!(read <= 3 * REACH, "after {run} runs of {events}: {read} ids are read back in vain");
        }
    }
}

#[test]
fn the_first_run_of_all_knows_that_nothing_was_sent_before() {
    let mut pipeline = pipeline(Start::default());
    pipeline.handle_found(40);
    settle(&mut pipeline, Outcome::Stored { seq: 41 });
    let commit = commit(&mut pipeline);
    assert_eq!((commit.read_from, commit.later), (41, None));
}

#[test]
fn what_this_run_has_stored_itself_does_not_bring_the_past_back() {
    let mut pipeline = pipeline(Start { read_from: 5, ..Start::default() });
    pipeline.handle_began(10);
    for seq in 11..1011 {
        settle(&mut pipeline, Outcome::Stored { seq });
    }
    assert_eq!(commit(&mut pipeline).read_from, 1010);
    // A link was lost, and what it had stored is sent again.
    settle(&mut pipeline, Outcome::Duplicate { seq: 1011, verified: true });
    assert_eq!(commit(&mut pipeline).read_from, 1011);
}

#[test]
fn a_long_replay_is_followed() {
    let mut pipeline = pipeline(Start::default());
    pipeline.handle_began(5000);
    for seq in 1..=5000 {
        settle(&mut pipeline, Outcome::Duplicate { seq, verified: true });
        let commit = commit(&mut pipeline);
        assert!(commit.read_from <= seq && seq - commit.read_from <= 3 * REACH, "{seq}: {commit:?}");
    }
}

#[test]
fn inputs_one_after_the_other_do_not_bring_the_past_back() {
    let mut pipeline = pipeline(Start::default());
    pipeline.handle_began(0);
    let mut last_seq = 0;
    for number in 0..50 {
        for _ in 0..20 {
            last_seq += 1;
            settle(&mut pipeline, Outcome::Stored { seq: last_seq });
        }
        let read = last_seq - commit(&mut pipeline).read_from;
        assert!(read <= 2 * REACH, "{read} in the input {number}");
        pipeline.start_input(&Input::named(&number.to_string()), Start::default());
        assert_eq!(pipeline.start_commit().read_from, last_seq - read);
    }
}

#[test]
fn at_the_end_of_all_there_is_nothing_was_sent_that_is_not_known() {
    let mut pipeline = pipeline(Start { read_from: 1, ..Start::default() });
    pipeline.handle_began(10);
    settle(&mut pipeline, Outcome::Duplicate { seq: 5, verified: true });
    settle(&mut pipeline, Outcome::Stored { seq: 12 });
    let first = commit(&mut pipeline);
    assert_eq!(first.read_from, 1);
    let tag = send(&mut pipeline);
    pipeline.handle_all_read(false);
    pipeline.handle_outcome(tag, &Outcome::Stored { seq: 13 }, Instant::ZERO);
    assert_eq!(commit(&mut pipeline).read_from, 1, "something was pending");
    pipeline.handle_all_read(false);
    let batches = pipeline.counts().batches;
    let last = commit(&mut pipeline);
    assert_eq!((last.read_from, last.later, last.records), (13, None, 0));
    assert_eq!((pipeline.counts().batches, pipeline.take_commit()), (batches, None));
}

#[test]
fn a_pipe_that_ends_among_what_an_earlier_run_has_stored_proves_nothing() {
    let mut pipeline = pipeline(Start { read_from: 1, ..Start::default() });
    pipeline.handle_began(10);
    settle(&mut pipeline, Outcome::Duplicate { seq: 5, verified: true });
    pipeline.handle_all_read(true);
    assert_eq!(commit(&mut pipeline).read_from, 1, "what follows can be in the stream too");
    settle(&mut pipeline, Outcome::Stored { seq: 12 });
    pipeline.handle_all_read(true);
    assert_eq!(commit(&mut pipeline).read_from, 12, "what follows something new is new");
}
