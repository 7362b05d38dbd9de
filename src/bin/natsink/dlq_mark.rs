//! Beside a dead-letter file that is being replayed: from which sequence on the stream can hold its letters.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use natsink::jetstream::StreamInfo;
use serde::{Deserialize, Serialize};

use super::exit::{Code, Failure};

/// A longer file is no mark, bytes.
const LEN_MAX: u64 = 64 * 1024;

/// The mark of a replay. It is there before the first letter is sent and goes when all that were sent are known of, so that
/// a replay that was cut off is recognised however long ago it was.
pub(crate) struct Mark {
    path: PathBuf,
    read_from: u64,
    /// Whether an earlier replay left it.
    is_left: bool,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    stream: String,
    /// When the stream was created: one of the same name with another time is another.
    created: String,
    /// The last sequence of the stream before the first letter was sent.
    read_from: u64,
}

impl Mark {
    /// Sets the mark, or takes the one that an earlier replay into the same stream left.
    pub(crate) fn set(letters: &Path, stream: &StreamInfo) -> Result<Self, Failure> {
        let real = fs::canonicalize(letters).unwrap_or_else(|_| letters.into());
        let mut path = real.into_os_string();
        path.push(".replay");
        let path = PathBuf::from(path);
        let failed = |action: &str, error: &dyn std::fmt::Display| {
            let help = "if no replay of this file was ever cut off, remove it";
            Failure::new(Code::Io, "replay_mark", format!("cannot {action} {}: {error}", path.display()))
                .with_help(help)
        };
        let left = read(&path).map_err(|error| failed("read", &error))?;
        let same = left.filter(|left| left.stream == stream.name && left.created == stream.created);
        let is_left = same.is_some();
        let read_from = same.map_or(stream.last_seq, |left| left.read_from);
        if !is_left {
            let (name, created) = (stream.name.clone(), stream.created.clone());
            let written = Written { stream: name, created, read_from };
            write(&path, &written).map_err(|error| failed("write", &error))?;
        }
        Ok(Self { path, read_from, is_left })
    }

    /// The sequence after which an earlier replay may have stored letters; `None` where there was none, or it had come to
    /// its end.
    pub(crate) fn recall_after(&self) -> Option<u64> {
        self.is_left.then_some(self.read_from)
    }

    /// All letters that were sent are known of, and the file says so.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        fs::remove_file(&self.path).map_err(|error| {
            Failure::new(Code::Io, "replay_mark", format!("cannot remove {}: {error}", self.path.display()))
        })
    }
}

fn read(path: &Path) -> io::Result<Option<Written>> {
    let bytes = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(found) if found.len() > LEN_MAX => return Err(io::Error::other("it is too long")),
        Ok(_) => fs::read(path)?,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other)
}

/// Writes the file beside its place and moves it there: a crash leaves no part of it.
fn write(path: &Path, written: &Written) -> io::Result<()> {
    let mut new_path = path.to_owned().into_os_string();
    new_path.push(".new");
    let mut new = File::create(&new_path)?;
    new.write_all(serde_json::to_string(written)?.as_bytes())?;
    new.sync_all()?;
    fs::rename(&new_path, path)?;
    File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
}
