//! The input: a thread that reads ahead, a bounded distance, and hands over lines.

use core::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::prelude::v1::*;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant as Clock};

use tokio::sync::mpsc;

use super::file_input::Segment;
use super::file_reader::{Follow, FollowOptions, is_cut};
use super::lines::{BLOCK_LEN, Block, Cutter, Line, Piece};
use crate::sink::{Fingerprint, PrefixHash};

/// Blocks read ahead.
const BLOCKS_MAX: usize = 4;
/// Between two looks at an input that another process made non-blocking, as who shares a terminal or a socket can.
const PAUSE: Duration = Duration::from_millis(5);

/// Where a source begins, and what it takes for a line.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SourceOptions {
    /// The offset of the first byte that is handed over.
    pub position: u64,
    /// How many lines are before it.
    pub lines: u64,
    /// The longest line, bytes without its line feed.
    pub line_len_max: usize,
    /// The moment that the records' times count from: the driver's start.
    pub epoch: Clock,
    /// A pipe brings what it brought before: the bytes before the position are read again, must have this fingerprint, and
    /// are not handed over.
    pub skip: Option<Fingerprint>,
}

/// An input that is being read. Dropping it stops the reading; a read that blocks for ever holds no one up.
///
/// ```
/// use natsink::io::{Line, Source, SourceOptions};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let mut source = Source::start(&b"one\ntwo"[..], SourceOptions::new(std::time::Instant::now()))?;
/// let mut lines = Vec::new();
/// while source.fill().await? {
///     while let Some(Line::Record(record)) = source.line() {
///         lines.push((record.number, record.line));
///     }
/// }
/// assert_eq!(lines, [(1, "one".into()), (2, "two".into())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Source {
    pieces: mpsc::Receiver<Given>,
    /// Whether the end of the input has come. Pieces that end without it are a thread that has panicked.
    is_over: bool,
    block: Option<Block>,
    /// A line, or a failure, that came before it was asked for.
    next: Option<Result<Line, SourceError>>,
    /// Tells the reader of a file that is followed when to stop.
    _wanted: Arc<()>,
}

/// What it is that a file lacks the bytes that were read from it.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Failure,
    /// The end: what is there now is read as another input.
    End,
}

/// Why an input cannot be read, or not any further.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// The file cannot be opened.
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The path is a folder.
    Directory(PathBuf),
    /// Reading failed half-way.
    Read(io::Error),
    /// The file was cut while it was read.
    Cut,
    /// The pipe does not bring the bytes again that it brought before the checkpoint was written. Nothing was sent.
    OtherBytes {
        /// How many bytes there should be.
        position: u64,
    },
    /// The pipe ended before the position of the checkpoint. Nothing was sent.
    TooShort {
        /// How many bytes there should be.
        position: u64,
        /// How many there were.
        len: u64,
    },
}

impl SourceOptions {
    /// From the beginning of the input, lines of 8 MiB at most.
    pub const fn new(epoch: Clock) -> Self {
        Self { position: 0, lines: 0, line_len_max: 8 * 1024 * 1024, epoch, skip: None }
    }
}

/// Opens a file, or a named pipe, for reading.
///
/// # Errors
/// [`SourceError::Open`] and [`SourceError::Directory`].
pub fn open(path: &Path) -> Result<File, SourceError> {
    let failed = |error| SourceError::Open { path: path.into(), error };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(SourceError::Directory(path.into()));
    }
    Ok(file)
}

impl Source {
    /// Reads a file from where its segment begins; the options' position and lines are those. Followed, it ends when the
    /// path leads to another file and this one has not grown for a while, or when this one is cut. A line that its cut file
    /// lacks the end of is not given. Not followed, a file that is cut is a failure.
    ///
    /// # Errors
    /// [`SourceError::Read`] when there can be no thread.
    pub fn start_segment(
        segment: &Segment,
        follow: Option<(&Path, FollowOptions)>,
        options: SourceOptions,
    ) -> Result<Self, SourceError> {
        let options = SourceOptions { position: segment.position, lines: segment.lines, skip: None, ..options };
        if !segment.file.metadata().map_err(SourceError::Read)?.is_file() {
            return Self::start(Arc::clone(&segment.file), options);
        }
        let wanted = Arc::new(());
        let cut = if follow.is_some() { Cut::End } else { Cut::Failure };
        let follow = follow.map(|(path, follow)| Follow::new(path.into(), follow, Arc::downgrade(&wanted)));
        Self::start_reading(segment.reader(follow), options, cut, wanted)
    }

    /// Reads whatever can be read. What `reader` gives first is at the position, or, with `skip`, at the beginning.
    ///
    /// # Errors
    /// [`SourceError::Read`] when there can be no thread.
    pub fn start(reader: impl Read + Send + 'static, options: SourceOptions) -> Result<Self, SourceError> {
        Self::start_reading(reader, options, Cut::Failure, Arc::default())
    }

    fn start_reading(
        reader: impl Read + Send + 'static,
        options: SourceOptions,
        cut: Cut,
        wanted: Arc<()>,
    ) -> Result<Self, SourceError> {
        let (sender, pieces) = mpsc::channel(BLOCKS_MAX);
        let thread = thread::Builder::new().name("natsink-input".into());
        thread.spawn(move || read(reader, &options, cut, &sender)).map_err(SourceError::Read)?;
        Ok(Self { pieces, is_over: false, block: None, next: None, _wanted: wanted })
    }

