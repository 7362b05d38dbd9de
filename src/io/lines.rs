//! Bytes into lines: blocks of whole lines, read once, never copied line by line.

use std::io::{self, Read};
use std::prelude::v1::*;
use std::time::Instant as Clock;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use crate::sink::{LineHash, Oversize, Record};
use crate::time::Instant;

/// What is read at once, bytes. Longer lines get longer blocks.
pub(super) const BLOCK_LEN: usize = 256 * 1024;
/// Less room than this at the end of a block is not read into.
const ROOM_MIN: usize = 16 * 1024;
/// What is kept of a line that is too long, bytes.
const HEAD_LEN: usize = 64 * 1024;

/// A line of the input.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Line {
    /// One that can be an event.
    Record(Record),
    /// One that is too long.
    Oversize(Oversize),
}

/// Whole lines that were read together.
#[derive(Clone, Debug)]
pub(super) struct Block {
    bytes: Bytes,
    /// Where the next line begins in `bytes`.
    at: usize,
    position: u64,
    number: u64,
    read_at: Instant,
    line_len_max: usize,
}

/// What the cutter found next.
#[derive(Debug)]
pub(super) enum Piece {
    Block(Block),
    Oversize(Oversize),
}

/// Cuts what it reads. The last line of the input needs no line feed.
#[derive(Debug)]
pub(super) struct Cutter<R> {
    reader: R,
    /// Its first `filled` bytes are read and not cut off yet; the first `searched` of them have no line feed.
    block: BytesMut,
    filled: usize,
    searched: usize,
    /// The offset of the block's first byte in the input.
    position: u64,
    /// Lines before it.
    lines: u64,
    line_len_max: usize,
    epoch: Clock,
    ended: bool,
}

impl<R: Read> Cutter<R> {
    /// Cuts what comes from the `reader`, whose next byte is at `position`, after so many `lines`.
    pub(super) fn new(reader: R, position: u64, lines: u64, line_len_max: usize, epoch: Clock) -> Self {
        Self {
            reader,
            block: BytesMut::new(),
            filled: 0,
            searched: 0,
            position,
            lines,
            line_len_max,
            epoch,
            ended: false,
        }
    }

