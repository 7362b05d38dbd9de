//! The files beside a file: which of them were rotated away from its place, and in which order.

use core::cmp::Reverse;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::prelude::v1::*;

use super::seen::modified;

/// Files of a folder with other names than rotation gives that are looked at in search of a moved one.
const FOLDER_MAX: usize = 10_000;
/// What names of compressed files end in.
const COMPRESSED: [&str; 6] = [".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z"];

/// A regular file in the same folder.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
}

impl Neighbour {
    /// When it was written last, nanoseconds.
    pub(super) fn modified(&self) -> i128 {
        modified(&self.metadata)
    }

    /// The file. When another one has its name by now, or none, that is [`io::ErrorKind::Interrupted`].
    pub(super) fn open(&self) -> io::Result<File> {
        let moved = || io::Error::from(io::ErrorKind::Interrupted);
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(moved()),
            opened => opened?,
        };
        if identity(&file.metadata()?) == identity(&self.metadata) { Ok(file) } else { Err(moved()) }
    }

    /// Whether this file was rotated away from `path`, as its name tells.
    fn is_rotated_from(&self, path: &Path) -> bool {
        is_rotated_from(&self.path, path)
    }

    /// Whether it was rotated away from `path` and then compressed.
    pub(super) fn is_compressed_from(&self, path: &Path) -> bool {
        is_compressed_from(&self.path, path)
    }
}

fn is_rotated_from(found: &Path, path: &Path) -> bool {
    matches!(name(found).zip(name(path)), Some((found, of)) if is_rotated(found, of))
}

fn is_compressed_from(found: &Path, path: &Path) -> bool {
    let Some((found, of)) = name(found).zip(name(path)) else { return false };
    COMPRESSED.iter().filter_map(|ending| found.strip_suffix(ending)).any(|found| is_rotated(found, of))
}

/// The regular files beside `path`, without `here`, the file that was found there: to open a named pipe could wait for ever.
pub(super) fn neighbours(path: &Path, here: Option<&File>) -> io::Result<Vec<Neighbour>> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let here = here.map(File::metadata).transpose()?.as_ref().map(identity);
    let Ok(entries) = fs::read_dir(parent) else { return Ok(Vec::new()) };
    let neighbour = |entry: fs::DirEntry| {
        let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
        let is_other = Some(identity(&metadata)) != here;
        is_other.then(|| Neighbour { path: entry.path(), metadata })
    };
    // However many others there are, none of those that came after the file is passed over.
    let mut others = 0;
    let is_looked_at = |entry: &fs::DirEntry| {
        let found = entry.path();
        let is_rotated = is_rotated_from(&found, path) || is_compressed_from(&found, path);
        others += usize::from(!is_rotated);
        is_rotated || others <= FOLDER_MAX
    };
    Ok(entries.flatten().filter(is_looked_at).filter_map(neighbour).collect())
}

/// Device and inode.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// A file that was read, and when it was written last, nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) modified: i128,
    /// Its device and inode, if it is still there.
    pub(super) file: Option<(u64, u64)>,
}

impl Mark {
    pub(super) fn of(metadata: &Metadata, modified: i128) -> Self {
        Self { modified, file: Some(identity(metadata)) }
    }
}

/// The files that were rotated away from `path` and were written last after this one was, without empty ones, the first one
/// first. Where two were written last at one time, their names decide: `log.2` is older than `log.1`, and `log.20260102` is
/// younger than `log.20260101`.
pub(super) fn between(path: &Path, after: Mark, mut neighbours: Vec<Neighbour>) -> Vec<Neighbour> {
    let key = |file: &Neighbour, modified: i128| {
        let number = name(&file.path).and_then(|name| name.rsplit('.').next()?.parse().ok());
        (modified, number.filter(|number: &u64| *number < 1000).map(Reverse), file.path.clone())
    };
    let is_it = |file: &&Neighbour| Some(identity(&file.metadata)) == after.file;
    let last = neighbours.iter().find(is_it).map(|file| key(file, after.modified));
    neighbours.retain(|file| {
        let is_after = match &last {
            Some(last) => key(file, file.modified()) > *last,
            None => file.modified() > after.modified,
        };
        is_after && !is_it(&file) && file.metadata.len() > 0 && file.is_rotated_from(path)
    });
    neighbours.sort_by_cached_key(|file| key(file, file.modified()));
    neighbours
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// `log.1`, `log-20260101`, `log.2026-01-01T10:00`, `log.old`, and the same before the extension: `log-20260101.ndjson`.
/// Other names that begin alike, such as `log.checkpoint`, are other files.
fn is_rotated(found: &str, of: &str) -> bool {
    let is_mark = |mark: &str| {
        let inner = mark.strip_prefix(['.', '-', '_']).unwrap_or_default();
        let of_digits = inner.bytes().all(|byte| byte.is_ascii_digit() || b".-_:TZ+".contains(&byte));
        inner == "old" || (of_digits && inner.bytes().any(|byte| byte.is_ascii_digit()))
    };
    if found.strip_prefix(of).is_some_and(is_mark) {
        return true;
    }
    let Some((stem, extension)) = of.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else { return false };
    let found = found.strip_suffix(extension).and_then(|found| found.strip_suffix('.'));
    found.and_then(|found| found.strip_prefix(stem)).is_some_and(is_mark)
}

#[cfg(test)]
mod tests {
    use super::is_rotated;

    #[test]
    fn names_tell_what_was_rotated() {
        for found in [
            "orders.ndjson.1",
            "orders.ndjson.12",
            "orders.ndjson-20260101",
            "orders.ndjson.2026-01-01T10:00:00Z",
            "orders.ndjson_3",
            "orders.ndjson.old",
            "orders-20260101.ndjson",
            "orders.1.ndjson",
        ] {
            assert!(is_rotated(found, "orders.ndjson"), "{found}");
        }
        for found in [
            "orders.ndjson",
            "orders.dead.ndjson",
            "orders.checkpoint",
            "orders.ndjson.checkpoint",
            "orders.ndjson.lock",
            "orders.ndjson.1.gz",
            "orders.ndjson.1~",
            "orders.ndjson1",
            "orders.ndjson.",
            "orders.ndjson.T",
            "others.ndjson.1",
            "orders2.ndjson",
            ".ndjson",
        ] {
            assert!(!is_rotated(found, "orders.ndjson"), "{found}");
        }
        assert!(is_rotated("log.1", "log") && is_rotated("log-1", "log") && !is_rotated("logs", "log"));
        assert!(!is_rotated("1.", ".") && !is_rotated("-1.conf", ".conf"));
    }
}
