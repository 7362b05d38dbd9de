//! The places that a run reads, one after the other: what is read next, from where on, and as which input.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use natsink::config::{Input as InputPlan, Plan};
use natsink::io::{FollowOptions, Look, Origin, SavedInput, Segment, Source, SourceOptions, Trail};
use natsink::sink::{FanOutCommit, Fingerprint, Input, Start};

use super::exit::{Code, Failure};
use super::log;
use super::verdict;

/// What is read.
pub(crate) enum Place {
    /// A file; where it is followed, the path that its successor comes to.
    File(Segment, Option<PathBuf>),
    /// Stdin; named when the same bytes will be piped again.
    Pipe(Option<String>),
}

/// What is still to be read.
pub(crate) struct Places {
    /// The pipe, until it is read.
    pipe: Option<(Place, Start)>,
    /// The files; locked by a look that is under way.
    trail: Option<Arc<Mutex<Trail>>>,
    /// The path that is followed.
    follow: Option<PathBuf>,
}

impl Places {
    /// What there is to read from `saved` on. Where a run starts over, `before` is what the checkpoint said until then: other
    /// bytes than those get other ids. No file is read yet.
    pub(crate) fn new(plan: &Plan, saved: Option<&SavedInput>, before: Option<&SavedInput>) -> Result<Self, Failure> {
        let (path, follow) = match &plan.source.input {
            InputPlan::Stdin { input_id } => {
                return Ok(Self { pipe: Some(pipe(input_id.as_deref(), saved)?), trail: None, follow: None });
            }
            InputPlan::File { path, follow } => (path, *follow),
        };
        check_kind(plan, path, follow)?;
        if let Some(saved) = saved {
            saved.check_file(path).map_err(|error| verdict::of_checkpoint(&error))?;
        }
        let known = saved.or(before.filter(|before| before.check_file(path).is_ok()));
        let options = follow.then_some(FollowOptions::DEFAULT);
        let trail = Trail::new(path, options, known, saved.is_none());
        Ok(Self { pipe: None, trail: Some(Arc::new(Mutex::new(trail))), follow: follow.then(|| path.clone()) })
    }

    /// Whether there is no end, but only a signal.
    pub(crate) const fn is_endless(&self) -> bool {
        self.follow.is_some()
    }

    /// What is read next; `None` at the end, to which a file that is followed does not come. To open a named pipe is to
    /// wait for its writer. Dropped, it may have lost a place.
    pub(crate) fn next(&mut self) -> impl Future<Output = Result<Option<(Place, Start)>, Failure>> + use<> {
        let (pipe, trail, follow) = (self.pipe.take(), self.trail.clone(), self.follow.clone());
        async move {
            let Some(trail) = trail else { return Ok(pipe) };
            loop {
                let looking = Arc::clone(&trail);
                let look = tokio::task::spawn_blocking(move || lock(&looking).look());
                let look = look.await.expect("looking does not panic, and is not cancelled");
                tell(&mut lock(&trail));
                match look.map_err(|error| verdict::of_source(&error))? {
                    Look::Segment(segment) => {
                        let start = Start { position: segment.position, lines: segment.lines, ..Start::default() };
                        return Ok(Some((Place::File(segment, follow), start)));
                    }
                    Look::Wait => tokio::time::sleep(FollowOptions::DEFAULT.look).await,
                    Look::End => return Ok(None),
                }
            }
        }
    }

    /// What is read now has come to its end, with all before `position` given.
    pub(crate) fn handle_end(&self, position: u64, lines: u64) {
        if let Some(trail) = &self.trail {
            lock(trail).handle_end(position, lines);
        }
    }

    /// Whether a pipe is read, which can bring less than it did for an earlier run.
    pub(crate) const fn is_pipe(&self) -> bool {
        self.trail.is_none()
    }

    /// Whether nothing more is there to be read, when the end of what is read now was `position`.
    pub(crate) fn is_end(&self, position: u64) -> bool {
        self.is_pipe() || self.lag(position) == Some(0)
    }

