//! Bytes on their way to one socket: what machines write, and what a driver carries off.

use alloc::vec::Vec;
use bytes::Bytes;
use core::{fmt, mem};
use zeroize::Zeroize;

/// Room made for a CONNECT before it is encoded, so that its buffer does not grow and leave a copy behind.
const SECRET_ROOM: usize = 16 << 10;

/// The bytes that a link owes its socket. They die with the link: what must outlive it is kept above.
///
/// Small messages are copied into one buffer; large payloads stand beside it as reference-counted slices.
#[derive(Debug, Default)]
pub struct Outbox {
    queued: Transmit,
    /// Bytes pushed since the link began.
    pushed: u64,
    /// Bytes the driver says the socket took since the link began.
    transmitted: u64,
    room_max: usize,
}

/// Bytes that a driver has carried off and writes at its own pace. `Debug` shows how many.
#[derive(Default)]
pub struct Transmit {
    copied: Vec<u8>,
    /// Each shared slice with the length of `copied` at the moment it was pushed.
    shared: Vec<(usize, Bytes)>,
    len: usize,
    /// Whether a secret stands in `copied`: it is then overwritten when it is written or forgotten.
    is_secret: bool,
    /// How much of `copied`, how many of `shared`, and how much of the next shared slice are written.
    copied_done: usize,
    shared_done: usize,
    slice_done: usize,
}

impl Outbox {
    pub(crate) fn new(room_max: usize) -> Self {
        Self { room_max, ..Self::default() }
    }

    /// Whether another message may be written now. It may then be of any length: the bound is soft by one message.
    pub fn has_room(&self) -> bool {
        self.queued.len < self.room_max
    }

    /// Bytes waiting for the driver to carry them off.
    pub fn len(&self) -> usize {
        self.queued.len
    }

    /// Whether nothing waits for the driver.
    pub fn is_empty(&self) -> bool {
        self.queued.len == 0
    }

    /// Bytes pushed since the link began.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Bytes the socket took since the link began.
    pub fn transmitted(&self) -> u64 {
        self.transmitted
    }

    /// Copies `bytes` behind what is queued.
    pub fn push(&mut self, bytes: &[u8]) {
        self.queued.copied.extend_from_slice(bytes);
        self.grew(bytes.len());
    }

    /// Queues `bytes` without copying them.
    pub fn push_shared(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.grew(bytes.len());
            self.queued.shared.push((self.queued.copied.len(), bytes));
        }
    }

    /// Lets `encode` append to the buffer.
    pub(crate) fn write(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let before = self.queued.copied.len();
        encode(&mut self.queued.copied);
        let grown = self.queued.copied.len().saturating_sub(before);
        self.grew(grown);
    }

    /// As [`Outbox::write`], for what must not be left in memory.
    pub(crate) fn write_secret(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.queued.is_secret = true;
        self.queued.copied.reserve(SECRET_ROOM);
        self.write(encode);
    }

    /// Hands everything queued to `transmit`, which must be empty, and takes its buffers for what comes next.
    pub(crate) fn carry_off(&mut self, transmit: &mut Transmit) {
        debug_assert!(transmit.is_empty(), "a driver writes all of one transmit before it asks for the next");
        transmit.clear();
        mem::swap(&mut self.queued, transmit);
    }

    pub(crate) fn took(&mut self, len: usize) {
        self.transmitted = self.pushed.min(self.transmitted + len as u64);
    }

    fn grew(&mut self, len: usize) {
        self.queued.len += len;
        self.pushed += len as u64;
    }
}

impl Transmit {
    /// An empty one; its buffers grow with use and are reused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes not yet written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `slices` with what is to be written next, in order, and says how many it filled.
    pub fn slices<'a>(&'a self, slices: &mut [&'a [u8]]) -> usize {
        let mut filled = 0;
        let mut copied = self.copied_done;
        let mut slice_done = self.slice_done;
        for (at, shared) in &self.shared[self.shared_done..] {
            for part in [&self.copied[copied..*at], &shared[slice_done..]] {
                if filled == slices.len() {
                    return filled;
                }
                if !part.is_empty() {
                    slices[filled] = part;
                    filled += 1;
                }
            }
            copied = *at;
            slice_done = 0;
        }
        if filled < slices.len() && copied < self.copied.len() {
            slices[filled] = &self.copied[copied..];
            filled += 1;
        }
        filled
    }

    /// Notes that the first `len` bytes are written.
    pub fn advance(&mut self, mut len: usize) {
        self.len = self.len.saturating_sub(len);
        while len > 0 {
            let copied_end = self.shared.get(self.shared_done).map_or(self.copied.len(), |(at, _)| *at);
            let step = len.min(copied_end - self.copied_done);
            self.copied_done += step;
            len -= step;
            let Some((_, shared)) = self.shared.get(self.shared_done) else { break };
            let step = len.min(shared.len() - self.slice_done);
            self.slice_done += step;
            len -= step;
            if self.slice_done == shared.len() && self.copied_done == copied_end {
                self.shared_done += 1;
                self.slice_done = 0;
            }
        }
        if self.is_empty() {
            self.clear();
        }
    }

    /// Forgets what is not written, as when the socket is gone. Buffers are kept.
    pub fn clear(&mut self) {
        if mem::take(&mut self.is_secret) {
            self.copied.zeroize();
        }
        self.copied.clear();
        self.shared.clear();
        (self.len, self.copied_done, self.shared_done, self.slice_done) = (0, 0, 0, 0);
    }
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Drop for Transmit {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(transmit: &mut Transmit, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !transmit.is_empty() {
            let mut slices = [&[][..]; 3];
            let filled = transmit.slices(&mut slices);
            assert!(filled > 0, "bytes are left, so there must be a slice");
            let flat: Vec<u8> = slices[..filled].concat();
            let len = step.min(flat.len());
            all.extend_from_slice(&flat[..len]);
            transmit.advance(len);
        }
        all
    }

    #[test]
    fn copied_and_shared_bytes_come_out_in_order_at_any_step() {
        for step in 1..40 {
            let mut outbox = Outbox::new(1 << 20);
            outbox.push(b"head1 ");
            outbox.push_shared(Bytes::from_static(b"LARGE1 "));
            outbox.push_shared(Bytes::from_static(b"LARGE2 "));
            outbox.push(b"tail ");
            outbox.write(|out| out.extend_from_slice(b"more "));
            outbox.push_shared(Bytes::from_static(b"LARGE3"));
            assert_eq!(outbox.len(), 36);
            let mut transmit = Transmit::new();
            outbox.carry_off(&mut transmit);
            assert!(outbox.is_empty());
            assert_eq!(written(&mut transmit, step), b"head1 LARGE1 LARGE2 tail more LARGE3", "step {step}");
            assert_eq!(transmit.len(), 0);
        }
    }

    #[test]
    fn room_ends_at_the_bound_and_comes_back() {
        let mut outbox = Outbox::new(10);
        assert!(outbox.has_room());
        outbox.push(&[0; 10]);
        assert!(!outbox.has_room());
        outbox.carry_off(&mut Transmit::new());
        assert!(outbox.has_room());
        assert_eq!(outbox.pushed(), 10);
        outbox.took(4);
        assert_eq!(outbox.transmitted(), 4);
    }
}
