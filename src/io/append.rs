//! Files that grow line by line: a torn last line, the name of a new one, and several processes on one of them.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Between two tries to lock a file, and how many of them there are: ten seconds.
const HOLD_PAUSE: Duration = Duration::from_millis(2);
const HOLD_PAUSES: u32 = 5000;

/// Ends the line that a crash left torn, so that the next one stands by itself; `true` when there was one. The file must
/// be open for reading and appending.
pub(super) fn end_torn_line(file: &mut File) -> io::Result<bool> {
    let len = file.metadata()?.len();
    if len == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(len - 1))?;
    file.read_exact(&mut last)?;
    let is_torn = last != *b"\n";
    if is_torn {
        file.write_all(b"\n")?;
    }
    Ok(is_torn)
}

/// Waits until the name of a new file is on disk: it is as dear as the content.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Locks a file that several processes change, each for a moment. Who holds it for long has stopped, and is not waited for.
pub(super) fn hold(file: &File) -> io::Result<()> {
    let mut pauses = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if pauses < HOLD_PAUSES => thread::sleep(HOLD_PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process holds it and does not go on"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        pauses += 1;
    }
}

/// Whether this open file is the one that has the path.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
