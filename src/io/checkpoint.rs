//! The checkpoint file: where the next run starts, written so that a crash leaves the old one or the new one.

use core::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::prelude::v1::*;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::sink::{Fingerprint, Input};

/// The version that is written, and the newest that is read.
const VERSION: u32 = 3;
/// The oldest version that is read. It knew one sink, which was where the input was.
const VERSION_MIN: u32 = 1;
/// A longer file is no checkpoint, bytes.
const LEN_MAX: u64 = 1024 * 1024;

/// A checkpoint file in use. Nobody else can use it until this is dropped, or its process ends in any way.
///
/// ```
/// use natsink::io::{Checkpoint, CheckpointFile, InputKind, SavedInput};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("orders.checkpoint");
/// let (mut file, found) = CheckpointFile::open(&path, "orders")?;
/// assert_eq!(found, None);
/// let input = SavedInput::pipe("nightly", 0, 0, None);
/// let checkpoint = Checkpoint { pipeline: "orders".into(), input, sinks: Vec::new() };
/// file.save(&checkpoint)?;
/// drop(file);
/// assert_eq!(CheckpointFile::open(&path, "orders")?.1, Some(checkpoint));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CheckpointFile {
    path: PathBuf,
    new_path: PathBuf,
    folder: File,
    /// Locked for as long as it is open.
    _lock: File,
}

/// What a checkpoint holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The pipeline's name.
    pub pipeline: String,
    /// The input and the position before which the commit policy has every event.
    pub input: SavedInput,
    /// The sinks, each with its own position.
    pub sinks: Vec<SinkPosition>,
}

/// What a checkpoint says of an input.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SavedInput {
    /// What it is.
    pub kind: InputKind,
    /// Its identity, see [`Input::name`].
    pub name: String,
    /// Its generation, see [`Input::generation`].
    pub generation: u32,
    /// The offset at which the next run starts: a sink that is behind it needs what comes after its own.
    pub position: u64,
    /// How many lines are before it.
    pub lines: u64,
    /// Of a file: a hash of its device, its inode and its first line, as hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Of a file: the SHA-256 of the bytes before the position, at most 4096 of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<String>,
    /// Of a file at position 0: how many bytes of its beginning `tail` is the hash of instead, at most 4096.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<u64>,
    /// Of a file: when it was written last, as far as was seen, nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// Of a pipe: the fingerprint of all bytes before the position, as hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// What an input is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    /// A file, which can be sought.
    File,
    /// A pipe, which must be read again from its beginning.
    Pipe,
}

/// What a checkpoint says of one sink.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkPosition {
    /// The sink's name.
    pub id: String,
    /// The offset before which it holds every event.
    pub position: u64,
    /// How many lines are before it.
    #[serde(default)]
    pub lines: u64,
    /// The sequence of the stream after which it can hold events from there on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub read_from: u64,
    /// What is known of events further on, where that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<SavedLater>,
    /// The stream; empty for a sink that is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stream: String,
    /// When the stream was created, as its server tells: a stream of the same name with another time is another stream.
    /// Empty while the stream was never seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created: String,
}

/// What a checkpoint says of events that have at least `records` others between its position and themselves.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SavedLater {
    /// How many.
    pub records: u64,
    /// The sequence of the stream after which it can hold those.
    pub seq: u64,
}

/// Why a checkpoint cannot be used. It is then left as it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A file operation failed.
    Io {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// Another process uses it.
    InUse(PathBuf),
    /// It is no checkpoint, or not a whole one.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A newer natsink wrote it.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// It belongs to another pipeline.
    OtherPipeline {
        /// The file.
        path: PathBuf,
        /// That pipeline.
        found: String,
        /// This one.
        wanted: String,
    },
    /// It belongs to another input.
    OtherInput {
        /// What it belongs to.
        found: String,
        /// What is to be read.
        wanted: String,
    },
}

/// The file: the state as it was written, and its checksum.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    natsink_checkpoint: u32,
    crc32: String,
    #[serde(borrow)]
    state: &'a RawValue,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What even a file of a newer version must have.
#[derive(Deserialize)]
struct AnyVersion {
    natsink_checkpoint: u32,
}

impl SavedInput {
    /// A pipe with the name that its user gave it.
    pub fn pipe(name: &str, position: u64, lines: u64, fingerprint: Option<Fingerprint>) -> Self {
        Self {
            kind: InputKind::Pipe,
            name: Input::named(name).name().into(),
            generation: 0,
            position,
            lines,
            file: None,
            tail: None,
            head: None,
            modified: None,
            fingerprint: fingerprint.map(|fingerprint| format!("{:016x}", fingerprint.to_bits())),
        }
    }

    /// Its identity.
    pub fn input(&self) -> Input {
        // A name that is none was refused when the file was read.
        Input::restore(&self.name, self.generation).unwrap_or_else(|| Input::named(&self.name))
    }

