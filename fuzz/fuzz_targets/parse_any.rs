//! Nothing a peer sends can panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| natsink::proto::properties::parse_any(input));
