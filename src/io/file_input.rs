//! A file that is read: its identity, and how it is recognised again.

use core::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::prelude::v1::*;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::checkpoint::{InputKind, SavedInput};
use super::file_reader::{FileReader, Follow};
use super::seen::{Seen, Sight};
use crate::sink::Input;

/// How much of a first line counts, bytes.
const FIRST_LINE_LEN_MAX: u64 = 8 * 1024 * 1024;
/// What is read of it at once, bytes.
const BLOCK_LEN: usize = 64 * 1024;

/// A file to read, from where on, and as which input.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Where it was found.
    pub path: PathBuf,
    /// The file, open.
    pub file: Arc<File>,
    /// A hash of its device, its inode and its first line.
    pub identity: u64,
    /// The identity that its events have: the one under which it was read first.
    pub input: Input,
    /// The offset of the first byte to read.
    pub position: u64,
    /// How many lines are before it.
    pub lines: u64,
    /// How it came into the plan.
    pub origin: Origin,
    /// How far it is read, and by what that can be recognised.
    seen: Arc<Seen>,
}

/// How a file came into the plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// It is read for the first time.
    New,
    /// It is the file that the checkpoint knows.
    Resumed,
    /// It is the file that is known, but lies elsewhere now: it was rotated.
    Rotated,
    /// It came to the path after the file that is known, and was rotated too.
    Between,
    /// Another file was at the path before, or this one with other bytes.
    Replaced,
}

impl Segment {
    /// A file that is read from its beginning.
    pub(super) fn new(path: PathBuf, file: File, origin: Origin, generation: u32) -> io::Result<Self> {
        let identity = identity(&file)?;
        let input = Input::file(identity).with_generation(generation);
        let seen = Seen::new(Sight::of(&file, 0)?).into();
        Ok(Self { path, file: file.into(), identity, input, position: 0, lines: 0, origin, seen })
    }

    /// What was seen of the file so far.
    pub(super) fn sight(&self) -> Sight {
        self.seen.sight()
    }

    /// Whether the file still has what was read from it.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        self.seen.holds(&self.file)
    }

    /// What reads it on.
    pub(super) fn reader(&self, follow: Option<Follow>) -> FileReader {
        FileReader::new(Arc::clone(&self.file), Arc::clone(&self.seen), follow)
    }

    /// Begins at an earlier position, which has so many lines before it.
    ///
    /// # Errors
    /// The system's reason when the file cannot be read there.
    pub fn begin_at(&mut self, position: u64, lines: u64) -> io::Result<()> {
        self.seen.set(Sight::of(&self.file, position)?);
        (self.position, self.lines) = (position, lines);
        Ok(())
    }

    /// How long the file is now, bytes.
    ///
    /// # Errors
    /// The system's reason when that cannot be told.
    pub fn file_len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// What a checkpoint at `position` says of this file; `None` when the file does not have the bytes any more that were
    /// read from it: then nothing in it can be recognised.
    ///
    /// # Errors
    /// The system's reason when the file cannot be read there.
    pub fn saved(&self, position: u64, lines: u64) -> io::Result<Option<SavedInput>> {
        // Nothing is before the beginning of a file, so it is recognised by what is behind that.
        let sight = Sight::of(&self.file, position)?;
        // Looked at afterwards: what is whole now was whole when the tail was read.
        let is_file = self.file.metadata()?.is_file();
        if is_file && !self.is_whole()? {
            return Ok(None);
        }
        Ok(Some(SavedInput {
            kind: InputKind::File,
            name: self.input.name().into(),
            generation: self.input.generation(),
            position,
            lines,
            file: Some(hex(self.identity)),
            tail: Some(sight.tail()),
            head: (position == 0).then(|| sight.end()),
            modified: Some(self.sight().modified.to_string()),
            fingerprint: None,
        }))
    }
}

/// A file as it is known from before.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) input: Input,
    /// Its identity, see [`Segment::identity`], as hexadecimal digits.
    pub(super) file: Option<String>,
    /// Where reading it goes on.
    pub(super) position: u64,
    /// How many lines are before that.
    pub(super) lines: u64,
    /// An offset that is not before the position, and the hash of what was before it.
    pub(super) tail: (u64, Option<String>),
    /// When it was written last, as far as it was seen, nanoseconds.
    pub(super) modified: Option<i128>,
}

