//! One line of the input, and where it stood.

use bytes::Bytes;

use crate::time::Instant;

/// What a line of the input is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// A native change event in JSON.
    Event,
    /// Any JSON object.
    Json,
    /// Any bytes. A carriage return before the line feed is a byte like any other and is sent.
    Lines,
}

/// A line and its place in the input. The bytes are a slice of the chunk they were read in, never a copy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// The line without its line feed.
    pub line: Bytes,
    /// The offset of its first byte in the input.
    pub position: u64,
    /// The offset of the first byte after it and its line feed, if it has one. The next record starts here.
    pub end: u64,
    /// Its number, counted from 1.
    pub number: u64,
    /// When it was read: what its latency is counted from.
    pub read_at: Instant,
}

/// A line that is longer than a line may be. It was not kept, only measured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Oversize {
    /// The offset of its first byte in the input.
    pub position: u64,
    /// The offset of the first byte after it and its line feed, if it has one.
    pub end: u64,
    /// Its number, counted from 1.
    pub number: u64,
    /// When its end was read.
    pub read_at: Instant,
    /// Its bytes, without the line feed.
    pub len: u64,
    /// The most that a line may have, bytes.
    pub len_max: usize,
    /// Its first 64 KiB.
    pub head: Bytes,
    /// The SHA-256 of all its bytes.
    pub sha256: [u8; 32],
    /// What it adds to the fingerprint of its input.
    pub mark: u64,
}

impl Format {
    /// Whether `line` is skipped: white space only, or, where any byte counts, no byte at all.
    pub fn is_blank(self, line: &[u8]) -> bool {
        match self {
            Self::Event | Self::Json => line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')),
            Self::Lines => line.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines() {
        for line in [&b""[..], b" ", b"\r", b" \t\r"] {
            assert!(Format::Event.is_blank(line) && Format::Json.is_blank(line), "{line:?}");
        }
        assert!(!Format::Json.is_blank(b" {} "));
        assert!(!Format::Json.is_blank(b"\x0b"));
        assert!(Format::Lines.is_blank(b""));
        assert!(!Format::Lines.is_blank(b"\r"));
        assert!(!Format::Lines.is_blank(b" "));
    }
}
