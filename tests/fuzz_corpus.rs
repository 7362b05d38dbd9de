//! The fuzz corpora, replayed: every input that ever mattered goes on mattering, without a fuzzer.
#![cfg(feature = "sim")]

#[cfg(feature = "cli")]
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[cfg(feature = "cli")]
use natsink::config;
use natsink::{proto, sim};

/// A property that must hold for any input.
type Property = fn(&[u8]);

/// Every target in `fuzz/fuzz_targets`, and what it calls.
const TARGETS: &[(&str, Property)] = &[
    ("parse_any", proto::properties::parse_any),
    ("parse_split", proto::properties::parse_split),
    ("parse_naive", proto::properties::parse_naive),
    ("ledger_model", sim::properties::ledger_model),
    ("link_any", sim::hostile::link_any),
    #[cfg(feature = "cli")]
    ("config_any", config::properties::check_any),
];

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

#[cfg(feature = "cli")]
#[test]
fn every_target_is_replayed() {
    let targets = fs::read_dir(fuzz_folder().join("fuzz_targets")).unwrap();
    let found: BTreeSet<String> =
        targets.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    let replayed: BTreeSet<String> = TARGETS.iter().map(|(name, _)| String::from(*name)).collect();
    assert_eq!(found, replayed);
}

#[test]
fn every_input_holds() {
    for &(name, property) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(fuzz_folder().join("corpus").join(name)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            property(&fs::read(&path).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 20, "only {inputs} inputs for {name}");
    }
}
