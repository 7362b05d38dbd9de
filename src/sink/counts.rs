//! What a run did so far, in numbers.

/// What became of the records of this run: `read = stored + duplicate + dead + gap + pending + skipped`, at every moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Lines read, blank and oversize ones included.
    pub read: u64,
    /// Events that the stream now holds, or whatever else takes them.
    pub stored: u64,
    /// Events that the stream held already.
    pub duplicate: u64,
    /// The duplicates that could not be compared with what the stream holds.
    pub unverified: u64,
    /// Events whose dead letter is written.
    pub dead: u64,
    /// Events that were never sent here and whose gap record is written: only a sink that is not waited for has any.
    pub gap: u64,
    /// Events of which none of this is known yet.
    pub pending: u64,
    /// Blank lines.
    pub skipped: u64,
    /// Payload bytes of the events stored or duplicate.
    pub bytes: u64,
    /// Events whose sequence in the stream is lower than that of some event before them in the input.
    pub inversions: u64,
    /// The lowest sequence of an event stored or duplicate; 0 before the first.
    pub first_seq: u64,
    /// The highest sequence of an event stored or duplicate; 0 before the first.
    pub last_seq: u64,
    /// Advances of the watermark that were committed.
    pub batches: u64,
}

impl Counts {
    /// The events of which it is known by now what became of them, and the lines that are none.
    pub(super) const fn settled(&self) -> u64 {
        self.stored + self.duplicate + self.dead + self.gap + self.skipped
    }

    /// Takes the sequence of an event into the first and the last one.
    pub(super) fn saw(&mut self, seq: u64) {
        self.first_seq = if self.first_seq == 0 { seq } else { self.first_seq.min(seq) };
        self.last_seq = self.last_seq.max(seq);
    }
}
