//! The records between watermark and reading: one entry each, settled in any order, let go in order.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::fingerprint::{Fingerprint, LineHash};
use super::record::{Oversize, Record};

/// The entries, oldest first. The tag of an entry is its ordinal among all records of the run.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    /// The tag of the oldest entry.
    first: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: Line,
    pub(super) state: State,
    /// Where it was sent: the sequence after which the stream can hold it.
    pub(super) read_from: Option<u64>,
    pub(super) payload_len: usize,
    /// The stream held it already.
    pub(super) duplicate: bool,
    /// And it could not be compared with what the stream holds.
    pub(super) unverified: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Line {
    Record(Record),
    Oversize(Box<Oversize>),
    Gap(Missed),
}

/// Lines that are not kept, only counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missed {
    pub(super) position: u64,
    pub(super) end: u64,
    /// The number of the last line.
    pub(super) number: u64,
    pub(super) lines: u64,
    /// The lines that are events.
    pub(super) events: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Not handed to the publisher yet.
    Unsent,
    /// With the publisher, or given up by it without an answer.
    Sent,
    /// It will never be stored, and its dead letter is not written yet.
    Doomed,
    /// It will never be stored, and there is nowhere to write a dead letter.
    Stopping,
    /// It will not be sent, and no gap record tells of it yet.
    Missing,
    /// The gap record that tells of it is about to be written.
    Noted,
    /// A blank line.
    Skipped,
    /// The stream holds it at this sequence.
    Stored(u64),
    /// It is where it should be, and that place counts nothing.
    Taken,
    /// Its dead letter is written.
    Dead,
    /// Its gap record is written.
    Missed,
}

impl Entry {
    pub(super) fn new(line: Line, state: State) -> Self {
        Self { line, state, read_from: None, payload_len: 0, duplicate: false, unverified: false }
    }
}

impl State {
    /// Whether the watermark may pass.
    pub(super) const fn is_settled(self) -> bool {
        matches!(self, Self::Skipped | Self::Stored(_) | Self::Taken | Self::Dead | Self::Missed)
    }
}

impl Line {
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Record(record) => record.position,
            Self::Oversize(line) => line.position,
            Self::Gap(gap) => gap.position,
        }
    }

    pub(super) fn end(&self) -> u64 {
        match self {
            Self::Record(record) => record.end,
            Self::Oversize(line) => line.end,
            Self::Gap(gap) => gap.end,
        }
    }

    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Record(record) => record.number,
            Self::Oversize(line) => line.number,
            Self::Gap(gap) => gap.number,
        }
    }

    /// The line as one sees it who begins to read at `position`, which is in it or where it begins.
    pub(super) fn from(&self, position: u64) -> Self {
        let mut line = self.clone();
        match &mut line {
            Self::Record(record) => {
                let before = usize::try_from(position - record.position).unwrap_or(usize::MAX);
                record.line = record.line.slice(before.min(record.line.len())..);
                record.position = position;
            }
            Self::Oversize(line) => line.position = position,
            Self::Gap(gap) => gap.position = position,
        }
        line
    }

    /// How many lines it is.
    pub(super) const fn lines(&self) -> u64 {
        match self {
            Self::Record(_) | Self::Oversize(_) => 1,
            Self::Gap(gap) => gap.lines,
        }
    }

    /// How many of them are events, blank ones of a gap aside.
    pub(super) const fn events(&self) -> u64 {
        match self {
            Self::Record(_) | Self::Oversize(_) => 1,
            Self::Gap(gap) => gap.events,
        }
    }

    /// Adds the line to the fingerprint of its input. What is in a gap is known no more.
    pub(super) fn mark(&self, fingerprint: &mut Fingerprint) {
        if let Some((hash, line_feed)) = self.hash() {
            fingerprint.mark(hash, line_feed);
        }
    }

    /// What it adds to the fingerprint of its input, and whether it has a line feed.
    pub(super) fn hash(&self) -> Option<(u64, bool)> {
        match self {
            Self::Record(record) => {
                let line_feed = record.end - record.position > record.line.len() as u64;
                let mut hash = LineHash::default();
                hash.update(&record.line);
                Some((hash.finish(), line_feed))
            }
            Self::Oversize(line) => Some((line.mark, line.end - line.position > line.len)),
            Self::Gap(_) => None,
        }
    }
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new(), first: 0 }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The tag of the oldest entry, or of the next one where there is none.
    pub(super) const fn first_tag(&self) -> u64 {
        self.first
    }

    /// The tag that the next entry will have.
    pub(super) fn next_tag(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) fn entry(&self, tag: u64) -> Option<&Entry> {
        self.entries.get(self.index(tag)?)
    }

    pub(super) fn entry_mut(&mut self, tag: u64) -> Option<&mut Entry> {
        let index = self.index(tag)?;
        self.entries.get_mut(index)
    }

    pub(super) fn front(&self) -> Option<&Entry> {
        self.entries.front()
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut Entry> {
        self.entries.back_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Lets go of the oldest entry if it is settled.
    pub(super) fn pop_settled(&mut self) -> Option<Entry> {
        if !self.entries.front()?.state.is_settled() {
            return None;
        }
        self.first += 1;
        self.entries.pop_front()
    }

    fn index(&self, tag: u64) -> Option<usize> {
        usize::try_from(tag.checked_sub(self.first)?).ok()
    }
}
