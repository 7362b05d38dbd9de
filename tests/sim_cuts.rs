//! The connection cut after every byte, in both directions, at four chunk sizes: everything stored once and in order.
#![cfg(feature = "sim")]

use std::time::Duration;

use natsink::jetstream::Outcome;
use natsink::sim::{Counts, Cut, Direction, Pace, World, checks, scenes};

const DIRECTIONS: [Direction; 2] = [Direction::Up, Direction::Down];

/// A session of `messages` messages in which the links, one after the other, are cut as said.
fn session(messages: usize, chunk: usize, cuts: &[Option<Cut>]) -> World {
    let (mut world, publisher) = scenes::plain(1);
    let pace = Pace { chunk, latency: Duration::from_micros(100), ..Pace::default() };
    (world.up, world.down) = (pace, pace);
    world.cuts = cuts.iter().copied().collect();
    world.enqueue_numbered(publisher, messages);
    assert!(world.run_until(Duration::ZERO, |world| world.dials() == 1), "the first dial is immediate");
    // What follows the cut goes on in larger pieces: in pieces of one byte, all of it takes minutes.
    let pace = Pace { chunk: chunk.max(64), ..pace };
    (world.up, world.down) = (pace, pace);
    assert!(world.settle(Duration::from_secs(60)), "{cuts:?}: {world:#?}");
    world
}

fn judge(world: &World, context: &dyn std::fmt::Debug) {
    let publisher = world.sent[0].publisher;
    let ok =
        |outcomes: &[Outcome]| matches!(outcomes, [Outcome::Stored { .. } | Outcome::Duplicate { verified: true, .. }]);
    assert!(world.sent.iter().all(|sent| ok(&sent.outcomes)), "{context:?}: {:?}", world.sent);
    checks::at_the_end(world);
    checks::stored_in_order(world, publisher);
    assert_eq!(world.server.streams[0].stored().len(), world.sent.len(), "{context:?}");
    let statistics = world.session.publisher(publisher).expect("it was not removed").statistics();
    // A cut is no anomaly: what it left behind is written again at once, and nothing but that.
    assert_eq!((statistics.inversions, statistics.garbled, statistics.anomalies), (0, 0, 0), "{context:?}");
}

/// How many bytes a session takes, each way, when nothing happens to it.
fn lengths(messages: usize) -> [u64; 2] {
    let world = session(messages, 4096, &[]);
    let statistics = world.session.statistics();
    [statistics.bytes_out, statistics.bytes_in]
}

fn every_cut(chunk: usize) {
    let messages = 20;
    let mut partial = 0;
    for (direction, len) in DIRECTIONS.into_iter().zip(lengths(messages)) {
        assert!(len > 1500, "a session of {len} bytes is none");
        for after in 0..=len {
            let cut = Cut { direction, after };
            let world = session(messages, chunk, &[Some(cut)]);
            judge(&world, &cut);
            // The last byte's cut may come when all is done.
            assert!(world.dials() == 2 || after == len, "{cut:?}: {} dials", world.dials());
            partial += world.server.counts().partial;
        }
    }
    assert!(partial > 1000, "cuts inside a message: {partial}");
}

#[test]
fn every_cut_in_pieces_of_1() {
    every_cut(1);
}

#[test]
fn every_cut_in_pieces_of_7() {
    every_cut(7);
}

#[test]
fn every_cut_in_pieces_of_64() {
    every_cut(64);
}

#[test]
fn every_cut_in_pieces_of_4096() {
    every_cut(4096);
}

/// Cuts of the first link of a session, one for each difference that a cut can make: between the ends of two ops,
/// wherever it falls, it leaves the same behind.
fn different_cuts(messages: usize) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for (direction, len) in DIRECTIONS.into_iter().zip(lengths(messages)) {
        let mut before = None;
        for after in 0..len {
            let cut = Cut { direction, after };
            let (mut world, publisher) = scenes::plain(1);
            world.cuts = [Some(cut), Some(Cut { direction, after: 0 })].into();
            world.enqueue_numbered(publisher, messages);
            assert!(world.run_until(Duration::ZERO, |world| world.dials() == 2));
            let counts = Counts { partial: 0, ..world.server.counts() };
            let mut statistics = world.session.statistics();
            statistics.bytes_in = 0;
            let left = (world.server.arrivals(), counts, statistics);
            if before.is_none_or(|before| before != left) {
                cuts.push(cut);
            }
            before = Some(left);
        }
    }
    cuts
}

#[test]
fn every_pair_of_cuts() {
    let messages = 2;
    // Every byte takes a minute where every third takes some seconds.
    let step = if std::env::var_os("NATSINK_ALL_CUTS").is_some() { 1 } else { 3 };
    let first_cuts = different_cuts(messages);
    assert!(first_cuts.len() >= 12, "a session has more ops than that: {first_cuts:?}");
    let mut worlds = 0;
    for (direction, len) in DIRECTIONS.into_iter().zip(lengths(messages)) {
        for after in (0..=len).step_by(step) {
            let second = Cut { direction, after };
            for &first in &first_cuts {
                let world = session(messages, 4096, &[Some(first), Some(second)]);
                judge(&world, &(first, second));
                worlds += 1;
            }
        }
    }
    assert!(worlds > 20_000 / step, "{worlds} worlds");
}
