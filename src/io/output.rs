//! A line output: standard output or a file, written by a thread of its own, a bounded distance behind the caller.

use core::task::{Context, Poll, Waker};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::prelude::v1::*;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::Duration;

use super::append::{end_torn_line, sync_folder};
use super::output_error::OutputError;

/// Bytes that wait to be written, line feeds included. One line that is longer waits alone.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Lines that wait to be written, or whose tags nobody has taken yet.
const LINES_MAX: usize = 16 * 1024;
/// Bytes for one write: where the reader of a pipe is slow, what it read is told of by so much.
const WRITE_LEN: usize = 64 * 1024;
/// How long to wait for a pipe that another process made non-blocking.
const PAUSE: Duration = Duration::from_millis(5);

/// Standard output, or a file that grows, as a place for lines. Whole lines only, in the order in which they were given.
///
/// A line is *taken* when it is out of our hands: a pipe or a terminal has it, or the disk has it (a file is synced, also one
/// that standard output was sent to). What is given and not taken when the process ends can be there, in part or not at all:
/// whoever gives it again gets it at least once.
///
/// No method waits. Dropping it lets go of what has not been written, and does not wait either: not for a pipe that
/// nobody reads, nor for a disk that hangs.
///
/// ```
/// use natsink::io::LineOutput;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("orders.ndjson");
/// let mut output = LineOutput::file(&path)?;
/// assert!(output.try_write(7, br#"{"id":1}"#));
/// let mut taken = Vec::new();
/// while taken.is_empty() {
///     std::future::poll_fn(|cx| output.poll_progress(cx)).await;
///     assert!(output.failure().is_none());
///     output.try_taken(&mut taken);
/// }
/// assert_eq!(taken, [7]);
/// assert_eq!(std::fs::read_to_string(&path)?, "{\"id\":1}\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LineOutput {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or the end.
    work: Condvar,
    failure: OnceLock<OutputError>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Batch,
    /// Tags of lines that are taken.
    taken: Vec<u64>,
    /// Bytes and lines that are given and not taken.
    bytes: usize,
    lines: usize,
    /// Something changed that the caller has not been told of.
    news: bool,
    closed: bool,
    waker: Option<Waker>,
}

/// Lines one behind the other, each with the tag and the offset of its end.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<(u64, usize)>,
}

/// What the thread owns.
struct Writer {
    file: File,
    /// The file's, `None` for standard output.
    path: Option<PathBuf>,
    /// Whether lines are on a disk only after a sync.
    is_file: bool,
    shared: Arc<Shared>,
}

impl LineOutput {
    /// The standard output of this process. Nothing else should write there.
    ///
    /// # Errors
    /// [`OutputError::Io`] when there can be no thread, or no second descriptor.
    pub fn stdout() -> Result<Self, OutputError> {
        let failed = |action| move |error| OutputError::Io { action, path: None, error };
        let file = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(failed("open"))?);
        let is_file = file.metadata().map_err(failed("look at"))?.is_file();
        Self::start(file, None, is_file)
    }

    /// A file, which is made where there is none, and appended to. A torn last line, as a crash leaves it, is ended first,
    /// so that the next one stands by itself. Nobody else may write to it meanwhile, which a lock on it says.
    ///
    /// # Errors
    /// The path is not that of a file, the file is in use, or the system's reason.
    pub fn file(path: &Path) -> Result<Self, OutputError> {
        let failed = |action| move |error| OutputError::of(action, Some(path), error);
        // Asked before it is opened: to open a named pipe is to wait for its reader.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(OutputError::NotAFile(path.into()));
        }
        let open = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = open.map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OutputError::InUse(path.into())),
            Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
        }
        if file.metadata().map_err(failed("look at"))?.len() == 0 {
            sync_folder(path).map_err(failed("sync the folder of"))?;
        } else {
            end_torn_line(&mut file).map_err(failed("end the last line of"))?;
        }
        Self::start(file, Some(path.into()), true)
    }

    fn start(file: File, path: Option<PathBuf>, is_file: bool) -> Result<Self, OutputError> {
        let shared = Arc::new(Shared::default());
        let writer = Writer { file, path: path.clone(), is_file, shared: Arc::clone(&shared) };
        let thread = thread::Builder::new().name("natsink-output".into());
        let started = thread.spawn(move || writer.run());
        started.map_err(|error| OutputError::Io { action: "start a thread for", path, error })?;
        Ok(Self { shared })
    }

    /// Gives a line, without line feed; `false` when there is no room for it now, or the output has failed. Then nothing
    /// happened, and [`poll_progress`](Self::poll_progress) says when to try again.
    ///
    /// A payload with a line feed would be two lines. None comes from an input of lines; should there be one all the same,
    /// the output fails rather than write what nobody meant.
    pub fn try_write(&mut self, tag: u64, payload: &[u8]) -> bool {
        if memchr::memchr(b'\n', payload).is_some() {
            let mut state = self.shared.lock();
            self.shared.fail(&mut state, OutputError::LineFeed { tag });
        }
        if self.failure().is_some() {
            return false;
        }
        let mut state = self.shared.lock();
        let len = payload.len() + 1;
        let is_full = state.bytes > 0 && state.bytes + len > BYTES_MAX;
        if is_full || state.lines + state.taken.len() >= LINES_MAX {
            return false;
        }
        state.bytes += len;
        state.lines += 1;
        state.waiting.push(tag, payload);
        if state.waiting.ends.len() == 1 {
            self.shared.work.notify_one();
        }
        true
    }

    /// Moves the tags of lines that were taken since, in the order in which they were given, to the end of `tags`.
    pub fn try_taken(&mut self, tags: &mut Vec<u64>) {
        tags.append(&mut self.shared.lock().taken);
    }

    /// Waits until something happened: lines were taken, which makes room too, or the output failed. Each is told once,
    /// but for tags that are still to be had from [`try_taken`](Self::try_taken). One task can wait at a time.
    pub fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if std::mem::take(&mut state.news) || !state.taken.is_empty() {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Why nothing more can be written, once it is so. It stays so.
    pub fn failure(&self) -> Option<&OutputError> {
        self.shared.failure.get()
    }
}

