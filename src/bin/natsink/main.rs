//! The command `natsink`.
fn main() {}
