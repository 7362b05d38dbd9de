//! What a person should know of the files that are read.

use core::fmt;
use std::path::PathBuf;

/// What a person should know of the files.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// There is no file at the path; it is waited for.
    Missing(PathBuf),
    /// The file at the path is another one now; the one before it was read to its end.
    Next(PathBuf),
    /// The file that was read lies here now and is read to its end first.
    Rotated(PathBuf),
    /// This file came and went between the one that was read and the present one, and is read before that.
    Between(PathBuf),
    /// The file at the path is another one than the checkpoint knows, and is read from its beginning. The one that it knows
    /// was not found, so whatever else that had is not read.
    Replaced(PathBuf),
    /// The file was cut, and is read from its beginning.
    Cut {
        /// The file.
        path: PathBuf,
        /// How many bytes at least were cut off before they were read, and are nowhere.
        lost: u64,
    },
    /// This file was rotated and compressed, perhaps before all of it was read: it is not read.
    Compressed(PathBuf),
    /// This file was written to after it was left for the next one: so many bytes are not read.
    Late {
        /// The file.
        path: PathBuf,
        /// The bytes.
        len: u64,
    },
}

impl Notice {
    /// Whether it tells of something that is not as it should be.
    pub const fn is_warning(&self) -> bool {
        !matches!(self, Self::Next(_) | Self::Cut { lost: 0, .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{} is not there yet: waiting for it", path.display()),
            Self::Next(path) => {
                write!(f, "{} is another file now; the one before it was read to its end", path.display())
            }
            Self::Rotated(path) => write!(f, "the input was rotated: {} is read to its end first", path.display()),
            Self::Between(path) => {
                write!(
                    f,
                    "{} came and went since the last file was read: it is read before the present one",
                    path.display()
                )
            }
            Self::Replaced(path) => write!(
                f,
                "{} is not the file that the checkpoint knows, which is not in its folder either: it is read from its \
                 beginning, and what the other one still had is not read",
                path.display()
            ),
            Self::Cut { path, lost: 0 } => write!(f, "{} was cut: it is read from its beginning", path.display()),
            Self::Cut { path, lost } => write!(
                f,
                "{} was cut, and {lost} bytes or more that were not read yet are gone: it is read from its beginning",
                path.display()
            ),
            Self::Compressed(path) => write!(
                f,
                "{} was compressed, perhaps before all of it was read, and is not read: let rotation leave the last file as \
                 it is for a while (delaycompress)",
                path.display()
            ),
            Self::Late { path, len } => write!(
                f,
                "{len} bytes were written to {} after it was left for the next file: they are not read",
                path.display()
            ),
        }
    }
}
