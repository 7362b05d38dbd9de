//! One ring of bytes for all messages in flight: spans are taken at the back and given up at the front.

use alloc::vec;
use alloc::vec::Vec;

/// The first size, bytes. It doubles when it is too small and never shrinks.
const SIZE_MIN: usize = 64 << 10;

/// A ring of bytes whose spans are contiguous. Who takes spans bounds their sum; the ring is at most about twice that.
#[derive(Debug, Default)]
pub(crate) struct ByteRing {
    bytes: Vec<u8>,
    head: usize,
    tail: usize,
    spans: usize,
}

/// Where a message's bytes lie. Valid until the ring grows, when [`ByteRing::grow`] tells the new place.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct RingSpan {
    start: usize,
    len: usize,
}

impl RingSpan {
    pub(crate) fn len(self) -> usize {
        self.len
    }
}

impl ByteRing {
    /// A span of `len` bytes at the back, or `None` when the ring must grow first.
    pub(crate) fn take(&mut self, len: usize) -> Option<RingSpan> {
        if self.spans == 0 {
            (self.head, self.tail) = (0, 0);
        }
        let wrapped = self.spans > 0 && self.tail <= self.head;
        let start = if wrapped {
            (self.head - self.tail >= len).then_some(self.tail)
        } else if self.bytes.len() - self.tail >= len {
            Some(self.tail)
        } else {
            (self.head >= len).then_some(0)
        }?;
        self.tail = start + len;
        self.spans += 1;
        Some(RingSpan { start, len })
    }

    /// Gives up the front span; `next` is the one behind it, if any.
    pub(crate) fn give_up_front(&mut self, next: Option<RingSpan>) {
        self.spans = self.spans.saturating_sub(1);
        if let Some(next) = next {
            self.head = next.start;
        }
    }

    /// Makes room for `len` more bytes by moving all live spans, given front to back, into a larger ring.
    pub(crate) fn grow<'a>(&mut self, len: usize, spans: impl Iterator<Item = &'a mut RingSpan>) {
        let mut size = self.bytes.len().max(SIZE_MIN / 2) * 2;
        let live: usize = self.bytes.len();
        while size - live.min(size) < len {
            size *= 2;
        }
        let mut grown = vec![0; size];
        let mut at = 0;
        for span in spans {
            grown[at..at + span.len].copy_from_slice(self.bytes_of(*span));
            span.start = at;
            at += span.len;
        }
        self.bytes = grown;
        (self.head, self.tail) = (0, at);
    }

    pub(crate) fn bytes_of(&self, span: RingSpan) -> &[u8] {
        &self.bytes[span.start..span.start + span.len]
    }

    pub(crate) fn bytes_of_mut(&mut self, span: RingSpan) -> &mut [u8] {
        &mut self.bytes[span.start..span.start + span.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use alloc::collections::VecDeque;

    #[test]
    fn spans_keep_their_bytes_through_wraps_and_growth() {
        let mut rng = Rng::new(7);
        let mut ring = ByteRing::default();
        let mut live: VecDeque<(RingSpan, u8)> = VecDeque::new();
        for round in 0..200_000u32 {
            let fill = (round % 251) as u8;
            if live.len() < 300 && rng.below(2) == 0 {
                let len = rng.below(if round % 997 == 0 { 100_000 } else { 900 }) as usize + 1;
                let span = ring.take(len).unwrap_or_else(|| {
                    ring.grow(len, live.iter_mut().map(|(span, _)| span));
                    ring.take(len).expect("a grown ring has room")
                });
                ring.bytes_of_mut(span).fill(fill);
                live.push_back((span, fill));
            } else if let Some((span, fill)) = live.pop_front() {
                assert!(ring.bytes_of(span).iter().all(|byte| *byte == fill), "round {round}");
                ring.give_up_front(live.front().map(|(span, _)| *span));
            }
        }
        assert!(ring.bytes.len() <= 4 << 20, "{}", ring.bytes.len());
    }
}
