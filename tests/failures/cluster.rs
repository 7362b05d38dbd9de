//! A cluster of three under a run: its leader changes, it is partitioned, one of it retires.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;

use super::agree::{Shown, agree};
use super::support::Cluster;
use super::support::command::{Ended, Place, events};

/// Events of a run.
const COUNT: usize = 6000;

/// One cluster at a time: three servers each are enough for a machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Delivers events into a cluster, with this happening to it in the middle, and says that each is there once, and in order
/// but for what the receipt admits.
fn through(fault: impl FnOnce(&mut Cluster, &mut Shown)) -> Ended {
    let mut cluster = Cluster::start();
    cluster.create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
    let place = Place::without_stream(Default::default());
    let mut shown = Shown::start(&place, &["--url", &cluster.url(), "--checkpoint", "c", "--input-id", "x"]);
    let text = events(COUNT);
    let (first, rest) = text.split_at(events(COUNT / 3).len());
    shown.run.write(first);
    shown.delivers(COUNT / 3);
    let (second, third) = rest.split_at(rest.len() / 2 + rest[rest.len() / 2..].find('\n').expect("lines") + 1);
    // In flight when it happens.
    shown.run.write(second);
    fault(&mut cluster, &mut shown);
    shown.run.write(third);
    let ended = shown.ends_with(COUNT);
    assert_eq!((ended.code, ended.count("pending"), ended.count("dead")), (0, 0, 0), "{ended:?}");
    assert_eq!((ended.count("unverified"), place.position("c")), (0, text.len() as u64));
    cluster.wait_healthy();
    let stored = agree(&cluster.server(cluster.leader("ORDERS")).url(), &[&ended]);
    let mut place_of: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    stored.iter().enumerate().for_each(|(at, line)| _ = place_of.insert(line, at));
    let mut behind = 0;
    let mut latest = 0;
    for line in text.lines() {
        let at = place_of[line];
        behind += u64::from(at < latest);
        latest = latest.max(at);
    }
    assert_eq!((stored.len(), behind), (COUNT, ended.count("inversions")), "an inversion that nobody admits");
    ended
}

#[test]
fn leader_election() {
    let _alone = alone();
    through(|cluster, _| {
        cluster.step_down("ORDERS");
        let leader = cluster.leader("ORDERS");
        cluster.kill9(leader);
        cluster.restart(leader);
    });
}

#[test]
fn cluster_partition() {
    let _alone = alone();
    through(|cluster, shown| {
        let leader = cluster.leader("ORDERS");
        let others: Vec<usize> = (0..3).filter(|index| *index != leader).collect();
        // Two that nobody hears of: the third has no quorum, and acknowledges nothing.
        others.iter().for_each(|index| cluster.server(*index).stop());
        shown.run.until("it is felt", |run| {
            let told = run.told();
            told.contains("no acknowledgement") || told.contains("no responders") || told.contains("connection lost")
        });
        others.iter().for_each(|index| cluster.server(*index).cont());
    });
}

#[test]
fn lame_duck() {
    let _alone = alone();
    let ended = through(|cluster, _| {
        let leader = cluster.leader("ORDERS");
        cluster.lame_duck(leader);
        cluster.wait_end(leader);
        cluster.restart(leader);
    });
    assert!(ended.count("reconnects") <= 1, "{ended:?}");
}