    /// The fingerprint of all bytes before the position, if one is kept.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        u64::from_str_radix(self.fingerprint.as_deref()?, 16).ok().map(Fingerprint::from_bits)
    }

    /// Checks that this is a file's.
    ///
    /// # Errors
    /// [`CheckpointError::OtherInput`] when it is a pipe's.
    pub fn check_file(&self, path: &Path) -> Result<(), CheckpointError> {
        match self.kind {
            InputKind::File => Ok(()),
            InputKind::Pipe => Err(self.other(format!("the file {}", path.display()))),
        }
    }

    /// Checks that this is the pipe of this name.
    ///
    /// # Errors
    /// [`CheckpointError::OtherInput`] when it is a file's, or another pipe's.
    pub fn check_pipe(&self, name: &str) -> Result<(), CheckpointError> {
        match self.kind {
            InputKind::Pipe if self.name == Input::named(name).name() => Ok(()),
            InputKind::Pipe | InputKind::File => Err(self.other(format!("the pipe {name:?}"))),
        }
    }

    fn other(&self, wanted: String) -> CheckpointError {
        let kind = match self.kind {
            InputKind::File => "a file",
            InputKind::Pipe => "a pipe",
        };
        CheckpointError::OtherInput { found: format!("{kind} with the identity {}", self.input()), wanted }
    }
}

impl CheckpointFile {
    /// Takes the file into use and reads it; `None` where there is none yet.
    ///
    /// # Errors
    /// Whatever makes the file unusable, see [`CheckpointError`]. A file that is there is never taken for none.
    pub fn open(path: &Path, pipeline: &str) -> Result<(Self, Option<Checkpoint>), CheckpointError> {
        // What a symbolic link points to is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = File::open(folder).map_err(failed("open the folder of", &path))?;
        let lock = lock(&path)?;
        let found = Self::read(&path)?;
        if let Some(found) = found.as_ref().filter(|found| found.pipeline != pipeline) {
            let (found, wanted) = (found.pipeline.clone(), pipeline.into());
            return Err(CheckpointError::OtherPipeline { path, found, wanted });
        }
        let new_path = beside(&path, ".new");
        Ok((Self { path, new_path, folder, _lock: lock }, found))
    }

    /// Reads a checkpoint without taking it into use; `None` where there is none.
    ///
    /// # Errors
    /// Whatever makes the file unreadable, see [`CheckpointError`].
    pub fn read(path: &Path) -> Result<Option<Checkpoint>, CheckpointError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", path)(error)),
        };
        let mut bytes = Vec::new();
        file.take(LEN_MAX + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
        parse(&bytes, path).map(Some)
    }

    /// Replaces the checkpoint. When this returns it is on disk; should the machine stop before, the old one is.
    ///
    /// # Errors
    /// [`CheckpointError::Io`]; the old checkpoint is then still whole.
    pub fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let text = render(checkpoint);
        let write = || {
            let mut new = OpenOptions::new().write(true).create(true).truncate(true).open(&self.new_path)?;
            new.write_all(text.as_bytes())?;
            new.sync_all()
        };
        write().map_err(failed("write", &self.new_path))?;
        fs::rename(&self.new_path, &self.path).map_err(failed("replace", &self.path))?;
        self.folder.sync_all().map_err(failed("sync the folder of", &self.path))
    }
}

