//! Places in an input: where a run begins, and how far it has come.

use super::fingerprint::Fingerprint;

/// Where a run begins, as the checkpoint tells.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Start {
    /// The offset of the first byte that is read.
    pub position: u64,
    /// How many lines are before it.
    pub lines: u64,
    /// The sequence after which the stream can hold events from here on. Without a checkpoint it is the stream's last one.
    pub read_from: u64,
    /// What is known of events further on, where that is more.
    pub later: Option<Later>,
    /// The fingerprint of the bytes before the position, where one is kept.
    pub fingerprint: Option<Fingerprint>,
}

/// What is known of events further on in an input, as long as no event shortly before those turns out to be in the stream
/// already. Without it, runs that each end early would have the next one read back more and more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Later {
    /// It is true of events that have at least so many records between the position and themselves.
    pub records: u64,
    /// The sequence after which the stream can hold those.
    pub seq: u64,
}

/// The end of the last record before which nothing is pending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watermark {
    pub(super) position: u64,
    pub(super) lines: u64,
    pub(super) records: u64,
    pub(super) fingerprint: Option<Fingerprint>,
}

impl Start {
    pub(super) const fn without_fingerprint(mut self) -> Self {
        self.fingerprint = None;
        self
    }
}

impl Watermark {
    pub(super) const fn at(start: &Start, records: u64) -> Self {
        Self { position: start.position, lines: start.lines, records, fingerprint: start.fingerprint }
    }
}
