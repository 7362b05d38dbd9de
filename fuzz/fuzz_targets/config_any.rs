//! No configuration can panic, or make a plan that makes no sense.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| natsink::config::properties::check_any(input));
