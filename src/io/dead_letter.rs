//! The dead-letter file: one JSON line for each event that will never be stored, with its bytes as they were.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::prelude::v1::*;
use std::time::SystemTime;

use serde::Serialize;

use super::append::{end_torn_line, hold, is_at, sync_folder};
use super::dead_letter_error::DeadLetterError;
use super::letter::{Gap, GapLine, Letter};
use super::letters::{Found, Letters};
use super::text::rfc3339;
use crate::sink::DeadLetter;

/// How much of the end of a file is searched for letters that a crashed run wrote, bytes.
const SEARCH_LEN: u64 = 16 * 1024 * 1024;
/// How many such letters are remembered.
const KNOWN_MAX: usize = 64 * 1024;

/// A dead-letter file, open for appending. Others may append to it too, replace it by what is left of it, as
/// `natsink dlq` does, or move it away: each line goes to the file that has the path when it is written.
#[derive(Debug)]
pub struct DeadLetterFile {
    path: PathBuf,
    file: File,
    /// Letters that are in the file although the checkpoint is before them.
    known: HashSet<(u64, u64)>,
    unsynced: bool,
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
        let file = create(path).map_err(failed("open"))?;
        let mut opened = Self { path: path.into(), file, known: HashSet::new(), unsynced: false };
        opened.hold()?;
        let known = resume_at.map_or(Ok(HashSet::new()), |position| known(&opened.file, position));
        opened.known = known.map_err(failed("read"))?;
        opened.release()?;
        Ok(opened)
    }

    /// Appends a letter of the sink of this name, if there are several; `false` when a crashed run had appended it already.
    /// It is on disk after [`sync`](Self::sync).
    ///
    /// # Errors
    /// The system's reason.
    pub fn write(&mut self, letter: &DeadLetter, sink: Option<&str>, at: SystemTime) -> Result<bool, DeadLetterError> {
        let line = Letter::new(letter, sink, at);
        if !self.known.is_empty() && self.known.contains(&line.key()) {
            return Ok(false);
        }
        self.append(&line)?;
        Ok(true)
    }

    /// From now on another input is read: what a crashed run wrote of the one before says nothing of its events.
    pub fn handle_next_input(&mut self) {
        self.known.clear();
    }

    /// Appends a gap. It is on disk after [`sync`](Self::sync).
    ///
    /// # Errors
    /// The system's reason.
    pub fn write_gap(&mut self, gap: &Gap, at: SystemTime) -> Result<(), DeadLetterError> {
        self.append(&GapLine { gap: gap.clone(), at: rfc3339(at) })
    }

    /// Waits until all lines are on disk.
    ///
    /// # Errors
    /// The system's reason.
    pub fn sync(&mut self) -> Result<(), DeadLetterError> {
        if self.unsynced {
            // Where another file has the path by now, it has these lines too, or was moved here in their stead.
            self.file.sync_data().map_err(self.failed("sync"))?;
            self.unsynced = false;
        }
        Ok(())
    }

    fn append(&mut self, line: &impl Serialize) -> Result<(), DeadLetterError> {
        let mut text = serde_json::to_string(line).expect("text and numbers are JSON");
        text.push('\n');
        self.hold()?;
        self.unsynced = true;
        self.file.write_all(text.as_bytes()).map_err(self.failed("write"))?;
        self.release()
    }

    /// Locks the file that has the path.
    fn hold(&mut self) -> Result<(), DeadLetterError> {
        loop {
            hold(&self.file).map_err(self.failed("lock"))?;
            if is_at(&self.file, &self.path).map_err(self.failed("look at"))? {
                break;
            }
            self.sync()?;
            self.file = create(&self.path).map_err(self.failed("open"))?;
        }
        if end_torn_line(&mut self.file).map_err(self.failed("end the last line of"))? {
            self.unsynced = true;
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), DeadLetterError> {
        self.file.unlock().map_err(self.failed("unlock"))
    }

    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> DeadLetterError {
        let path = self.path.clone();
        move |error| DeadLetterError { action, path: path.clone(), error }
    }
}

fn create(path: &Path) -> io::Result<File> {
    // A pipe or a device keeps nothing, and cannot be synced.
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Err(io::Error::other("it is no file, and letters must be kept"));
    }
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    if file.metadata()?.len() == 0 {
        sync_folder(path)?;
    }
    Ok(file)
}

/// The letters at or after `position` near the end of the file. Lines that are none are passed over.
fn known(file: &File, position: u64) -> io::Result<HashSet<(u64, u64)>> {
    let mut file = file.try_clone()?;
    let start = file.metadata()?.len().saturating_sub(SEARCH_LEN);
    file.seek(SeekFrom::Start(start))?;
    let mut letters = Letters::from_file(file, start, start + SEARCH_LEN);
    let mut known = HashSet::new();
    while let Some(line) = letters.next_line()? {
        if known.len() == KNOWN_MAX {
            break;
        }
        if let Found::Letter(letter) = line.found
            && letter.position >= position
        {
            known.insert(letter.key());
        }
    }
    Ok(known)
}