/// Locks the sibling file that stands for the use of the checkpoint. The system lets go of it when its holder is gone.
fn lock(path: &Path) -> Result<File, CheckpointError> {
    let lock_path = beside(path, ".lock");
    let open = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path);
    let lock = open.map_err(failed("open", &lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(CheckpointError::InUse(path.into())),
        Err(TryLockError::Error(error)) => Err(failed("lock", &lock_path)(error)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> CheckpointError {
    move |error| CheckpointError::Io { action, path: path.into(), error }
}

fn render(checkpoint: &Checkpoint) -> String {
    let state = serde_json::value::to_raw_value(checkpoint).expect("text, numbers and lists of them are JSON");
    let crc32 = checksum(VERSION, state.get());
    let envelope = Envelope { natsink_checkpoint: VERSION, crc32, state: &state };
    let mut text = serde_json::to_string(&envelope).expect("text, numbers and JSON are JSON");
    text.push('\n');
    text
}

/// The checksum of a state, and of its version where that is one that has it.
fn checksum(version: u32, state: &str) -> String {
    let mut hash = crc32fast::Hasher::new();
    hash.update(state.as_bytes());
    if version > 2 {
        hash.update(&version.to_le_bytes());
    }
    format!("{:08x}", hash.finalize())
}

fn parse(bytes: &[u8], path: &Path) -> Result<Checkpoint, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { path: path.into(), reason };
    if bytes.len() as u64 > LEN_MAX {
        return Err(damaged(format!("it has more than {LEN_MAX} bytes")));
    }
    let any: AnyVersion = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if any.natsink_checkpoint > VERSION {
        return Err(CheckpointError::Newer { path: path.into(), version: any.natsink_checkpoint });
    }
    if any.natsink_checkpoint < VERSION_MIN {
        return Err(damaged(format!("there is no version {}", any.natsink_checkpoint)));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    let state = envelope.state.get();
    if envelope.crc32 != checksum(any.natsink_checkpoint, state) {
        return Err(damaged("its checksum is another one".into()));
    }
    let mut checkpoint: Checkpoint = serde_json::from_str(state).map_err(|error| damaged(error.to_string()))?;
    if any.natsink_checkpoint == VERSION_MIN {
        let lines = checkpoint.input.lines;
        checkpoint.sinks.iter_mut().for_each(|sink| sink.lines = lines);
    }
    let input = &checkpoint.input;
    if Input::restore(&input.name, input.generation).is_none() {
        return Err(damaged("the name of its input is none".into()));
    }
    if input.kind == InputKind::Pipe && input.position > 0 && input.fingerprint().is_none() {
        return Err(damaged("it cannot tell whether a pipe brings the same bytes again".into()));
    }
    Ok(checkpoint)
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, error } => write!(f, "cannot {action} {}: {error}", path.display()),
            Self::InUse(path) => write!(f, "the checkpoint {} is in use by another natsink", path.display()),
            Self::Damaged { path, reason } => write!(
                f,
                "{} is no whole checkpoint: {reason}; restore it, or remove it to start from the beginning",
                path.display()
            ),
            Self::Newer { path, version } => write!(
                f,
                "the checkpoint {} has version {version}, and this natsink knows {VERSION} at most: use a newer natsink",
                path.display()
            ),
            Self::OtherPipeline { path, found, wanted } => write!(
                f,
                "the checkpoint {} belongs to the pipeline {found:?}, not to {wanted:?}: use a file for each",
                path.display()
            ),
            Self::OtherInput { found, wanted } => {
                write!(f, "the checkpoint belongs to {found}, and {wanted} is to be read: use a checkpoint for each")
            }
        }
    }
}

impl core::error::Error for CheckpointError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let input = SavedInput {
            kind: InputKind::File,
            name: "00000000000000ff".into(),
            generation: 1,
            position: u64::MAX,
            lines: 12,
            file: Some("00000000000000aa".into()),
            tail: Some("ab".into()),
            head: Some(17),
            modified: Some("1767225600000000001".into()),
            fingerprint: None,
        };
        let sink = SinkPosition {
            id: "orders-nats".into(),
            position: 7,
            lines: 3,
            read_from: 9,
            later: Some(SavedLater { records: 5, seq: 11 }),
            stream: "ORDERS".into(),
            created: "2026-01-01T00:00:00Z".into(),
        };
        Checkpoint { pipeline: "orders \"é".into(), input, sinks: vec![sink] }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = render(&checkpoint());
        assert_eq!(parse(text.as_bytes(), Path::new("c")).unwrap(), checkpoint());
    }

    #[test]
    fn no_torn_or_flipped_file_is_a_checkpoint() {
        let text = render(&checkpoint());
        let whole = text.trim_end().len();
        for len in 0..whole {
            let torn = parse(&text.as_bytes()[..len], Path::new("c")).unwrap_err();
            assert!(matches!(torn, CheckpointError::Damaged { .. }), "{len}: {torn}");
        }
        for at in 0..whole {
            for bit in 0..8 {
                let mut flipped = text.clone().into_bytes();
                flipped[at] ^= 1 << bit;
                assert!(parse(&flipped, Path::new("c")).is_err(), "byte {at}, bit {bit}");
            }
        }
        let longer = format!("{text}x");
        assert!(matches!(parse(longer.as_bytes(), Path::new("c")), Err(CheckpointError::Damaged { .. })));
        let endless = vec![b' '; LEN_MAX as usize + 1];
        assert!(matches!(parse(&endless, Path::new("c")), Err(CheckpointError::Damaged { .. })));
    }

    #[test]
    fn the_version_before_is_read() {
        let state = r#"{"pipeline":"p","input":{"kind":"file","name":"ff","generation":0,"position":90,"lines":12},"sinks":[{"id":"s","position":90,"read_from":9,"stream":"S","created":"c"}]}"#;
        let crc32 = format!("{:08x}", crc32fast::hash(state.as_bytes()));
        let text = format!(r#"{{"natsink_checkpoint":1,"crc32":"{crc32}","state":{state}}}"#);
        let found = parse(text.as_bytes(), Path::new("c")).unwrap();
        assert_eq!((found.sinks[0].position, found.sinks[0].lines, found.sinks[0].read_from), (90, 12, 9));
    }

    #[test]
    fn a_newer_version_is_not_read() {
        let newer = br#"{"natsink_checkpoint":4,"checksum":"another kind","positions":[]}"#;
        let error = parse(newer, Path::new("c")).unwrap_err();
        assert!(matches!(error, CheckpointError::Newer { version: 4, .. }), "{error}");
        assert!(matches!(parse(b"{}", Path::new("c")), Err(CheckpointError::Damaged { .. })));
    }
}