    /// What comes next; `None` at the end of the input.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            if let Some(line_feed) = memchr::memrchr(b'\n', &self.block[self.searched..self.filled]) {
                let end = self.searched + line_feed + 1;
                return Ok(Some(Piece::Block(self.cut(end))));
            }
            self.searched = self.filled;
            if self.filled > self.line_len_max {
                return self.oversize().map(Some);
            }
            if !self.read()? {
                let rest = self.filled;
                return Ok((rest > 0).then(|| Piece::Block(self.cut(rest))));
            }
        }
    }

    /// Reads more behind what is there; `false` at the end of the input.
    fn read(&mut self) -> io::Result<bool> {
        if self.block.len() - self.filled < ROOM_MIN {
            let longest = self.line_len_max.saturating_add(1 + ROOM_MIN);
            let len = (2 * self.filled).min(longest).max(BLOCK_LEN).max(self.filled + ROOM_MIN);
            let mut block = BytesMut::zeroed(len);
            block[..self.filled].copy_from_slice(&self.block[..self.filled]);
            self.block = block;
        }
        while !self.ended {
            match self.reader.read(&mut self.block[self.filled..]) {
                Ok(0) => self.ended = true,
                Ok(len) => {
                    self.filled += len;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Cuts off the first `len` bytes, which are whole lines.
    fn cut(&mut self, len: usize) -> Block {
        let bytes = self.block.split_to(len).freeze();
        let lines = memchr::memchr_iter(b'\n', &bytes).count() as u64 + u64::from(bytes.last() != Some(&b'\n'));
        let block = Block {
            bytes,
            at: 0,
            position: self.position,
            number: self.lines + 1,
            read_at: self.now(),
            line_len_max: self.line_len_max,
        };
        self.filled -= len;
        self.searched = self.filled;
        self.position += len as u64;
        self.lines += lines;
        block
    }

    /// Measures a line that is too long, up to its end, without keeping it. What is filled is its beginning.
    fn oversize(&mut self) -> io::Result<Piece> {
        let mut sha256 = Sha256::new();
        let mut mark = LineHash::default();
        let mut head = Vec::new();
        let line_feed = loop {
            let end = memchr::memchr(b'\n', &self.block[..self.filled]);
            let part = &self.block[..end.unwrap_or(self.filled)];
            sha256.update(part);
            mark.update(part);
            head.extend_from_slice(&part[..part.len().min(HEAD_LEN - head.len())]);
            match end {
                Some(end) => {
                    // What follows is moved to the front, as if it had just been read.
                    self.block.copy_within(end + 1..self.filled, 0);
                    self.filled -= end + 1;
                    self.searched = 0;
                    break true;
                }
                None => (self.filled, self.searched) = (0, 0),
            }
            if !self.read()? {
                break false;
            }
        };
        let (position, len) = (self.position, mark.len());
        self.position += len + u64::from(line_feed);
        self.lines += 1;
        Ok(Piece::Oversize(Oversize {
            position,
            end: self.position,
            number: self.lines,
            read_at: self.now(),
            len,
            len_max: self.line_len_max,
            head: head.into(),
            sha256: sha256.finalize().into(),
            mark: mark.finish(),
        }))
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed()
    }
}

impl Iterator for Block {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let next = (self.at + len + 1).min(self.bytes.len());
        let line = self.bytes.slice(self.at..self.at + len);
        let (position, number, read_at) = (self.position, self.number, self.read_at);
        let end = position + (next - self.at) as u64;
        (self.at, self.position, self.number) = (next, end, number + 1);
        if len <= self.line_len_max {
            return Some(Line::Record(Record { line, position, end, number, read_at }));
        }
        let mut mark = LineHash::default();
        mark.update(&line);
        Some(Line::Oversize(Oversize {
            position,
            end,
            number,
            read_at,
            len: len as u64,
            len_max: self.line_len_max,
            head: Bytes::copy_from_slice(&line[..len.min(HEAD_LEN)]),
            sha256: Sha256::digest(&line).into(),
            mark: mark.finish(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{Fingerprint, PrefixHash};
    use proptest::prelude::*;

    /// Gives its bytes in pieces of the sizes given, over and over, and an interruption before each.
    struct Pieces<'a> {
        bytes: &'a [u8],
        sizes: Vec<usize>,
        turn: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.turn += 1;
            if self.turn % 2 == 1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let size = self.sizes[self.turn / 2 % self.sizes.len()].min(room.len());
            self.bytes.read(&mut room[..size])
        }
    }

    fn cut(bytes: &[u8], sizes: Vec<usize>, position: u64, line_len_max: usize) -> Vec<Line> {
        let pieces = Pieces { bytes, sizes, turn: 0 };
        let mut cutter = Cutter::new(pieces, position, 7, line_len_max, Clock::now());
        let mut lines = Vec::new();
        while let Some(piece) = cutter.next().unwrap() {
            match piece {
                Piece::Block(block) => lines.extend(block),
                Piece::Oversize(line) => lines.push(Line::Oversize(line)),
            }
        }
        assert!(cutter.next().unwrap().is_none());
        lines
    }

    /// The naive twin: what each line must be, whatever the reads were.
    fn naive(bytes: &[u8], position: u64, line_len_max: usize, lines: &[Line]) {
        let mut at = position;
        let mut number = 7;
        let mut found = lines.iter();
        for whole in bytes.split_inclusive(|&byte| byte == b'\n') {
            let expected = whole.strip_suffix(b"\n").unwrap_or(whole);
            number += 1;
            let end = at + whole.len() as u64;
            match found.next().expect("a line is missing") {
                Line::Record(record) => {
                    assert!(expected.len() <= line_len_max);
                    assert_eq!(&*record.line, expected);
                    assert_eq!((record.position, record.end, record.number), (at, end, number));
                }
                Line::Oversize(line) => {
                    assert!(expected.len() > line_len_max);
                    assert_eq!(
                        (line.position, line.end, line.number, line.len),
                        (at, end, number, expected.len() as u64)
                    );
                    assert_eq!(&*line.head, &expected[..expected.len().min(HEAD_LEN)]);
                    assert_eq!(line.sha256, <[u8; 32]>::from(Sha256::digest(expected)));
                }
            }
            at = end;
        }
        assert_eq!(found.next(), None);
        let (mut by_line, mut by_bytes) = (Fingerprint::default(), PrefixHash::default());
        for line in lines {
            match line {
                Line::Record(record) => {
                    by_line.line(&record.line, record.end - record.position > record.line.len() as u64)
                }
                Line::Oversize(line) => by_line.mark(line.mark, line.end - line.position > line.len),
            }
        }
        by_bytes.update(bytes);
        assert_eq!(by_line, by_bytes.finish());
    }

    #[test]
    fn long_lines_get_long_blocks() {
        let mut bytes = b"short\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 3 * BLOCK_LEN));
        bytes.extend(b"\nshort\nlast");
        for line_len_max in [8 * BLOCK_LEN, 3 * BLOCK_LEN, 3 * BLOCK_LEN - 1, BLOCK_LEN, 100, 4] {
            for sizes in [vec![usize::MAX], vec![100_000, 1], vec![4096]] {
                naive(&bytes, 0, line_len_max, &cut(&bytes, sizes, 0, line_len_max));
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_not_kept() {
        const ENDLESS: u64 = 16 * BLOCK_LEN as u64;
        let endless = io::repeat(b'x').take(ENDLESS);
        let mut cutter = Cutter::new(endless, 0, 0, 1000, Clock::now());
        let piece = cutter.next().unwrap();
        let Some(Piece::Oversize(line)) = piece else { std::panic!("{piece:?}") };
        assert_eq!((line.len, line.end, line.head.len()), (ENDLESS, ENDLESS, HEAD_LEN));
        assert!(cutter.block.len() <= BLOCK_LEN);
    }

    #[test]
    fn small_reads_share_a_block() {
        let bytes = b"line\n".repeat(1000);
        let mut cutter = Cutter::new(Pieces { bytes: &bytes, sizes: vec![5], turn: 0 }, 0, 0, 1000, Clock::now());
        let mut blocks = Vec::new();
        while let Some(Piece::Block(block)) = cutter.next().unwrap() {
            blocks.push(block.bytes);
        }
        assert_eq!(blocks.len(), 1000);
        let first = blocks[0].as_ptr() as usize;
        assert!(blocks.iter().enumerate().all(|(i, bytes)| bytes.as_ptr() as usize == first + 5 * i));
    }

    #[test]
    fn an_error_is_told_after_the_lines_before_it() {
        struct Fails(bool);
        impl Read for Fails {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                if core::mem::replace(&mut self.0, true) {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                room[..4].copy_from_slice(b"a\nbc");
                Ok(4)
            }
        }
        let mut cutter = Cutter::new(Fails(false), 0, 0, 10, Clock::now());
        assert!(matches!(cutter.next(), Ok(Some(Piece::Block(_)))));
        assert_eq!(cutter.next().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    proptest! {
        #[test]
        fn reads_do_not_matter(
            bytes in "[ab\n\r]{0,60}", sizes in proptest::collection::vec(1..9usize, 1..4),
            line_len_max in 0..20usize, position in 0..3u64
        ) {
            naive(bytes.as_bytes(), position, line_len_max, &cut(bytes.as_bytes(), sizes, position, line_len_max));
        }
    }
}
