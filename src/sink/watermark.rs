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
    /// The fingerprint of the bytes before the position, where one is kept.
    pub fingerprint: Option<Fingerprint>,
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
