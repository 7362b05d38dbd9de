//! The ids of messages that a stream holds, each as a hash with its sequence: bounded by whoever fills it.

use alloc::collections::BTreeMap;

/// The offset and the prime of FNV-1a at 128 bits.
const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// A hash of an id. That two ids of one stream share one is not going to happen by chance, and would be found by reading
/// the stored message back.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Digest(u64, u64);

impl Digest {
    pub(crate) fn of(id: &[u8]) -> Self {
        let hash = id.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME));
        Self((hash >> 64) as u64, hash as u64)
    }
}

/// Ids with their sequences.
#[derive(Debug, Default)]
pub(crate) struct IdSet {
    seqs: BTreeMap<Digest, u64>,
}

impl IdSet {
    /// Adds an id. Where it is there already the first sequence stays: that is the message the others repeat.
    pub(crate) fn insert(&mut self, digest: Digest, seq: u64) {
        self.seqs.entry(digest).or_insert(seq);
    }

    /// Takes an id out, and gives its sequence.
    pub(crate) fn take(&mut self, id: &[u8]) -> Option<u64> {
        self.seqs.remove(&Digest::of(id))
    }

    pub(crate) fn len(&self) -> usize {
        self.seqs.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.seqs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_once_and_keeps_its_first_sequence() {
        let mut ids = IdSet::default();
        ids.insert(Digest::of(b"a"), 3);
        ids.insert(Digest::of(b"a"), 9);
        ids.insert(Digest::of(b"b"), 4);
        assert_eq!((ids.len(), ids.take(b"a"), ids.take(b"a"), ids.take(b"c")), (2, Some(3), None, None));
        assert_eq!(ids.take(b"b"), Some(4));
        assert!(ids.is_empty());
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(Digest::of(b""), Digest(0x6c62_272e_07bb_0142, 0x62b8_2175_6295_c58d));
        assert_eq!(Digest::of(b"a"), Digest(0xd228_cb69_6f1a_8caf, 0x7891_2b70_4e4a_8964));
    }
}
