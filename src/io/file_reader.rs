//! The reader of a file: it notices when the file is cut, and where it is followed, waits for more.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::prelude::v1::*;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::rotation::{self, Mark};
use super::seen::{self, Seen};

/// The first pause after something was read; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(5);

/// The folder is searched again after this time, even where nothing seems to have changed.
pub(super) const SEARCH: Duration = Duration::from_secs(1);

/// How a file is followed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FollowOptions {
    /// Between two looks at a file that does not grow, at most.
    pub look: Duration,
    /// How long a file must not have grown after the path leads to another one, before it counts as finished: its writer
    /// may need that time to open the other one.
    pub grace: Duration,
}

impl FollowOptions {
    /// Looks every tenth of a second, and grants two seconds.
    pub const DEFAULT: Self = Self { look: Duration::from_millis(100), grace: Duration::from_secs(2) };
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Reads a file without moving its cursor.
#[derive(Debug)]
pub(super) struct FileReader {
    file: Arc<File>,
    at: u64,
    seen: Arc<Seen>,
    follow: Option<Follow>,
}

/// What it takes to follow a file.
#[derive(Debug)]
pub(super) struct Follow {
    /// Where the file that is written to lies.
    path: PathBuf,
    options: FollowOptions,
    /// Gone when nobody wants to know any more.
    wanted: Weak<()>,
    /// Since when the path has led elsewhere and the file has not grown.
    quiet_since: Option<Instant>,
    /// When the folder was searched for a successor, while the path led nowhere.
    searched_at: Option<Instant>,
    has_successor: bool,
    pause: Duration,
}

/// What is said of a file whose bytes are not there any more: those that were read, and so perhaps others that were not.
pub(super) fn is_cut(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

impl FileReader {
    /// Goes on where the file was seen.
    pub(super) fn new(file: Arc<File>, seen: Arc<Seen>, follow: Option<Follow>) -> Self {
        Self { file, at: seen.sight().at, seen, follow }
    }
}

impl Follow {
    pub(super) fn new(path: PathBuf, options: FollowOptions, wanted: Weak<()>) -> Self {
        Self { path, options, wanted, quiet_since: None, searched_at: None, has_successor: false, pause: PAUSE }
    }

    /// Whether `file` was finished: nothing more is written to it, as far as one can know. While the path leads nowhere, it
    /// was only if a file that came after it was rotated too.
    fn is_finished(&mut self, file: &File) -> io::Result<bool> {
        let metadata = file.metadata()?;
        let elsewhere = match fs::metadata(&self.path) {
            Ok(found) => (found.dev(), found.ino()) != (metadata.dev(), metadata.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.search(&metadata)?,
            Err(_) => false,
        };
        if !elsewhere {
            self.quiet_since = None;
            return Ok(false);
        }
        let grace = self.options.grace;
        let quiet_since = *self.quiet_since.get_or_insert_with(Instant::now);
        Ok(quiet_since.elapsed() >= grace)
    }

    /// A file to which the path does not lead from the beginning may have been quiet for long.
    fn begin(&mut self, file: &File) -> io::Result<()> {
        if self.is_finished(file)? || self.quiet_since.is_none() {
            return Ok(());
        }
        let modified = file.metadata()?.modified()?;
        let quiet = SystemTime::now().duration_since(modified).unwrap_or_default().min(self.options.grace);
        self.quiet_since = self.quiet_since.and_then(|since| since.checked_sub(quiet));
        Ok(())
    }

    fn search(&mut self, metadata: &Metadata) -> io::Result<bool> {
        if self.searched_at.is_none_or(|at| at.elapsed() >= SEARCH) {
            let neighbours = rotation::neighbours(&self.path, None)?;
            let mark = Mark::of(metadata, seen::modified(metadata));
            self.has_successor = !rotation::between(&self.path, mark, neighbours).is_empty();
            self.searched_at = Some(Instant::now());
        }
        Ok(self.has_successor)
    }

    fn wait(&mut self) {
        thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(self.options.look);
    }
}

impl Read for FileReader {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if let Some(follow) = &mut self.follow {
            follow.begin(&self.file)?;
        }
        loop {
            let is_over = match &mut self.follow {
                Some(follow) => follow.wanted.strong_count() == 0 || follow.is_finished(&self.file)?,
                None => true,
            };
            let len = self.file.read_at(room, self.at)?;
            // Looked at after the reading: if the bytes before are still the old ones now, those that were read are too.
            if !self.seen.holds(&self.file)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if len > 0 {
                self.seen.read(&room[..len]);
                self.at += len as u64;
                if let Some(follow) = &mut self.follow {
                    (follow.quiet_since, follow.pause) = (None, PAUSE);
                }
                return Ok(len);
            }
            match &mut self.follow {
                Some(follow) if !is_over => follow.wait(),
                _ => return Ok(0),
            }
        }
    }
}
