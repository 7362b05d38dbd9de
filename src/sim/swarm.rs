//! Worlds made at random: anything may happen for a while, nothing that must not; then all must come to an end.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::choices::Choices;
use super::draft::{Draft, Sent};
use super::fault::{Direction, Fault};
use super::server::Server;
use super::stream::{Refusal, Stream};
use super::verdict::{Late, Script, Verdict};
use super::wire::Pace;
use super::world::World;
use super::{checks, scenes};
use crate::connection::ConnectionOptions;
use crate::jetstream::{Outcome, PublisherOptions};
use crate::session::PublisherId;

/// How long things go wrong.
const UNREST: Duration = Duration::from_secs(60);
/// How long it may take until all is settled once nothing goes wrong any more: the longest pause, the longest silence
/// and some slow links.
const CALM_MAX: Duration = Duration::from_secs(120);
/// Verdicts that stay the same for a while.
const MOOD_MAX: u64 = 40;

/// Plays the world that follows from this seed, and gives it back for its counts.
///
/// # Panics
/// When something does not hold that must, with the name of the check.
pub fn play(seed: u64) -> World {
    let mut choices = Choices::from_seed(seed);
    let choices = &mut choices;
    let (mut world, publishers) = world(choices, seed);
    world.server.script(moods(choices, seed));
    for _ in 0..choices.below(8) {
        let fault = fault(choices);
        world.fault(choices.time(UNREST), fault);
    }
    // Safety: whatever happens, nothing untrue is said.
    let bursts = 1 + choices.below(10) as u32;
    for _ in 0..bursts {
        for _ in 0..choices.below(40) {
            let publisher = choices.one_of(&publishers);
            let number = world.sent.len() + world.waiting();
            let len = if choices.one_in(50) { 20_000 } else { choices.below(200) as usize };
            world.enqueue(publisher, Draft::numbered(number, len));
        }
        world.run(UNREST / bursts);
        checks::always(&world);
    }
    come_to_an_end(&mut world, CALM_MAX);
    world
}

/// Plays the world with a duplicate window of a second that follows from this seed: the server goes away for longer than
/// that, and so does the client, which then begins anew with what it last had acknowledged in order.
///
/// A server that sleeps over bytes for longer than its window stores a copy that was on its way twice; no client could
/// mend that, so it does not happen here.
///
/// # Panics
/// When something does not hold that must, with the name of the check.
pub fn play_beyond_the_window(seed: u64) -> World {
    let mut choices = Choices::from_seed(seed);
    let choices = &mut choices;
    let mut stream = Stream::new(scenes::STREAM, "ord.>");
    stream.duplicate_window = Duration::from_secs(1);
    stream.replicas = choices.one_of(&[1, 3]);
    let mut world = World::new(Server::new(stream), World::connection_options(), seed);
    if choices.one_in(3) {
        world.server.consumer_lag = choices.time(Duration::from_secs(4));
    }
    (world.up, world.down) = (brisk(choices), brisk(choices));
    let mut options = PublisherOptions {
        in_flight_max: choices.one_of(&[4096, 64, 8, 1]),
        send_timeout: choices.one_of(&[5, 1]) * Duration::from_secs(1),
        ..PublisherOptions::stream(scenes::STREAM)
    };
    let messages = choices.below(120) as usize;
    let mut first = 0;
    for life in 0..=choices.below(3) {
        let publisher = world.add_publisher(options.clone());
        world.server.script(moods(choices, seed + life));
        (first..messages).for_each(|number| world.enqueue(publisher, Draft::numbered(number, 8)));
        for _ in 0..choices.below(4) {
            let fault = match fault(choices) {
                Fault::Stop(time) => Fault::Restart(time),
                fault => fault,
            };
            world.fault(choices.time(UNREST / 4), fault);
        }
        for _ in 0..4 {
            world.run(choices.time(UNREST / 8));
            checks::always(&world);
            if choices.one_in(4) {
                world.server.lose_consumers();
            }
            if choices.one_in(4) {
                let now = world.now();
                let number = world.stream().last_seq();
                world.stream().store("ord.9", &format!("other-{number}"), b"somebody else's", now);
            }
        }
        // The position is the end of what is settled from the beginning on. When the message after it was sent, all were
        // acknowledged that stand a window before it: reading begins behind those.
        let seq = |sent: &Sent| match sent.outcomes[..] {
            [Outcome::Stored { seq } | Outcome::Duplicate { seq, .. }] => Some(seq),
            _ => None,
        };
        let seqs: Vec<u64> = world.sent.iter().map_while(seq).collect();
        let acked = seqs[..seqs.len().saturating_sub(options.in_flight_max)].iter().max().copied();
        options.recall_after = options.recall_after.or(Some(0)).max(acked);
        options.acked_seq = options.recall_after.unwrap_or(0);
        first += seqs.len();
        world.restart_client(World::connection_options(), seed + life + 1);
        world.run(choices.time(Duration::from_secs(5)));
    }
    let publisher = world.add_publisher(options);
    (first..messages).for_each(|number| world.enqueue(publisher, Draft::numbered(number, 8)));
    come_to_an_end(&mut world, CALM_MAX);
    checks::all_stored(&world, messages);
    world
}

