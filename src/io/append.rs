//! Files that grow line by line: a torn last line, and the name of a new one.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

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
