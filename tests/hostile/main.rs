//! Hostile peers: a server that follows a script, the client before it, and what must be seen of it.
//!
//! `docs/hostile-peers.md` is the table: a row for each case, a test for each row, named by its number. The same script is
//! played in memory, cut in many ways, over a socket, and under TLS.

mod acks;
mod batches;
mod case;
mod client;
#[cfg(feature = "cli")]
mod command;
mod endurance;
mod framing;
mod greeting;
mod memory;
mod messages;
mod ops;
mod peer;
mod proving;
mod publishing;
mod recalls;
mod secrets;
mod secure;
mod session_script;
mod socket;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod thousand;
#[cfg(feature = "tracing")]
mod traced;
mod trust;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Memory that the whole test program holds now, bytes. Other tests run beside: only what is much tells something.
fn bytes_held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// Held by tests that look at the memory of the whole program, and by those that take much of it.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tests themselves, to look for their names.
const SOURCES: [&str; 13] = [
    include_str!("acks.rs"),
    include_str!("batches.rs"),
    include_str!("endurance.rs"),
    include_str!("framing.rs"),
    include_str!("greeting.rs"),
    include_str!("messages.rs"),
    include_str!("proving.rs"),
    include_str!("publishing.rs"),
    include_str!("recalls.rs"),
    include_str!("secrets.rs"),
    include_str!("secure.rs"),
    include_str!("thousand.rs"),
    include_str!("trust.rs"),
];

#[test]
fn every_case_has_one_row_and_one_test() {
    let rows = table::rows();
    let mut wanted = Vec::new();
    for (group, count) in table::GROUPS {
        wanted.extend((1..=count).map(|number| format!("{group}{number:02}")));
    }
    let numbers: Vec<&str> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, wanted, "the table's numbers, in order");
    assert!(table::PAGE.contains(&format!("against: {} cases,", numbers.len())), "docs/hostile-peers.md counts others");
    let design = include_str!("../../DESIGN.md");
    assert!(design.contains(&format!("`tests/hostile`: {} things", numbers.len())), "DESIGN.md counts others");
    for number in wanted {
        let name = format!("#[test]\nfn {}_", number.to_lowercase());
        let tests: usize = SOURCES.iter().map(|source| source.matches(&name).count()).sum();
        assert_eq!(tests, 1, "tests of {number}");
    }
}
