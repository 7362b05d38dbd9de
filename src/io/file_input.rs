//! Which bytes a file still has for us: its identity, how it is recognised after a restart, and where it was rotated to.

use core::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::prelude::v1::*;

use sha2::{Digest as _, Sha256};

use super::checkpoint::{InputKind, SavedInput};
use super::source::{SourceError, open};
use crate::sink::Input;

/// How much before a position is hashed to recognise a file, bytes.
const TAIL_LEN: u64 = 4096;
/// How much of a first line counts, bytes.
const FIRST_LINE_LEN_MAX: u64 = 8 * 1024 * 1024;
/// Files of a folder that are looked at in search of a rotated one.
const FOLDER_MAX: usize = 10_000;

/// A file to read, from where on, and as which input.
#[derive(Debug)]
pub struct Segment {
    /// Where it was found.
    pub path: PathBuf,
    /// The file, open.
    pub file: File,
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
}

/// How a file came into the plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// It is read for the first time.
    New,
    /// It is the file that the checkpoint knows.
    Resumed,
    /// It is the file that the checkpoint knows, but lies elsewhere now: it was rotated.
    Rotated,
    /// The path led to another file when the checkpoint was written, or to this one with other bytes.
    Replaced,
}

impl Segment {
    /// The hash by which this file is recognised at `position`, for the checkpoint.
    ///
    /// # Errors
    /// The system's reason when the file cannot be read there.
    pub fn tail(&self, position: u64) -> io::Result<String> {
        tail(&self.file, position)
    }

    /// What a checkpoint at `position` says of this file.
    ///
    /// # Errors
    /// The system's reason when the file cannot be read there.
    pub fn saved(&self, position: u64, lines: u64) -> io::Result<SavedInput> {
        Ok(SavedInput {
            kind: InputKind::File,
            name: self.input.name().into(),
            generation: self.input.generation(),
            position,
            lines,
            file: Some(hex(self.identity)),
            tail: Some(self.tail(position)?),
            fingerprint: None,
        })
    }
}

/// Finds out what is to be read for the file at `path`, in this order. Without a checkpoint that is the file. With one it
/// is the file from the checkpoint's position on; where it is not there any more, the rotated file, if the folder has it,
/// to its end, and then the file that is there now, as a new input.
///
/// The file is recognised by its bytes before the position, not by its inode: inodes are used again at once, and files are
/// copied. Only where the bytes fit two files, as those of files with one first line do, the identity decides.
///
/// # Errors
/// When a file cannot be read.
pub fn plan(path: &Path, saved: Option<&SavedInput>) -> Result<Vec<Segment>, SourceError> {
    let file = open(path)?;
    let read = |error| SourceError::Open { path: path.into(), error };
    let identity = identity(&file).map_err(read)?;
    let new = |file, origin, generation| {
        let input = Input::file(identity).with_generation(generation);
        Segment { path: path.into(), file, identity, input, position: 0, lines: 0, origin }
    };
    let Some(saved) = saved else { return Ok(vec![new(file, Origin::New, 0)]) };
    let here = likeness(&file, identity, saved).map_err(read)?;
    if here == Likeness::Same {
        return Ok(vec![Segment::resumed(path.into(), file, identity, saved, Origin::Resumed)]);
    }
    let rotated = rotated(path, &file, saved).filter(|(likeness, ..)| *likeness > here);
    if rotated.is_none() && here == Likeness::Bytes {
        return Ok(vec![Segment::resumed(path.into(), file, identity, saved, Origin::Resumed)]);
    }
    let rotated =
        rotated.map(|(_, path, file, identity)| Segment::resumed(path, file, identity, saved, Origin::Rotated));
    let replaced = new(file, Origin::Replaced, saved.generation.saturating_add(1));
    Ok(rotated.into_iter().chain([replaced]).collect())
}

impl Segment {
    fn resumed(path: PathBuf, file: File, identity: u64, saved: &SavedInput, origin: Origin) -> Self {
        let (position, lines) = (saved.position, saved.lines);
        Self { path, file, identity, input: saved.input(), position, lines, origin }
    }
}

/// How much a file is like the one that the checkpoint knows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Likeness {
    /// It is another one.
    None,
    /// It has the same bytes before the position.
    Bytes,
    /// It has the same identity too.
    Same,
}

fn likeness(file: &File, identity: u64, saved: &SavedInput) -> io::Result<Likeness> {
    let metadata = file.metadata()?;
    let is_same = saved.file.as_deref() == Some(&*hex(identity));
    Ok(match saved.position {
        _ if !metadata.is_file() || metadata.len() < saved.position => Likeness::None,
        // There are no bytes to compare.
        0 if !is_same => Likeness::None,
        0 => Likeness::Same,
        position if Some(tail(file, position)?) != saved.tail => Likeness::None,
        _ if is_same => Likeness::Same,
        _ => Likeness::Bytes,
    })
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
    let mut block = vec![0; 64 * 1024];
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

/// The SHA-256 of the bytes before `position`, at most [`TAIL_LEN`] of them, as hexadecimal digits.
fn tail(file: &File, position: u64) -> io::Result<String> {
    let start = position.saturating_sub(TAIL_LEN);
    let mut reader = At { file, at: start }.take(position - start);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Reads a file without moving its cursor, which somebody else reads by.
struct At<'f> {
    file: &'f File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(room, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// The file in the same folder that is most like the one that the checkpoint knows; among equals the one that was written
/// last.
fn rotated(path: &Path, current: &File, saved: &SavedInput) -> Option<(Likeness, PathBuf, File, u64)> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let here = current.metadata().ok()?;
    let mut found = None;
    let mut best = (Likeness::None, i64::MIN);
    for entry in fs::read_dir(parent).ok()?.take(FOLDER_MAX).flatten() {
        // Only regular files are opened: to open a named pipe could wait for ever.
        let Ok(metadata) = entry.metadata() else { continue };
        let is_current = (metadata.dev(), metadata.ino()) == (here.dev(), here.ino());
        if !metadata.is_file() || is_current || metadata.len() < saved.position {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        let Ok(identity) = identity(&file) else { continue };
        let likeness = likeness(&file, identity, saved).unwrap_or(Likeness::None);
        if likeness > Likeness::None && (likeness, metadata.mtime()) > best {
            best = (likeness, metadata.mtime());
            found = Some((likeness, entry.path(), file, identity));
        }
    }
    found
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "a new input",
            Self::Resumed => "the input that the checkpoint knows",
            Self::Rotated => "the input that the checkpoint knows, rotated",
            Self::Replaced => "another file than the checkpoint knows: a new input",
        })
    }
}
