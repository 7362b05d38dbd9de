//! What is left of a dead-letter file: written beside it, and put in its place in one step.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, fchown};
use std::path::{Path, PathBuf};
use std::prelude::v1::*;

use super::append::{hold, is_at, sync_folder};
use super::dead_letter_error::DeadLetterError;
use super::letter::Letter;
use super::letters::Letters;

/// How much is copied at a time, bytes.
const BLOCK_LEN: usize = 64 * 1024;

/// A dead-letter file that is being replaced by what is left of it. Nobody else replaces it meanwhile; who appends to it may
/// go on, and what comes after the lines that were there at the beginning is kept. Dropped before
/// [`finish`](Self::finish), nothing has happened.
///
/// ```
/// use natsink::io::{Letters, Remains};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("orders.dead.ndjson");
/// std::fs::write(&path, "one\ntwo\nthree\n")?;
/// let mut remains = Remains::open(&path)?.expect("nobody else");
/// let mut letters = remains.letters()?;
/// while let Some(line) = letters.next_line()? {
///     if letters.bytes() != b"two" {
///         remains.keep(line.span)?;
///     }
/// }
/// remains.finish()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "one\nthree\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Remains {
    /// Where the file really lies: what a symbolic link points to is replaced, not the link.
    path: PathBuf,
    old: File,
    /// The length of the old file at the beginning.
    len: u64,
    new_path: PathBuf,
    /// Locked for as long as it is open.
    new: BufWriter<File>,
    is_done: bool,
}

impl Remains {
    /// Begins; `None` when another process is at it.
    ///
    /// # Errors
    /// The system's reason.
    pub fn open(path: &Path) -> Result<Option<Self>, DeadLetterError> {
        let path = fs::canonicalize(path).map_err(failed("open", path))?;
        let mut new_path = path.clone().into_os_string();
        new_path.push(".new");
        let new_path = PathBuf::from(new_path);
        let Some(new) = lock_new(&new_path).map_err(failed("write beside", &path))? else { return Ok(None) };
        // Only who has the lock may look: the file may just have been replaced.
        let old = File::open(&path).map_err(failed("open", &path))?;
        hold(&old).map_err(failed("lock", &path))?;
        let found = old.metadata().map_err(failed("look at", &path))?;
        old.unlock().map_err(failed("unlock", &path))?;
        let prepare = || {
            new.set_len(0)?;
            new.set_permissions(found.permissions())?;
            // A sink of another user goes on appending to it.
            let made = new.metadata()?;
            match (made.uid(), made.gid()) == (found.uid(), found.gid()) {
                true => Ok(()),
                false => fchown(&new, Some(found.uid()), Some(found.gid())),
            }
        };
        prepare().map_err(failed("write beside", &path))?;
        let new = BufWriter::with_capacity(BLOCK_LEN, new);
        Ok(Some(Self { path, old, len: found.len(), new_path, new, is_done: false }))
    }

    /// The lines that there were at the beginning.
    ///
    /// # Errors
    /// The system's reason.
    pub fn letters(&self) -> Result<Letters, DeadLetterError> {
        let mut file = self.old.try_clone().map_err(failed("open", &self.path))?;
        file.seek(SeekFrom::Start(0)).map_err(failed("read", &self.path))?;
        Ok(Letters::from_file(file, 0, self.len))
    }

    /// Keeps a line as it is. Lines are kept, or written anew, in the order in which they stand.
    ///
    /// # Errors
    /// The system's reason.
    pub fn keep(&mut self, span: Range<u64>) -> Result<(), DeadLetterError> {
        let mut block = vec![0; usize::try_from(span.end - span.start).unwrap_or(BLOCK_LEN).min(BLOCK_LEN)];
        let mut copy = || {
            let mut at = span.start;
            while at < span.end {
                let wanted = usize::try_from(span.end - at).unwrap_or(BLOCK_LEN).min(BLOCK_LEN);
                self.old.read_exact_at(&mut block[..wanted], at)?;
                self.new.write_all(&block[..wanted])?;
                at += wanted as u64;
            }
            Ok(())
        };
        copy().map_err(failed("copy", &self.path))
    }

    /// Keeps all lines from this offset on that there were at the beginning.
    ///
    /// # Errors
    /// The system's reason.
    pub fn keep_from(&mut self, start: u64) -> Result<(), DeadLetterError> {
        self.keep(start..self.len.max(start))
    }

    /// Keeps a letter as it is now.
    ///
    /// # Errors
    /// The system's reason.
    pub fn write(&mut self, letter: &Letter) -> Result<(), DeadLetterError> {
        let mut text = serde_json::to_string(letter).expect("text and numbers are JSON");
        text.push('\n');
        self.new.write_all(text.as_bytes()).map_err(failed("write beside", &self.path))
    }

    /// Adds what was appended meanwhile, and puts what is left in the place of the file. When this returns it is on disk;
    /// should the machine stop before, the old file is there.
    ///
    /// # Errors
    /// The system's reason; the file is then as it was.
    pub fn finish(mut self) -> Result<(), DeadLetterError> {
        // Most of it is written to disk before the file is held.
        self.new.flush().and_then(|()| self.new.get_ref().sync_data()).map_err(failed("sync", &self.new_path))?;
        hold(&self.old).map_err(failed("lock", &self.path))?;
        if !is_at(&self.old, &self.path).map_err(failed("look at", &self.path))? {
            let error = io::Error::other("it was moved away meanwhile; nothing was changed");
            return Err(failed("replace", &self.path)(error));
        }
        let len = self.old.metadata().map_err(failed("look at", &self.path))?.len();
        self.keep(self.len..len.max(self.len))?;
        self.new.flush().and_then(|()| self.new.get_ref().sync_all()).map_err(failed("sync", &self.new_path))?;
        fs::rename(&self.new_path, &self.path).map_err(failed("replace", &self.path))?;
        self.is_done = true;
        sync_folder(&self.path).map_err(failed("sync the folder of", &self.path))
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        // Whoever still reads the old file shares the lock.
        let _ = self.old.unlock();
        if !self.is_done {
            // What is left of it is written over the next time.
            let _ = fs::remove_file(&self.new_path);
        }
    }
}

/// Opens and locks the file at this path; `None` when another process has it.
fn lock_new(path: &Path) -> io::Result<Option<File>> {
    loop {
        let new = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match new.try_lock() {
            Ok(()) if is_at(&new, path)? => return Ok(Some(new)),
            // It has just become the file itself.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> DeadLetterError {
    move |error| DeadLetterError { action, path: path.into(), error }
}
