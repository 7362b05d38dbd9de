//! What a publisher does where more ids of earlier runs are stored than it can hold: it reads them again for each window of
//! messages, and keeps those of the window only.

use alloc::vec::Vec;

use super::id_set::Digest;
use super::in_flight::State;
use super::publisher::Publisher;
use crate::time::Instant;

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

impl Publisher {
    /// From now on only ids of messages in flight are kept.
    pub(super) fn begin_sifting(&mut self, now: Instant) {
        let front = self.ledger.front();
        self.sifting = Some(Sifting { from: front, until: front, is_under_way: false, misses: 0 });
        self.go_on_sifting(now);
    }

    /// Looks for the next window of messages, once those of the last one are settled.
    pub(super) fn go_on_sifting(&mut self, now: Instant) {
        let (front, back) = (self.ledger.front(), self.ledger.back());
        let Some(sifting) = &mut self.sifting else { return };
        if front < sifting.until || back <= sifting.until {
            return;
        }
        (sifting.from, sifting.until, sifting.is_under_way) = (front, back, true);
        let open = |ordinal| self.ledger.entry(ordinal).filter(|entry| entry.state == State::Open);
        let id = |entry| Digest::of(self.ledger.id(entry, self.fixed_headers.len()));
        let wanted: Vec<Digest> = (front..back).filter_map(open).map(id).collect();
        self.recall.forget();
        self.recall.want(self.options.recall_after.unwrap_or(0), wanted);
        self.check.doubt(now);
    }

    /// All that is stored was read, and so many were found.
    pub(super) fn end_sifting(&mut self, found: usize) {
        let Some(sifting) = self.sifting.as_mut().filter(|sifting| sifting.is_under_way) else { return };
        sifting.is_under_way = false;
        sifting.misses = if found > 0 { 0 } else { sifting.misses + (sifting.until - sifting.from) };
        if sifting.misses >= MISSES_MAX.max(4 * self.options.in_flight_max as u64) {
            self.sifting = None;
        }
        self.recall.forget();
    }

    /// Up to where messages may be written: those after it were not looked for.
    pub(super) fn sifted(&self) -> u64 {
        self.sifting.map_or(u64::MAX, |sifting| sifting.until)
    }

    /// No message that is submitted from now on can be one of an earlier run: nothing more is read back for them. It has no
    /// effect while messages are in flight.
    pub fn end_resume(&mut self) {
        if self.failure.is_none() && self.ledger.is_empty() {
            self.sifting = None;
            self.recall.forget();
            self.recall.finish();
        }
    }
}
