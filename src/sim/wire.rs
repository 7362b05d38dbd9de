//! One direction of a simulated connection: bytes in order, late, in pieces, and not always to the end.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::rng::Rng;
use crate::time::Instant;

/// How bytes travel in one direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    /// How long each byte is on its way.
    pub latency: Duration,
    /// How many bytes enter the wire in a second; `None` is all at once.
    pub bytes_per_sec: Option<u64>,
    /// How many bytes arrive at once at most.
    pub chunk: usize,
    /// Whether each piece has a random size up to `chunk`.
    pub ragged: bool,
    /// How many bytes the wire takes before the sender must wait.
    pub capacity: usize,
}

#[derive(Debug)]
pub(super) struct Wire {
    pace: Pace,
    rng: Rng,
    bytes: Vec<u8>,
    start: usize,
    /// When how many bytes arrive, in order.
    arrivals: VecDeque<(Instant, usize)>,
    entered_at: Instant,
    passed: u64,
    cut_after: Option<u64>,
    /// Whether what is sent from now on vanishes.
    pub(super) blackholed: bool,
}

/// The longest piece whose bytes share one moment of arrival on a slow wire.
const SLOW_PIECE: usize = 64;

impl Default for Pace {
    /// At once, in pieces of 64 KiB, through a socket buffer of 256 KiB.
    fn default() -> Self {
        Self { latency: Duration::ZERO, bytes_per_sec: None, chunk: 64 << 10, ragged: false, capacity: 256 << 10 }
    }
}

impl Wire {
    pub(super) fn new(pace: Pace, cut_after: Option<u64>, seed: u64) -> Self {
        Self {
            pace,
            rng: Rng::new(seed),
            bytes: Vec::new(),
            start: 0,
            arrivals: VecDeque::new(),
            entered_at: Instant::ZERO,
            passed: 0,
            cut_after,
            blackholed: false,
        }
    }

    /// How many more bytes the wire takes now.
    pub(super) fn room(&self) -> usize {
        self.pace.capacity.saturating_sub(self.len())
    }

    /// Whether everything that was sent has arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether as many bytes have arrived as were to arrive before the cut.
    pub(super) fn is_cut(&self) -> bool {
        self.cut_after.is_some_and(|after| self.passed >= after)
    }

    pub(super) fn push(&mut self, bytes: &[u8], now: Instant) {
        let piece = self.pace.bytes_per_sec.map_or(bytes.len().max(1), |_| SLOW_PIECE);
        for bytes in bytes.chunks(piece) {
            let takes = self
                .pace
                .bytes_per_sec
                .map_or(Duration::ZERO, |rate| Duration::from_micros(bytes.len() as u64 * 1_000_000 / rate.max(1)));
            self.entered_at = self.entered_at.max(now) + takes;
            self.bytes.extend_from_slice(bytes);
            let at = self.entered_at + self.pace.latency;
            match self.arrivals.back_mut() {
                Some((last, len)) if *last == at => *len += bytes.len(),
                _ => self.arrivals.push_back((at, bytes.len())),
            }
        }
    }

    /// When the next bytes arrive.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.arrivals.front().filter(|_| !self.blackholed).map(|(at, _)| *at)
    }

    /// The next piece that has arrived by now.
    pub(super) fn pop(&mut self, now: Instant) -> Option<&[u8]> {
        if self.blackholed || self.is_cut() {
            return None;
        }
        let (at, arrived) = self.arrivals.front_mut()?;
        if *at > now {
            return None;
        }
        let chunk = match self.pace.ragged {
            true => 1 + self.rng.below(self.pace.chunk as u64) as usize,
            false => self.pace.chunk.max(1),
        };
        let left = self.cut_after.map_or(usize::MAX, |after| (after - self.passed.min(after)) as usize);
        let len = chunk.min(*arrived).min(left);
        if len == *arrived {
            self.arrivals.pop_front();
        } else {
            *arrived -= len;
        }
        self.passed += len as u64;
        if self.start > 64 << 10 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.start += len;
        Some(&self.bytes[self.start - len..self.start])
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(wire: &mut Wire, now: Instant) -> Vec<Vec<u8>> {
        core::iter::from_fn(|| wire.pop(now).map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn bytes_come_in_order_late_and_in_pieces() {
        let pace = Pace { latency: Duration::from_micros(10), chunk: 3, ..Pace::default() };
        let mut wire = Wire::new(pace, None, 1);
        wire.push(b"abcd", Instant::ZERO);
        wire.push(b"efg", Instant::from_micros(5));
        assert!(wire.pop(Instant::from_micros(9)).is_none());
        assert_eq!(drained(&mut wire, Instant::from_micros(10)), [&b"abc"[..], b"d"]);
        assert_eq!(wire.next_at(), Some(Instant::from_micros(15)));
        assert_eq!(drained(&mut wire, Instant::from_micros(15)), [b"efg"]);
        assert!(wire.is_empty());
    }

    #[test]
    fn a_slow_wire_takes_its_time_and_then_has_no_room() {
        let pace = Pace { bytes_per_sec: Some(1000), capacity: 2000, ..Pace::default() };
        let mut wire = Wire::new(pace, None, 1);
        wire.push(&[0; 1500], Instant::ZERO);
        assert_eq!(wire.room(), 500);
        let arrived: usize = drained(&mut wire, Instant::from_micros(700_000)).iter().map(Vec::len).sum();
        assert!((600..=700).contains(&arrived), "{arrived}");
    }

    #[test]
    fn a_cut_lets_exactly_so_many_bytes_pass() {
        let mut wire = Wire::new(Pace::default(), Some(4), 1);
        wire.push(b"abcdefg", Instant::ZERO);
        assert!(!wire.is_cut());
        assert_eq!(wire.pop(Instant::ZERO), Some(&b"abcd"[..]));
        assert!(wire.is_cut());
    }
}
