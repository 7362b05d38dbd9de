//! What the watermark of a sink has passed, as the policy's account takes it.

use super::ring::{Entry, State};

/// What the watermark of a sink has passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    /// Zero where the sink does not have it.
    pub(super) fates: u8,
}

pub(super) const STORED: u8 = 1;
pub(super) const DUPLICATE: u8 = 2;
pub(super) const UNVERIFIED: u8 = 4;
pub(super) const DEAD: u8 = 8;
pub(super) const BLANK: u8 = 16;

impl Passed {
    /// A record that an earlier run has brought there.
    pub(super) const BEFORE: Self = Self { lines: 1, bytes: 0, fates: DUPLICATE };

    pub(super) fn of(entry: &Entry) -> Self {
        let fates = match entry.state {
            State::Dead => DEAD,
            State::Skipped => BLANK,
            State::Stored(_) | State::Taken if entry.duplicate && entry.unverified => DUPLICATE | UNVERIFIED,
            State::Stored(_) | State::Taken if entry.duplicate => DUPLICATE,
            State::Stored(_) | State::Taken => STORED,
            _ => 0,
        };
        Self { lines: entry.line.lines(), bytes: entry.payload_len as u64, fates }
    }
}