    /// Tells what is new about the files, and how many bytes are there that are not read, where that can be known.
    pub(crate) fn lag(&self, position: u64) -> Option<u64> {
        // A look that is under way may take its time.
        let mut trail = self.trail.as_ref()?.try_lock().ok()?;
        tell(&mut trail);
        Some(trail.lag(position))
    }
}

fn lock(trail: &Mutex<Trail>) -> MutexGuard<'_, Trail> {
    trail.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(trail: &mut Trail) {
    while let Some(notice) = trail.poll_notice() {
        if notice.is_warning() {
            log::warn(format_args!("{notice}"));
        } else {
            log::info(format_args!("{notice}"));
        }
    }
}

impl Place {
    /// The identity of what is read; `run` is a number that no other run has.
    pub(crate) fn input(&self, run: u64) -> Input {
        match self {
            Self::File(segment, _) => segment.input.clone(),
            Self::Pipe(Some(name)) => Input::named(name),
            Self::Pipe(None) => Input::run(run),
        }
    }

    /// Whether a checkpoint may know it already.
    pub(crate) const fn is_known(&self) -> bool {
        match self {
            Self::File(segment, _) => matches!(segment.origin, Origin::Resumed | Origin::Rotated),
            Self::Pipe(_) => true,
        }
    }

    /// What a checkpoint says of it; `None` when the file was cut: nobody could find the position again.
    pub(crate) fn saved(&self, commit: &FanOutCommit) -> std::io::Result<Option<SavedInput>> {
        match self {
            Self::File(segment, _) => segment.saved(commit.position, commit.lines),
            Self::Pipe(name) => {
                let name = name.as_deref().unwrap_or_default();
                Ok(Some(SavedInput::pipe(name, commit.position, commit.lines, commit.fingerprint)))
            }
        }
    }

    /// Begins to read at an earlier position than the one that a checkpoint says; `false` where that cannot be.
    pub(crate) fn begin_at(&mut self, position: u64, lines: u64) -> Result<bool, Failure> {
        let Self::File(segment, _) = self else { return Ok(false) };
        let failed = |error| Failure::new(Code::NoInput, "input", format!("cannot read the input again: {error}"));
        segment.begin_at(position, lines).map_err(failed)?;
        Ok(true)
    }

    /// Begins to read it.
    pub(crate) fn source(&self, plan: &Plan, start: Start, epoch: Instant) -> Result<Source, Failure> {
        let mut options = SourceOptions::new(epoch);
        options.position = start.position;
        options.lines = start.lines;
        options.line_len_max = plan.source.line_bytes_max;
        let source = match self {
            Self::File(segment, follow) => {
                let follow = follow.as_deref().map(|path| (path, FollowOptions::DEFAULT));
                Source::start_segment(segment, follow, options)
            }
            Self::Pipe(_) => {
                options.skip = start.fingerprint.filter(|_| start.position > 0);
                Source::start(std::io::stdin(), options)
            }
        };
        source.map_err(|error| verdict::of_source(&error))
    }
}

/// The pipe, from where a checkpoint says on.
fn pipe(input_id: Option<&str>, saved: Option<&SavedInput>) -> Result<(Place, Start), Failure> {
    // A named pipe will be read again, and then held against what it brought.
    let fingerprint = input_id.map(|_| Fingerprint::default());
    let mut start = Start { fingerprint, ..Start::default() };
    if let (Some(saved), Some(name)) = (saved, input_id) {
        saved.check_pipe(name).map_err(|error| verdict::of_checkpoint(&error))?;
        start.position = saved.position;
        start.lines = saved.lines;
        start.fingerprint = saved.fingerprint().or(fingerprint);
    }
    Ok((Place::Pipe(input_id.map(Into::into)), start))
}

/// Refuses what can be read once only where it would have to be read again.
fn check_kind(plan: &Plan, path: &Path, follow: bool) -> Result<(), Failure> {
    let is_once = fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let why = match (is_once, follow, &plan.checkpoint) {
        (true, true, _) => "is no file, and only a file can be followed",
        (true, false, Some(_)) => "can be read once only, and a checkpoint needs an input that can be read again",
        _ => return Ok(()),
    };
    let message = format!("{} {why}: pipe it into standard input, with --input-id NAME", path.display());
    Err(Failure::new(Code::Usage, "usage", message))
}
