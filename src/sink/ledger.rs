//! The policy's own account of what was read: each record once, until so many sinks have it as the policy wants.

use alloc::collections::VecDeque;

use super::counts::Counts;
use super::fingerprint::Fingerprint;
use super::histogram::Histogram;
use super::passed::{BLANK, DEAD, Passed, STORED, UNVERIFIED};
use super::ring::{Entry, Line, State};
use super::watermark::{Start, Watermark};
use crate::time::Instant;

/// Records that were read and that the policy has not passed, and what became of the others.
#[derive(Debug)]
pub(super) struct Ledger {
    /// How many sinks must have a record.
    needed: usize,
    records: VecDeque<Open>,
    /// The ordinal of the oldest record.
    first: u64,
    watermark: Watermark,
    committed: Watermark,
    counts: Counts,
    latency: Histogram,
}

/// A record that the policy has not passed.
#[derive(Debug)]
struct Open {
    end: u64,
    number: u64,
    read_at: Instant,
    /// What it adds to the fingerprint of the input, where one is kept.
    mark: (u64, bool),
    bytes: u64,
    /// How many sinks have it.
    acks: usize,
    /// What became of it, at any of them.
    fates: u8,
}

impl Ledger {
    pub(super) fn new(needed: usize, start: &Start) -> Self {
        let watermark = Watermark::at(start, 0);
        let (counts, latency) = (Counts::default(), Histogram::new());
        Self { needed, records: VecDeque::new(), first: 0, watermark, committed: watermark, counts, latency }
    }

    /// Goes on with another input, whose start counts as committed.
    pub(super) fn start_input(&mut self, start: &Start) {
        self.watermark = Watermark::at(start, self.watermark.records);
        self.committed = self.watermark;
    }

    /// Takes the record with this ordinal, unless it is before where the policy began.
    pub(super) fn push(&mut self, ordinal: u64, line: &Line, is_blank: bool, now: Instant) {
        if line.end() <= self.watermark.position {
            return;
        }
        if self.records.is_empty() {
            self.first = ordinal;
        }
        self.counts.read += 1;
        self.counts.skipped += u64::from(is_blank);
        let mark = self.watermark.fingerprint.and_then(|_| line.hash()).unwrap_or_default();
        let (acks, fates) = if is_blank { (self.needed, BLANK) } else { (0, 0) };
        self.records.push_back(Open {
            end: line.end(),
            number: line.number(),
            read_at: now,
            mark,
            bytes: 0,
            acks,
            fates,
        });
    }

    /// A sink whose word counts has passed what begins at this ordinal.
    pub(super) fn pass(&mut self, ordinal: u64, passed: &Passed) {
        if passed.fates == 0 || passed.fates == BLANK {
            return;
        }
        let Some(index) = ordinal.checked_sub(self.first).and_then(|index| usize::try_from(index).ok()) else { return };
        if let Some(record) = self.records.get_mut(index) {
            record.acks += 1;
            record.fates |= passed.fates;
            record.bytes = record.bytes.max(passed.bytes);
        }
    }

    /// Passes the records that enough sinks have.
    pub(super) fn advance(&mut self, now: Instant) {
        while self.records.front().is_some_and(|record| record.acks >= self.needed) {
            let Some(record) = self.records.pop_front() else { return };
            self.first += 1;
            if record.fates & BLANK == 0 {
                self.counts.bytes += record.bytes;
                self.latency.record(now.since(record.read_at));
            }
            match record.fates {
                fates if fates & BLANK > 0 => {}
                fates if fates & DEAD > 0 => self.counts.dead += 1,
                fates if fates & STORED > 0 => self.counts.stored += 1,
                fates => {
                    self.counts.duplicate += 1;
                    self.counts.unverified += u64::from(fates & UNVERIFIED > 0);
                }
            }
            if let Some(fingerprint) = &mut self.watermark.fingerprint {
                fingerprint.mark(record.mark.0, record.mark.1);
            }
            self.watermark.position = record.end;
            self.watermark.lines = record.number;
            self.watermark.records += 1;
        }
    }

    /// Adds, for each record, whether this sink has it or will: the entries of its ring that are no gaps, the first of which
    /// is the record with this ordinal.
    pub(super) fn count_holders<'a>(
        &self,
        holders: &mut [usize],
        mut ordinal: u64,
        entries: impl Iterator<Item = &'a Entry>,
    ) {
        for entry in entries {
            let holds = !matches!(entry.state, State::Missing | State::Noted | State::Missed);
            for at in ordinal..ordinal + entry.line.lines() {
                let index = at.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
                if let Some(holders) = index.and_then(|index| holders.get_mut(index)) {
                    *holders += usize::from(holds);
                }
            }
            ordinal += entry.line.lines();
        }
    }

    /// For each record, how many sinks have it already.
    pub(super) fn acks(&self) -> impl Iterator<Item = usize> {
        self.records.iter().map(|record| record.acks)
    }

    pub(super) const fn needed(&self) -> usize {
        self.needed
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) const fn position(&self) -> u64 {
        self.watermark.position
    }

    pub(super) const fn lines(&self) -> u64 {
        self.watermark.lines
    }

    pub(super) const fn fingerprint(&self) -> Option<Fingerprint> {
        self.watermark.fingerprint
    }

    pub(super) const fn committed_position(&self) -> u64 {
        self.committed.position
    }

    /// Whether the watermark has moved since the last commit.
    pub(super) const fn has_moved(&self) -> bool {
        self.watermark.position != self.committed.position
    }

    /// Records that were passed since the last commit.
    pub(super) const fn uncommitted(&self) -> u64 {
        self.watermark.records - self.committed.records
    }

    pub(super) fn handle_committed(&mut self, position: u64, records: u64) {
        self.committed.position = position;
        self.committed.records += records;
        self.counts.batches += u64::from(records > 0);
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.counts;
        counts.pending = counts.read - counts.settled();
        counts
    }

    pub(super) const fn latency(&self) -> &Histogram {
        &self.latency
    }
}
