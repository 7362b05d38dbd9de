//! Some hundreds of worlds made at random. `NATSINK_SEEDS` plays more of them, `NATSINK_SEED` one.
#![cfg(feature = "sim")]

use std::env;
use std::panic::catch_unwind;

use natsink::sim::swarm;

/// What a run of worlds has seen: a swarm that never meets a fault proves nothing.
#[derive(Debug, Default)]
struct Seen {
    worlds: u64,
    messages: u64,
    dials: u64,
    replayed: u64,
    duplicates: u64,
    inversions: u64,
    anomalies: u64,
    garbled: u64,
    partial: u64,
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn play(seed: u64, seen: &mut Seen) {
    let Ok(world) = catch_unwind(|| swarm::play(seed)) else {
        panic!("NATSINK_SEED={seed} cargo test --features sim --test sim_swarm -- --nocapture replays it");
    };
    seen.worlds += 1;
    seen.messages += world.sent.len() as u64;
    seen.dials += world.dials();
    seen.partial += world.server.counts().partial;
    let mut publishers: Vec<_> = world.sent.iter().map(|sent| sent.publisher).collect();
    publishers.sort_unstable();
    publishers.dedup();
    for publisher in publishers {
        let statistics = world.session.publisher(publisher).expect("it was not removed").statistics();
        seen.replayed += statistics.replayed;
        seen.duplicates += statistics.duplicates;
        seen.inversions += statistics.inversions;
        seen.anomalies += statistics.anomalies;
        seen.garbled += statistics.garbled;
    }
}

fn play_all(seeds: impl Iterator<Item = u64>) -> Seen {
    let mut seen = Seen::default();
    seeds.for_each(|seed| play(seed, &mut seen));
    println!("{seen:?}");
    seen
}

#[test]
fn worlds_made_at_random_hold() {
    if let Some(seed) = number("NATSINK_SEED") {
        play_all(seed..seed + 1);
        return;
    }
    let worlds = number("NATSINK_SEEDS").unwrap_or(300).max(100);
    let seen = play_all(0..worlds);
    for (what, count) in [
        ("messages", seen.messages),
        ("dials", seen.dials),
        ("replayed", seen.replayed),
        ("duplicates", seen.duplicates),
        ("inversions", seen.inversions),
        ("anomalies", seen.anomalies),
        ("garbled", seen.garbled),
        ("partial messages", seen.partial * 10),
    ] {
        assert!(count > worlds / 10, "{count} {what} in {worlds} worlds");
    }
}

#[test]
fn a_seed_is_a_world() {
    for seed in [1, 7, 42] {
        assert_eq!(swarm::play(seed).trace(), swarm::play(seed).trace(), "seed {seed}");
    }
}
