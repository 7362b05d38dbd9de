//! The dead-letter file: one JSON line for each event that will never be stored, with its bytes as they were.

use core::fmt;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::prelude::v1::*;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::append::{end_torn_line, sync_folder};
use super::text::rfc3339;
use crate::proto::base64;
use crate::sink::{DeadLetter, LineHash};

/// How much of the end of a file is searched for letters that a crashed run wrote, bytes.
const SEARCH_LEN: u64 = 16 * 1024 * 1024;
/// How many such letters are remembered.
const KNOWN_MAX: usize = 64 * 1024;

/// A dead-letter file, open for appending.
#[derive(Debug)]
pub struct DeadLetterFile {
    path: PathBuf,
    file: File,
    /// Letters that are in the file although the checkpoint is before them.
    known: HashSet<(u64, u64)>,
    unsynced: bool,
}

/// Why a dead letter cannot be kept.
#[derive(Debug)]
pub struct DeadLetterError {
    /// What was to be done.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The system's reason.
    pub error: io::Error,
}

/// A line of the file.
#[derive(Debug, Serialize)]
struct Letter<'a> {
    position: u64,
    subject: Option<&'a str>,
    id: Option<&'a str>,
    reason: String,
    attempts: u32,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    /// Of a line that is too long, of which the payload is the beginning only.
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// What tells a letter from others.
#[derive(Debug, Deserialize)]
struct Known {
    position: u64,
    subject: Option<String>,
    id: Option<String>,
    payload: Option<String>,
    payload_base64: Option<String>,
}

impl DeadLetterFile {
    /// Opens the file, or makes it. A line that a crash left torn is ended, so that the next one stands by itself.
    ///
    /// `resume_at` is the checkpoint's position, if there is one: letters from there on that a crashed run wrote already
    /// are then not written again.
    ///
    /// # Errors
    /// The system's reason.
    pub fn open(path: &Path, resume_at: Option<u64>) -> Result<Self, DeadLetterError> {
        let failed = |action| move |error| DeadLetterError { action, path: path.into(), error };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed("open"))?;
        let len = file.metadata().map_err(failed("open"))?.len();
        let mut unsynced = false;
        if len == 0 {
            sync_folder(path).map_err(failed("sync the folder of"))?;
        } else {
            unsynced = end_torn_line(&mut file).map_err(failed("end the last line of"))?;
        }
        let known = match resume_at {
            Some(position) => known(&mut file, len, position).map_err(failed("read"))?,
            None => HashSet::new(),
        };
        Ok(Self { path: path.into(), file, known, unsynced })
    }

    /// Appends a letter; `false` when a crashed run had appended it already. It is on disk after [`sync`](Self::sync).
    ///
    /// # Errors
    /// The system's reason.
    pub fn write(&mut self, letter: &DeadLetter, at: SystemTime) -> Result<bool, DeadLetterError> {
        let line = Letter::new(letter, at);
        if !self.known.is_empty() && self.known.contains(&line.key()) {
            return Ok(false);
        }
        let mut text = serde_json::to_string(&line).expect("text and numbers are JSON");
        text.push('\n');
        self.unsynced = true;
        self.file.write_all(text.as_bytes()).map_err(self.failed("write"))?;
        Ok(true)
    }

    /// Waits until all letters are on disk.
    ///
    /// # Errors
    /// The system's reason.
    pub fn sync(&mut self) -> Result<(), DeadLetterError> {
        if self.unsynced {
            self.file.sync_data().map_err(self.failed("sync"))?;
            self.unsynced = false;
        }
        Ok(())
    }

    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> DeadLetterError {
        let path = self.path.clone();
        move |error| DeadLetterError { action, path: path.clone(), error }
    }
}

impl<'a> Letter<'a> {
    fn new(letter: &'a DeadLetter, at: SystemTime) -> Self {
        let payload = core::str::from_utf8(&letter.payload).ok();
        Self {
            position: letter.position,
            subject: letter.subject.as_deref(),
            id: letter.id.as_deref(),
            reason: letter.reason.to_string(),
            attempts: letter.attempts,
            at: rfc3339(at),
            payload,
            payload_base64: payload.is_none().then(|| base64::encode(&letter.payload)),
            length: letter.whole.map(|whole| whole.len),
            sha256: letter.whole.map(|whole| whole.sha256.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }

    fn key(&self) -> (u64, u64) {
        key(self.position, [self.subject, self.id, self.payload, self.payload_base64.as_deref()])
    }
}

impl Known {
    fn key(&self) -> (u64, u64) {
        let texts = [&self.subject, &self.id, &self.payload, &self.payload_base64];
        key(self.position, texts.map(Option::as_deref))
    }
}

fn key(position: u64, texts: [Option<&str>; 4]) -> (u64, u64) {
    let mut hash = LineHash::default();
    for text in texts {
        hash.update(&[u8::from(text.is_some())]);
        hash.update(text.unwrap_or_default().as_bytes());
        // No UTF-8 text has this byte.
        hash.update(&[0xff]);
    }
    (position, hash.finish())
}

/// The letters at or after `position` near the end of the file. Lines that are none are passed over.
fn known(file: &mut File, len: u64, position: u64) -> io::Result<HashSet<(u64, u64)>> {
    file.seek(SeekFrom::Start(len.saturating_sub(SEARCH_LEN)))?;
    let mut reader = BufReader::new(file.take(SEARCH_LEN));
    let mut line = Vec::new();
    let mut known = HashSet::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 || known.len() == KNOWN_MAX {
            return Ok(known);
        }
        if let Ok(letter) = serde_json::from_slice::<Known>(&line)
            && letter.position >= position
        {
            known.insert(letter.key());
        }
    }
}

impl fmt::Display for DeadLetterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} the dead-letter file {}: {}", self.action, self.path.display(), self.error)
    }
}

impl core::error::Error for DeadLetterError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}