/// Wires on which nothing is on its way for long.
fn brisk(choices: &mut Choices<'_>) -> Pace {
    Pace { latency: choices.time(Duration::from_millis(50)), chunk: choices.one_of(&[4096, 64, 1]), ..Pace::default() }
}

/// Liveness: once nothing goes wrong any more, everything is settled.
///
/// # Panics
/// When it is not, or something else does not hold.
pub fn come_to_an_end(world: &mut World, within: Duration) {
    world.calm();
    world.server.script(Script::default());
    assert!(world.settle(within), "not settled {within:?} after the last fault: {world:#?}");
    // What is still on its way changes nothing.
    world.run(Duration::from_secs(30));
    checks::at_the_end(world);
    if world.server.counts().adverse == 0 {
        for sent in &world.sent {
            let statistics = world.session.publisher(sent.publisher).map(|publisher| publisher.statistics());
            assert_eq!(
                statistics.map(|statistics| statistics.inversions),
                Some(0),
                "broken links alone invert nothing"
            );
        }
    }
}

fn world(choices: &mut Choices<'_>, seed: u64) -> (World, Vec<PublisherId>) {
    let mut stream = Stream::new(scenes::STREAM, "ord.>");
    stream.duplicate_window = Duration::from_secs(3600);
    let mut server = Server::new(stream);
    if choices.one_in(3) {
        server.api_delay = choices.time(Duration::from_millis(500));
    }
    let options = ConnectionOptions {
        ping_interval: choices.one_of(&[10, 10, 3]) * Duration::from_secs(1),
        ..World::connection_options()
    };
    let mut world = World::new(server, options, seed);
    (world.up, world.down) = (pace(choices), pace(choices));
    let publishers = (0..choices.one_of(&[1, 1, 2]))
        .map(|_| {
            world.add_publisher(PublisherOptions {
                in_flight_max: choices.one_of(&[4096, 64, 8, 2, 1]),
                in_flight_bytes_max: choices.one_of(&[4 << 20, 4 << 20, 10_000]),
                send_timeout: choices.one_of(&[5, 5, 1]) * Duration::from_secs(1),
                batch_timeout: choices.one_of(&[30, 30, 6]) * Duration::from_secs(1),
                ..PublisherOptions::stream(scenes::STREAM)
            })
        })
        .collect();
    (world, publishers)
}

fn pace(choices: &mut Choices<'_>) -> Pace {
    Pace {
        latency: choices.time(Duration::from_millis(choices.clone().one_of(&[1, 50, 300]))),
        bytes_per_sec: choices.one_of(&[None, None, None, Some(20_000)]),
        chunk: choices.one_of(&[4096, 64, 7, 1, 100_000]),
        ragged: choices.one_in(2),
        capacity: choices.one_of(&[256 << 10, 4096, 64 << 10]),
    }
}

/// One thing that goes wrong.
pub(super) fn fault(choices: &mut Choices<'_>) -> Fault {
    let time = choices.time(choices.clone().one_of(&[1, 10, 20]) * Duration::from_secs(1));
    match choices.below(8) {
        0 | 1 => Fault::Cut,
        2 => Fault::Blackhole(Direction::Up),
        3 => Fault::Blackhole(Direction::Down),
        4 | 5 => Fault::Stop(time),
        6 => Fault::Restart(time),
        _ => Fault::JetStream(choices.one_in(2)),
    }
}

/// One thing that a server does with a publish.
pub(super) fn verdict(choices: &mut Choices<'_>) -> Verdict {
    let late = match choices.below(4) {
        0 => Late::after(choices.time(Duration::from_secs(10))),
        arrivals => Late::arrivals(arrivals as u32 * 3),
    };
    match choices.below(9) {
        0 => Verdict::Store,
        1 => Verdict::Refuse503,
        2 => Verdict::Drop,
        3 => Verdict::StoreLateAck(late),
        4 => Verdict::Late503(late),
        5 => Verdict::Refuse(Refusal::FULL),
        6 => Verdict::Refuse(Refusal::IN_PROCESS),
        7 => Verdict::StoreButLoseAck,
        _ => Verdict::Garble(b"{\"stream\":"),
    }
}

/// A server that is well most of the time, or always, and otherwise does one thing for a while.
fn moods(choices: &mut Choices<'_>, seed: u64) -> Script {
    let calm_in = choices.one_of(&[1, 2, 10]);
    let mut choices = Choices::from_seed(!seed);
    let (mut mood, mut lasts) = (Verdict::Store, 0);
    Script::new(move |_| {
        if lasts == 0 {
            lasts = 1 + choices.below(MOOD_MAX);
            mood = if calm_in == 1 || !choices.one_in(calm_in) { Verdict::Store } else { verdict(&mut choices) };
        }
        lasts -= 1;
        mood
    })
}