impl Known {
    /// What a checkpoint knows.
    pub(super) fn saved(saved: &SavedInput) -> Self {
        Self {
            input: saved.input(),
            file: saved.file.clone(),
            position: saved.position,
            lines: saved.lines,
            tail: (saved.position.max(saved.head.unwrap_or(0)), saved.tail.clone()),
            modified: saved.modified.as_deref().and_then(|modified| modified.parse().ok()),
        }
    }

    /// What is known of a file that is not read any further.
    pub(super) fn ended(segment: &Segment, position: u64, lines: u64) -> Self {
        let sight = segment.sight();
        Self {
            input: segment.input.clone(),
            file: Some(hex(segment.identity)),
            position,
            lines,
            tail: (sight.end(), Some(sight.tail())),
            modified: Some(sight.modified),
        }
    }

    /// How much `file` is like this one.
    pub(super) fn likeness(&self, file: &File) -> io::Result<Likeness> {
        let is_same = |file| Ok::<_, io::Error>(self.file.as_deref() == Some(&*hex(identity(file)?)));
        let (at, tail) = &self.tail;
        let metadata = file.metadata()?;
        Ok(match *at {
            _ if !metadata.is_file() || metadata.len() < *at => Likeness::None,
            // There are no bytes to compare.
            0 if !is_same(file)? => Likeness::None,
            0 => Likeness::Same,
            at if Some(Sight::of(file, at)?.tail()) != *tail => Likeness::None,
            _ if is_same(file)? => Likeness::Same,
            _ => Likeness::Bytes,
        })
    }

    /// The file, found again, read on from where it was.
    pub(super) fn segment(&self, path: PathBuf, file: Arc<File>, origin: Origin) -> io::Result<Segment> {
        let identity = identity(&file)?;
        let seen = Seen::new(Sight::of(&file, self.position)?).into();
        let (position, lines, input) = (self.position, self.lines, self.input.clone());
        Ok(Segment { path, file, identity, input, position, lines, origin, seen })
    }
}

/// How much a file is like one that is known.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Likeness {
    /// It is another one.
    None,
    /// It has the same bytes before the position.
    Bytes,
    /// It has the same identity too.
    Same,
}

fn hex(identity: u64) -> String {
    format!("{identity:016x}")
}

/// A hash of what makes this file this file: its device, its inode and its first line.
fn identity(file: &File) -> io::Result<u64> {
    let metadata = file.metadata()?;
    let mut hash = Sha256::new();
    hash.update(metadata.dev().to_le_bytes());
    hash.update(metadata.ino().to_le_bytes());
    if metadata.is_file() {
        // Whether the line is complete tells a short file from what it grows into.
        let is_complete = first_line(file, &mut hash)?;
        hash.update([u8::from(is_complete)]);
    } else {
        // What comes through a named pipe comes once: the same name says nothing.
        let mut once = [0; 16];
        getrandom::getrandom(&mut once).map_err(|error| io::Error::other(error.to_string()))?;
        hash.update(once);
    }
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
    Ok(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

/// Hashes the first line; `false` when it has no end.
fn first_line(file: &File, hash: &mut Sha256) -> io::Result<bool> {
    let mut block = vec![0; BLOCK_LEN];
    let mut at = 0;
    while at < FIRST_LINE_LEN_MAX {
        let len = file.read_at(&mut block, at)?;
        if let Some(line_feed) = memchr::memchr(b'\n', &block[..len]) {
            hash.update(&block[..line_feed]);
            return Ok(true);
        }
        hash.update(&block[..len]);
        at += len as u64;
        if len == 0 {
            break;
        }
    }
    Ok(false)
}

/// Whether the identity of this file is final: its first line has an end, or is longer than what counts of it.
pub(super) fn has_identity(file: &File) -> io::Result<bool> {
    let len = file.metadata()?.len();
    Ok(len > FIRST_LINE_LEN_MAX + BLOCK_LEN as u64 || (len > 0 && first_line(file, &mut Sha256::new())?))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "a new input",
            Self::Resumed => "the input that the checkpoint knows",
            Self::Rotated => "the input that the checkpoint knows, rotated",
            Self::Between => "a file that came after it and was rotated too: a new input",
            Self::Replaced => "another file than the one before: a new input",
        })
    }
}
