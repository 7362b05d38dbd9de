//! Where a stream can hold what is not settled: what an earlier run may have sent, and what this one alone has.

use super::watermark::{Later, Start};

/// From which sequence on the stream would have to be read back.
#[derive(Debug)]
pub(super) struct Replay {
    /// Whatever is not settled is stored behind this sequence, if it is stored at all.
    read_from: u64,
    /// And what has this tag or a higher one behind this sequence.
    later: Option<(u64, u64)>,
    /// An earlier run has sent no record from this tag on.
    end: u64,
    /// How many records behind the first unsettled one a run sends at most, and more.
    reach: u64,
    /// Where the stream ended before this run sent anything, once that is known.
    began_after: Option<u64>,
    /// The last record that an earlier run has stored, as far as is known, and the last that this one has.
    last_found: Option<u64>,
    last_new: Option<u64>,
    /// Whether more is known than when it was last written down, although nothing was settled since.
    has_news: bool,
}

impl Replay {
    pub(super) fn new(start: &Start, reach: u64) -> Self {
        let later = start.later.map(|later| (later.records, later.seq));
        let (last_found, last_new, began_after) = (None, None, None);
        Self {
            read_from: start.read_from,
            later,
            end: reach,
            reach,
            began_after,
            last_found,
            last_new,
            has_news: false,
        }
    }

    /// The sequence after which the stream can hold the record with this tag, if it is sent now. What no earlier run has
    /// sent is stored after all that is acked by now, up to `last_seq`.
    pub(super) fn read_from(&self, tag: u64, last_seq: u64) -> u64 {
        let behind = match self.later {
            _ if tag >= self.end => last_seq.max(self.began_after.unwrap_or(0)),
            Some((at, seq)) if tag >= at => seq,
            _ => 0,
        };
        behind.max(self.read_from)
    }

    /// What can be said of records further on than the one with this tag, which is the first that is not settled.
    pub(super) fn later(&self, first: u64) -> Option<Later> {
        let end = || Some((self.end, self.began_after?));
        let (at, seq) = self.later.or_else(end).filter(|(at, seq)| *at > first && *seq > self.read_from)?;
        Some(Later { records: at - first, seq })
    }

    /// The stream ended at this sequence before anything was sent.
    pub(super) fn began(&mut self, last_seq: u64) {
        self.began_after.get_or_insert(last_seq);
    }

    /// The same, and no earlier run has sent anything.
    pub(super) fn is_first_run(&mut self, last_seq: u64) {
        self.read_from = self.read_from.max(last_seq);
        (self.later, self.end, self.began_after) = (None, 0, Some(last_seq));
    }

    /// All that there is was read and is settled, up to `last_seq`: whatever comes, from this tag on, no earlier run can have
    /// sent. Where an earlier run may have read more, that is so behind what is new.
    pub(super) fn all_read(&mut self, next: u64, last_seq: u64, was_more: bool) {
        if was_more && self.last_new <= self.last_found {
            return;
        }
        self.has_news |= next < self.end;
        self.end = self.end.min(next);
        self.read_from = self.read_from.max(last_seq);
        self.later = None;
    }

    pub(super) const fn has_news(&self) -> bool {
        self.has_news
    }

    pub(super) fn handle_written(&mut self) {
        self.has_news = false;
    }

    /// The record with this tag was not in the stream before.
    pub(super) fn stored(&mut self, tag: u64) {
        self.last_new = self.last_new.max(Some(tag));
    }

    /// The stream held the record with this tag already, at this sequence; `first` is the first that is not settled.
    pub(super) fn found(&mut self, tag: u64, seq: u64, first: u64) {
        if self.began_after.is_some_and(|began_after| seq > began_after) {
            // It is this run's own copy.
            return;
        }
        self.last_found = self.last_found.max(Some(tag));
        self.pass(first);
        // The run that sent it had settled what is as far before it, and sent what is as far behind it later.
        let at = tag.saturating_add(self.reach);
        self.end = self.end.max(at);
        if self.later.is_none_or(|(known, after)| seq <= after && known < at) {
            self.later = Some((at, seq));
        }
    }

    /// All records before this tag are settled.
    pub(super) fn pass(&mut self, first: u64) {
        if let Some((at, seq)) = self.later
            && first >= at
        {
            self.read_from = self.read_from.max(seq);
            self.later = None;
        }
    }
}
