//! The limits of what may be asked for.

/// The longest line that may be asked for, bytes.
pub const LINE_LEN_MAX: u64 = 64 * 1024 * 1024;
/// The most events in a batch or in flight.
pub const EVENTS_MAX: u64 = 1_000_000;
/// The most bytes in a batch or in flight.
pub const BYTES_MAX: u64 = 1024 * 1024 * 1024;
