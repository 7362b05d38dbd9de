//! The records between watermark and reading: one entry each, settled in any order, let go in order.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::fingerprint::Fingerprint;
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
}

#[derive(Debug)]
pub(super) enum Line {
    Record(Record),
    Oversize(Box<Oversize>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Not handed to the publisher yet.
    Unsent,
    /// With the publisher, or given up by it without an answer.
    Sent,
    /// It will never be stored, and its dead letter is not written yet, or there is nowhere to write one.
    Doomed,
    /// A blank line.
    Skipped,
    /// The stream holds it at this sequence.
    Stored(u64),
    /// Its dead letter is written.
    Dead,
}

impl State {
    /// Whether the watermark may pass.
    pub(super) const fn is_settled(self) -> bool {
        matches!(self, Self::Skipped | Self::Stored(_) | Self::Dead)
    }
}

impl Line {
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Record(record) => record.position,
            Self::Oversize(line) => line.position,
        }
    }

    pub(super) fn end(&self) -> u64 {
        match self {
            Self::Record(record) => record.end,
            Self::Oversize(line) => line.end,
        }
    }

    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Record(record) => record.number,
            Self::Oversize(line) => line.number,
        }
    }

    /// Adds the line to the fingerprint of its input.
    pub(super) fn mark(&self, fingerprint: &mut Fingerprint) {
        match self {
            Self::Record(record) => {
                let line_feed = record.end - record.position > record.line.len() as u64;
                fingerprint.line(&record.line, line_feed);
            }
            Self::Oversize(line) => fingerprint.mark(line.mark, line.end - line.position > line.len),
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
