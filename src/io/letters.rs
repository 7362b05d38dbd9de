//! Reading a dead-letter file, line by line: letters, gaps, and lines that are neither.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Take};
use std::ops::Range;
use std::path::Path;
use std::prelude::v1::*;

use super::append::hold;
use super::dead_letter_error::DeadLetterError;
use super::letter::{GapLine, Letter};

/// A longer line is not read, bytes. The longest event takes less, whatever stands in it.
const LINE_LEN_MAX: u64 = 1024 * 1024 * 1024;

/// The lines that a dead-letter file has at one moment, in order. One line at a time is in memory.
///
/// ```
/// use natsink::io::{Found, Letters};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("orders.dead.ndjson");
/// std::fs::write(&path, "{\"position\":7,\"reason\":\"too large\",\"payload\":\"{}\"}\ntorn")?;
/// let mut letters = Letters::open(&path)?;
/// let first = letters.next_line()?.expect("a line");
/// assert!(matches!(first.found, Found::Letter(letter) if letter.position == 7));
/// let second = letters.next_line()?.expect("a line");
/// assert!(matches!(second.found, Found::Foreign(why) if why == "the line has no end"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Letters {
    reader: BufReader<Take<File>>,
    /// The offset of the next line.
    offset: u64,
    line: Vec<u8>,
}

/// A line of the file.
#[derive(Debug)]
pub struct LetterLine {
    /// Where it stands, with its line feed.
    pub span: Range<u64>,
    /// What it is.
    pub found: Found,
}

/// What a line is.
#[derive(Debug)]
pub enum Found {
    /// A letter.
    Letter(Box<Letter>),
    /// A gap.
    Gap(GapLine),
    /// Something else, and why it is no letter.
    Foreign(String),
}

impl Letters {
    /// Opens the file for reading, as it is now.
    ///
    /// # Errors
    /// The system's reason.
    pub fn open(path: &Path) -> Result<Self, DeadLetterError> {
        let failed = |action| move |error| DeadLetterError { action, path: path.into(), error };
        let file = File::open(path).map_err(failed("open"))?;
        // Nobody is in the middle of a line while the file is held.
        hold(&file).map_err(failed("lock"))?;
        let len = file.metadata().map_err(failed("look at"))?.len();
        file.unlock().map_err(failed("unlock"))?;
        Ok(Self::from_file(file, 0, len))
    }

    /// The lines of a file that stands at `start`, up to `end`.
    pub(super) fn from_file(file: File, start: u64, end: u64) -> Self {
        Self { reader: BufReader::with_capacity(64 * 1024, file.take(end - start)), offset: start, line: Vec::new() }
    }

    /// The next line that is not blank; `None` at the end.
    ///
    /// # Errors
    /// The system's reason.
    pub fn next_line(&mut self) -> io::Result<Option<LetterLine>> {
        loop {
            let line = self.any_line()?;
            if line.is_none() || !self.line.trim_ascii().is_empty() {
                return Ok(line);
            }
        }
    }

    fn any_line(&mut self) -> io::Result<Option<LetterLine>> {
        self.line.clear();
        let start = self.offset;
        let mut len = self.reader.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut self.line)? as u64;
        let is_whole = self.line.last() == Some(&b'\n');
        let mut is_long = false;
        if !is_whole && len == LINE_LEN_MAX {
            self.line = b"too long".into();
            is_long = true;
            len += self.reader.skip_until(b'\n')? as u64;
        }
        self.offset += len;
        let found = match len {
            0 => return Ok(None),
            _ if is_long => Found::Foreign(format!("the line has {len} bytes")),
            _ if !is_whole => Found::Foreign("the line has no end".into()),
            _ => read(&self.line),
        };
        Ok(Some(LetterLine { span: start..self.offset, found }))
    }

    /// The bytes of the line that was read last, without its line feed.
    pub fn bytes(&self) -> &[u8] {
        self.line.strip_suffix(b"\n").unwrap_or(&self.line)
    }
}

fn read(line: &[u8]) -> Found {
    let why = match serde_json::from_slice::<Letter>(line) {
        Ok(letter) => return Found::Letter(Box::new(letter)),
        Err(why) => why,
    };
    match serde_json::from_slice::<GapLine>(line) {
        Ok(gap) => Found::Gap(gap),
        Err(_) => Found::Foreign(why.to_string()),
    }
}
