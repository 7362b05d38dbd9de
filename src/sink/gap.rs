//! What a sink does not get: lines that go by while its ring is full, or after it has failed, told of in one record a gap.

use super::pipeline::Pipeline;
use super::ring::{Entry, Line, Missed, State};
use crate::time::Instant;

/// Events that a sink was never sent, one behind the other in the input. It may hold some of them all the same: those
/// that were on their way when it was given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Gap {
    /// The offset of the first byte of the first of them.
    pub from: u64,
    /// The offset behind the last of them.
    pub to: u64,
    /// How many they are.
    pub count: u64,
}

impl Pipeline {
    /// Events of gaps that are not written down yet.
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Lets lines go by that this sink does not get. They become part of the last gap, where there is nothing behind it.
    pub(super) fn miss(&mut self, missed: Missed) {
        self.read_to = missed.end;
        self.counts.read += missed.lines;
        self.counts.skipped += missed.lines - missed.events;
        self.missing += missed.events;
        self.gap_bytes += missed.end - missed.position;
        match self.ring.back_mut() {
            Some(Entry { line: Line::Gap(gap), state: State::Missing, .. }) => {
                gap.end = missed.end;
                gap.number = missed.number;
                gap.lines += missed.lines;
                gap.events += missed.events;
            }
            _ => self.ring.push(Entry::new(Line::Gap(missed), State::Missing)),
        }
    }

    /// Sends nothing of what it holds any more: all that has no answer is a gap, and so is the event that stopped it.
    pub(super) fn give_up(&mut self) {
        for entry in self.ring.iter_mut() {
            if !matches!(entry.state, State::Unsent | State::Sent | State::Stopping) {
                continue;
            }
            let (position, end, number) = (entry.line.position(), entry.line.end(), entry.line.number());
            let missed = Missed { position, end, number, lines: 1, events: 1 };
            *entry = Entry::new(Line::Gap(missed), State::Missing);
            self.missing += 1;
            self.gap_bytes += end - position;
        }
        self.prepared = None;
        self.stop = None;
    }

    /// The next gap to write down, once the watermark has come to it. One that is open, as it may still grow, is left alone
    /// while nothing is behind it.
    pub(super) fn poll_gap(&mut self, is_open: bool, now: Instant) -> Option<Gap> {
        loop {
            let is_whole = self.ring.len() > 1 || !is_open;
            if self.ring.front()?.state != State::Missing || !is_whole {
                return None;
            }
            let from = self.ring.front()?.line.position();
            let mut gap = Gap { from, to: from, count: 0 };
            for entry in self.ring.iter_mut().take_while(|entry| entry.state == State::Missing) {
                entry.state = State::Noted;
                gap.to = entry.line.end();
                gap.count += entry.line.events();
            }
            if gap.count > 0 {
                return Some(gap);
            }
            // Blank lines only.
            self.handle_gap_written(now);
        }
    }

    /// The record of the gap that was polled last is written, and will be on disk before the next commit is.
    pub(super) fn handle_gap_written(&mut self, now: Instant) {
        let mut events = 0;
        for entry in self.ring.iter_mut().take_while(|entry| entry.state == State::Noted) {
            entry.state = State::Missed;
            events += entry.line.events();
        }
        self.counts.gap += events;
        self.missing -= events;
        self.advance(now);
    }
}
