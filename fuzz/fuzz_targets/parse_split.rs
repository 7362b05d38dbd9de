//! However the bytes are cut, the ops are the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| natsink::proto::properties::parse_split(input));
