//! Why a line output cannot be used.

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::prelude::v1::*;

/// Why an output cannot be used, or not any further.
#[derive(Debug)]
#[non_exhaustive]
pub enum OutputError {
    /// Whoever read our standard output is gone.
    BrokenPipe,
    /// The file system has no room, or the user no more of it.
    DiskFull {
        /// The file; `None` is standard output.
        path: Option<PathBuf>,
        /// The system's reason.
        error: io::Error,
    },
    /// Another process writes to the file.
    InUse(PathBuf),
    /// The path is that of a folder, a pipe or a device.
    NotAFile(PathBuf),
    /// What was to be a line has a line feed in it.
    LineFeed {
        /// Its tag.
        tag: u64,
    },
    /// Another operation failed.
    Io {
        /// What was to be done.
        action: &'static str,
        /// The file; `None` is standard output.
        path: Option<PathBuf>,
        /// The system's reason.
        error: io::Error,
    },
}

impl OutputError {
    /// What the system says, sorted by what a person can do about it.
    pub(super) fn of(action: &'static str, path: Option<&Path>, error: io::Error) -> Self {
        let path = path.map(PathBuf::from);
        match error.kind() {
            io::ErrorKind::BrokenPipe if path.is_none() => Self::BrokenPipe,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path, error },
            _ => Self::Io { action, path, error },
        }
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |path: &Option<PathBuf>| match path {
            Some(path) => path.display().to_string(),
            None => "standard output".into(),
        };
        match self {
            Self::BrokenPipe => f.write_str("nobody reads standard output any more: see why the next command ended"),
            Self::DiskFull { path, error } => write!(f, "no room to write to {}: {error}; make room", name(path)),
            Self::InUse(path) => {
                write!(f, "{} is in use by another process: give each run a file of its own", path.display())
            }
            Self::NotAFile(path) => {
                write!(f, "{} is no file: for a pipe use standard output, and send that there", path.display())
            }
            Self::LineFeed { tag } => write!(f, "the payload of event {tag} has a line feed: it would be two lines"),
            Self::Io { action, path, error } => write!(f, "cannot {action} {}: {error}", name(path)),
        }
    }
}

impl core::error::Error for OutputError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::DiskFull { error, .. } | Self::Io { error, .. } => Some(error),
            Self::BrokenPipe | Self::InUse(_) | Self::NotAFile(_) | Self::LineFeed { .. } => None,
        }
    }
}
