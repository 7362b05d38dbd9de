//! The bytes of a file before where it is read to: while they are there, it is still the file that was read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::prelude::v1::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

/// How much before a position is compared, bytes.
const LEN_MAX: u64 = 4096;

/// What was seen of a file. The thread that reads it goes on, and who writes a checkpoint asks.
#[derive(Debug)]
pub(super) struct Seen(Mutex<Sight>);

/// What was seen of a file at one moment.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    /// How far it is read.
    pub(super) at: u64,
    /// What stands before that, the last bytes only; at the beginning of the file, what stood behind it.
    bytes: Vec<u8>,
    /// How long it was, at most.
    pub(super) len: u64,
    /// When it was written last, nanoseconds.
    pub(super) modified: i128,
}

impl Sight {
    /// Looks at what a file has before a position; what it lacks there is missing from the sight too.
    pub(super) fn of(file: &File, at: u64) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let (start, len) = if at > 0 { (at.saturating_sub(LEN_MAX), at.min(LEN_MAX)) } else { (0, LEN_MAX) };
        let mut bytes = Vec::new();
        if metadata.is_file() {
            At { file, at: start }.take(len).read_to_end(&mut bytes)?;
        }
        Ok(Self { at, bytes, len: metadata.len(), modified: modified(&metadata) })
    }

    /// Where the bytes end that it compares.
    pub(super) const fn end(&self) -> u64 {
        if self.at > 0 { self.at } else { self.bytes.len() as u64 }
    }

    /// The SHA-256 of the bytes, as hexadecimal digits.
    pub(super) fn tail(&self) -> String {
        Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether the file has these bytes there still.
    fn holds(&self, file: &File) -> io::Result<bool> {
        let start = self.end() - self.bytes.len() as u64;
        let mut bytes = Vec::with_capacity(self.bytes.len());
        At { file, at: start }.take(self.bytes.len() as u64).read_to_end(&mut bytes)?;
        Ok(bytes == self.bytes && file.metadata()?.len() >= self.at)
    }
}

impl Seen {
    pub(super) const fn new(sight: Sight) -> Self {
        Self(Mutex::new(sight))
    }

    /// Whether the file has the bytes still that were read from it. If not, it was cut, and whatever else it has was never
    /// read.
    pub(super) fn holds(&self, file: &File) -> io::Result<bool> {
        let mut sight = self.lock();
        let holds = sight.holds(file)?;
        if holds {
            let metadata = file.metadata()?;
            sight.len = sight.len.max(metadata.len());
            sight.modified = modified(&metadata);
        }
        Ok(holds)
    }

    /// These bytes were read.
    pub(super) fn read(&self, bytes: &[u8]) {
        let mut sight = self.lock();
        let keep = LEN_MAX as usize;
        if bytes.len() >= keep || sight.at == 0 {
            sight.bytes.clear();
        }
        sight.bytes.extend_from_slice(&bytes[bytes.len().saturating_sub(keep)..]);
        let excess = sight.bytes.len().saturating_sub(keep);
        sight.bytes.drain(..excess);
        sight.at += bytes.len() as u64;
        sight.len = sight.len.max(sight.at);
    }

    /// Reading goes on elsewhere.
    pub(super) fn set(&self, sight: Sight) {
        *self.lock() = sight;
    }

    pub(super) fn sight(&self) -> Sight {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Sight> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a file was written last, nanoseconds.
pub(super) fn modified(metadata: &std::fs::Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// Reads a file without moving its cursor, which somebody else reads by.
struct At<'f> {
    file: &'f File,
    at: u64,
}

impl io::Read for At<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(room, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_while_reading_is_what_is_seen_by_looking() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        let bytes: Vec<u8> = (0..20_000_u32).flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        for step in [1, 100, 4095, 4096, 4097, 50_000] {
            let seen = Seen::new(Sight::of(&file, 0).unwrap());
            for part in bytes.chunks(step).take(9000) {
                seen.read(part);
            }
            let sight = seen.sight();
            assert_eq!(sight.tail(), Sight::of(&file, sight.at).unwrap().tail(), "{step}");
            assert!(seen.holds(&file).unwrap());
        }
        let seen = Seen::new(Sight::of(&file, 9000).unwrap());
        std::fs::write(&path, &bytes[1..]).unwrap();
        assert!(!seen.holds(&file).unwrap());
        std::fs::write(&path, &bytes[..8999]).unwrap();
        assert!(!seen.holds(&file).unwrap());
        std::fs::write(&path, &bytes).unwrap();
        assert!(seen.holds(&file).unwrap());
    }
}
