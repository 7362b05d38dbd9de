//! Whatever is submitted and whatever goes wrong, each message has one outcome, and it is true.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| natsink::sim::properties::ledger_model(input));
