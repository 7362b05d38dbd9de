//! A running 64-bit fingerprint of an input's bytes: whether a pipe brings again what it brought before.

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const FINISH: u64 = 0xbf58_476d_1ce4_e5b9;

/// The fingerprint of a prefix of an input. It is made line by line, so that it can stand at the end of any line while the
/// reading is far ahead, and it can be written down and carried on. It finds accidents; it is no defence against somebody
/// who forges input.
///
/// ```
/// use natsink::sink::{Fingerprint, PrefixHash};
///
/// let mut lines = Fingerprint::default();
/// lines.line(b"first", true);
/// lines.line(b"second", false);
/// let mut bytes = PrefixHash::default();
/// bytes.update(b"fir");
/// bytes.update(b"st\nsecond");
/// assert_eq!(bytes.finish(), lines);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fingerprint(u64);

/// The hash of one line, made piece by piece.
#[derive(Clone, Debug, Default)]
pub struct LineHash {
    state: u64,
    /// The bytes after the last whole word.
    word: [u8; 8],
    len: u64,
}

/// The fingerprint of bytes as they come, however they are cut.
#[derive(Clone, Debug, Default)]
pub struct PrefixHash {
    lines: Fingerprint,
    line: LineHash,
}

impl Fingerprint {
    /// The fingerprint that [`to_bits`](Self::to_bits) told of.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// All there is of it.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Adds a line, given without its line feed, and whether it has one.
    pub fn line(&mut self, line: &[u8], line_feed: bool) {
        let mut hash = LineHash::default();
        hash.update(line);
        self.mark(hash.finish(), line_feed);
    }

    /// Adds a line by its [`LineHash`].
    pub fn mark(&mut self, line: u64, line_feed: bool) {
        self.0 = mix(self.0.rotate_left(17), line ^ u64::from(line_feed));
    }
}

impl LineHash {
    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let filled = (self.len % 8) as usize;
        self.len += bytes.len() as u64;
        if filled > 0 {
            let (head, rest) = bytes.split_at(bytes.len().min(8 - filled));
            self.word[filled..filled + head.len()].copy_from_slice(head);
            if filled + head.len() < 8 {
                return;
            }
            self.state = mix(self.state, u64::from_le_bytes(self.word));
            bytes = rest;
        }
        let (words, rest) = bytes.as_chunks::<8>();
        self.state = words.iter().fold(self.state, |state, word| mix(state, u64::from_le_bytes(*word)));
        self.word = [0; 8];
        self.word[..rest.len()].copy_from_slice(rest);
    }

    /// The hash of all bytes so far. Its lowest bit is zero.
    pub fn finish(&self) -> u64 {
        let mut word = [0; 8];
        let filled = (self.len % 8) as usize;
        word[..filled].copy_from_slice(&self.word[..filled]);
        let state = mix(mix(self.state, u64::from_le_bytes(word)), self.len).wrapping_mul(FINISH);
        (state ^ (state >> 29)) << 1
    }

    /// How many bytes there were.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there were none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl PrefixHash {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut start = 0;
        for line_feed in memchr::memchr_iter(b'\n', bytes) {
            self.line.update(&bytes[start..line_feed]);
            self.lines.mark(self.line.finish(), true);
            self.line = LineHash::default();
            start = line_feed + 1;
        }
        self.line.update(&bytes[start..]);
    }

    /// The fingerprint, a last line without line feed included.
    pub fn finish(&self) -> Fingerprint {
        let mut all = self.lines;
        if !self.line.is_empty() {
            all.mark(self.line.finish(), false);
        }
        all
    }
}

/// For each state a permutation of words, for each word a permutation of states.
const fn mix(state: u64, word: u64) -> u64 {
    let state = (state ^ word).wrapping_mul(FACTOR);
    state ^ (state >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn of(bytes: &[u8]) -> Fingerprint {
        let mut hash = PrefixHash::default();
        hash.update(bytes);
        hash.finish()
    }

    #[test]
    fn small_differences_show() {
        let all = ["", "\n", "\n\n", "a", "a\n", "\na", "a\n\n", "b", "aa", "a\0", "\0", "\0\0", "a\nb", "b\na", "ab"];
        let different: BTreeSet<u64> = all.iter().map(|text| of(text.as_bytes()).to_bits()).collect();
        assert_eq!(different.len(), all.len());
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200), cut in 0..200usize, size in 1..20usize) {
            let mut pieces = PrefixHash::default();
            let (head, rest) = bytes.split_at(cut.min(bytes.len()));
            pieces.update(head);
            rest.chunks(size).for_each(|piece| pieces.update(piece));
            prop_assert_eq!(pieces.finish(), of(&bytes));
            let mut lines = Fingerprint::default();
            let parts: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
            let (last, whole) = parts.split_last().unwrap();
            whole.iter().for_each(|line| lines.line(line, true));
            if !last.is_empty() {
                lines.line(last, false);
            }
            prop_assert_eq!(lines, of(&bytes));
        }

        #[test]
        fn other_bytes_are_other_prints(bytes in proptest::collection::vec(any::<u8>(), 1..100), at in 0..100usize, flip in 1..=255u8) {
            let mut other = bytes.clone();
            let at = at % other.len();
            other[at] ^= flip;
            prop_assert_ne!(of(&other), of(&bytes));
        }
    }
}
