//! The parser says what its naive twin says.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| natsink::proto::properties::parse_naive(input));