    /// The next line, if one has been read. It does not wait: `None` is not the end of the input.
    pub fn line(&mut self) -> Option<Line> {
        if let Some(next) = self.next.take() {
            match next {
                Ok(line) => return Some(line),
                failure => self.next = Some(failure),
            }
            return None;
        }
        loop {
            if let Some(line) = self.block.as_mut().and_then(Iterator::next) {
                return Some(line);
            }
            match self.pieces.try_recv().ok()? {
                Ok(Some(Piece::Block(block))) => self.block = Some(block),
                Ok(Some(Piece::Oversize(line))) => return Some(Line::Oversize(line)),
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.next = Some(Err(error));
                    return None;
                }
            }
        }
    }

    /// Waits until there is a line, which [`line`](Self::line) then gives; `false` at the end of the input. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// Why there will be no more lines. All that were read before are given first.
    pub async fn fill(&mut self) -> Result<bool, SourceError> {
        if let Some(line) = self.line() {
            self.next = Some(Ok(line));
        }
        loop {
            match self.next.take() {
                Some(Ok(line)) => {
                    self.next = Some(Ok(line));
                    return Ok(true);
                }
                Some(Err(error)) => return Err(error),
                None => {}
            }
            match self.pieces.recv().await {
                None if self.is_over => return Ok(false),
                None => return Err(SourceError::Read(io::Error::other("what reads it has panicked"))),
                Some(Ok(None)) => self.is_over = true,
                Some(Ok(Some(Piece::Oversize(line)))) => self.next = Some(Ok(Line::Oversize(line))),
                Some(Ok(Some(Piece::Block(mut block)))) => {
                    self.next = block.next().map(Ok);
                    self.block = Some(block);
                }
                Some(Err(error)) => self.next = Some(Err(error)),
            }
        }
    }
}

/// A piece of the input, its end, or a failure, which is the last.
type Given = Result<Option<Piece>, SourceError>;

/// Pieces of the input on their way.
type Pieces = mpsc::Sender<Given>;

/// Waits for what is not there yet, as long as somebody wants it.
struct Patient<'a, R> {
    reader: R,
    pieces: &'a Pieces,
}

impl<R: Read> Read for Patient<'_, R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.reader.read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.pieces.is_closed() {
                        return Err(error);
                    }
                    thread::sleep(PAUSE);
                }
                read => return read,
            }
        }
    }
}

/// The reading thread. It ends with the input, with a failure, or when nobody takes what it reads.
fn read(reader: impl Read, options: &SourceOptions, cut: Cut, pieces: &Pieces) {
    let mut reader = Patient { reader, pieces };
    if let Some(fingerprint) = options.skip
        && let Err(error) = skip(&mut reader, options.position, fingerprint)
    {
        // Nobody listening is no failure of this thread, here and below.
        let _ = pieces.blocking_send(Err(error));
        return;
    }
    let mut cutter = Cutter::new(reader, options.position, options.lines, options.line_len_max, options.epoch);
    loop {
        let given = match cutter.next() {
            Err(error) if is_cut(&error) => match cut {
                Cut::End => Ok(None),
                Cut::Failure => Err(SourceError::Cut),
            },
            given => given.map_err(SourceError::Read),
        };
        let is_last = !matches!(given, Ok(Some(_)));
        if pieces.blocking_send(given).is_err() || is_last {
            return;
        }
    }
}

/// Reads exactly the bytes before `position` and holds them against the fingerprint.
fn skip(reader: &mut impl Read, position: u64, expected: Fingerprint) -> Result<(), SourceError> {
    let mut prefix = PrefixHash::default();
    let mut block = vec![0; BLOCK_LEN];
    let mut len = 0;
    while len < position {
        let room = usize::try_from(position - len).unwrap_or(usize::MAX).min(block.len());
        match reader.read(&mut block[..room]) {
            Ok(0) => return Err(SourceError::TooShort { position, len }),
            Ok(read) => {
                prefix.update(&block[..read]);
                len += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(SourceError::Read(error)),
        }
    }
    if prefix.finish() == expected { Ok(()) } else { Err(SourceError::OtherBytes { position }) }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            Self::Directory(path) => write!(f, "cannot read {}: it is a folder", path.display()),
            Self::Read(error) => write!(f, "cannot read the input any further: {error}"),
            Self::Cut => f.write_str(
                "the input was cut while it was read: what it has now is another input; follow it where that is to go on",
            ),
            Self::OtherBytes { position } => {
                write!(f, "the first {position} bytes are not those that the checkpoint knows; nothing was sent: ")?;
                f.write_str("pipe the same bytes again, or use another --input-id and checkpoint")
            }
            Self::TooShort { position, len } => {
                write!(f, "the input has {len} bytes, and the checkpoint is at {position}; nothing was sent: ")?;
                f.write_str("pipe the same bytes again, or use another --input-id and checkpoint")
            }
        }
    }
}

impl core::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Open { error, .. } | Self::Read(error) => Some(error),
            Self::Directory(_) | Self::Cut | Self::OtherBytes { .. } | Self::TooShort { .. } => None,
        }
    }
}
