//! Whatever a server says, and whenever it goes: no secret shows, nothing is said too early, each message has one outcome.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| natsink::sim::hostile::link_any(input));
