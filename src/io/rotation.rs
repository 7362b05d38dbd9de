//! The files beside a file: which of them were rotated away from its place, and in which order.

use core::cmp::Reverse;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::prelude::v1::*;

use super::seen::modified;

/// Files of a folder that are looked at in search of rotated ones.
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

    /// Whether this file was rotated away from `path`, as its name tells.
    fn is_rotated_from(&self, path: &Path) -> bool {
        matches!(name(&self.path).zip(name(path)), Some((found, of)) if is_rotated(found, of))
    }

    /// Whether it was rotated away from `path` and then compressed.
    pub(super) fn is_compressed_from(&self, path: &Path) -> bool {
        let Some((found, of)) = name(&self.path).zip(name(path)) else { return false };
        COMPRESSED.iter().filter_map(|ending| found.strip_suffix(ending)).any(|found| is_rotated(found, of))
    }
}

/// The regular files beside `path`, without the file that lies there: to open a named pipe could wait for ever.
pub(super) fn neighbours(path: &Path) -> Vec<Neighbour> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let here = fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let neighbour = |entry: fs::DirEntry| {
        let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
        let is_other = Some((metadata.dev(), metadata.ino())) != here;
        is_other.then(|| Neighbour { path: entry.path(), metadata })
    };
    entries.take(FOLDER_MAX).flatten().filter_map(neighbour).collect()
}

/// The files that were rotated away from `path` and were written last after this time, without empty ones, the first one
/// first. Where two were written last at one time, their names decide: `log.2` is older than `log.1`, and `log.20260102` is
/// younger than `log.20260101`.
pub(super) fn between(path: &Path, after: Option<i128>, mut neighbours: Vec<Neighbour>) -> Vec<Neighbour> {
    let Some(after) = after else { return Vec::new() };
    neighbours.retain(|file| file.metadata.len() > 0 && file.is_rotated_from(path) && file.modified() > after);
    let number = |file: &Neighbour| -> Option<u64> { name(&file.path)?.rsplit('.').next()?.parse().ok() };
    neighbours.sort_by_cached_key(|file| {
        (file.modified(), number(file).filter(|number| *number < 1000).map(Reverse), file.path.clone())
    });
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