impl Drop for LineOutput {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the lock: it is held for copies only")
    }

    /// The first failure stands.
    fn fail(&self, state: &mut State, failure: OutputError) {
        let _ = self.failure.set(failure);
        state.tell();
    }
}

impl State {
    fn tell(&mut self) {
        self.news = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Batch {
    fn push(&mut self, tag: u64, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.bytes.push(b'\n');
        self.ends.push((tag, self.bytes.len()));
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        // One very long line is not to be paid for ever.
        self.bytes.shrink_to(BYTES_MAX);
    }
}

impl Writer {
    fn run(mut self) {
        let mut batch = Batch::default();
        while self.next(&mut batch) {
            if let Err((action, error)) = self.write(&batch) {
                let failure = OutputError::of(action, self.path.as_deref(), error);
                self.shared.fail(&mut self.shared.lock(), failure);
                return;
            }
            batch.clear();
        }
    }

    /// Waits for lines; `false` at the end.
    fn next(&self, batch: &mut Batch) -> bool {
        let idle = |state: &mut State| state.waiting.ends.is_empty() && !state.closed;
        let waited = self.shared.work.wait_while(self.shared.lock(), idle);
        let mut state = waited.expect("nobody panics with the lock: it is held for copies only");
        std::mem::swap(&mut state.waiting, batch);
        !state.closed
    }

    /// Writes all of it, and tells of each line that is taken.
    fn write(&mut self, batch: &Batch) -> Result<(), (&'static str, io::Error)> {
        let (mut written, mut taken) = (0, 0);
        while written < batch.bytes.len() {
            let rest = &batch.bytes[written..];
            match self.file.write(&rest[..rest.len().min(WRITE_LEN)]) {
                Ok(0) => return Err(("write", io::ErrorKind::WriteZero.into())),
                Ok(len) => written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Nobody is there to hear of it any more.
                    if self.shared.lock().closed {
                        return Ok(());
                    }
                    thread::sleep(PAUSE);
                    continue;
                }
                Err(error) => return Err(("write", error)),
            }
            if !self.is_file {
                self.take(batch, &mut taken, written);
            }
        }
        if self.is_file {
            self.file.sync_data().map_err(|error| ("sync", error))?;
            self.take(batch, &mut taken, written);
        }
        Ok(())
    }

    /// Tells of the lines behind the first `taken` ones that end at or before this offset.
    fn take(&self, batch: &Batch, taken: &mut usize, written: usize) {
        let (before, rest) = batch.ends.split_at(*taken);
        let count = rest.partition_point(|(_, end)| *end <= written);
        let Some((_, end)) = rest[..count].last() else { return };
        let mut state = self.shared.lock();
        state.taken.extend(rest[..count].iter().map(|(tag, _)| *tag));
        state.lines -= count;
        state.bytes -= end - before.last().map_or(0, |(_, end)| *end);
        state.tell();
        *taken += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn a_full_disk_is_told_and_nothing_is_called_taken() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut output = LineOutput::start(full, Some("out".into()), false).unwrap();
        assert!(output.try_write(0, b"no room"));
        while output.failure().is_none() {
            poll_fn(|cx| output.poll_progress(cx)).await;
        }
        assert!(matches!(output.failure(), Some(OutputError::DiskFull { .. })), "{:?}", output.failure());
        let mut taken = Vec::new();
        output.try_taken(&mut taken);
        assert_eq!((taken, output.try_write(1, b"")), (vec![], false));
        // It is told once: whoever looks at other things besides is not woken for ever.
        assert!(output.poll_progress(&mut Context::from_waker(Waker::noop())).is_pending());
    }
}
