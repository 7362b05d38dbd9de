//! Where more ids of earlier runs are stored than can be held: they are read again for each window of messages, and of them
//! only those of the window are kept.

/// Messages in a row that were not there, after which none of an earlier run can follow: it had sent no more than its window
/// behind one that is not stored. At least as many, and at least four windows.
const MISSES_MAX: u64 = 4096;

/// The looking for messages, a window at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sifting {
    /// The first message of the window.
    from: u64,
    /// Messages before this one were looked for, or are being.
    until: u64,
    is_under_way: bool,
    /// Messages in a row that were not there.
    misses: u64,
}

impl Sifting {
    /// Before anything from this message on was looked for.
    pub(super) const fn new(front: u64) -> Self {
        Self { from: front, until: front, is_under_way: false, misses: 0 }
    }

    /// Up to where messages may be written: those after it were not looked for.
    pub(super) const fn until(&self) -> u64 {
        self.until
    }

    /// Begins with the messages that are there, once those of the last window are settled; `false` where there are none.
    pub(super) const fn begin(&mut self, front: u64, back: u64) -> bool {
        if front < self.until || back <= self.until {
            return false;
        }
        (self.from, self.until, self.is_under_way) = (front, back, true);
        true
    }

    /// All that is stored was read, and so many were found. Whether none can follow.
    pub(super) fn end(&mut self, found: usize, in_flight_max: usize) -> bool {
        if !core::mem::replace(&mut self.is_under_way, false) {
            return false;
        }
        self.misses = if found > 0 { 0 } else { self.misses + (self.until - self.from) };
        self.misses >= MISSES_MAX.max(4 * in_flight_max as u64)
    }
}
