//! The places that a run reads, one after the other: what is read next, from where on, and as which input.

use std::fs;
use std::time::Instant;

use natsink::Client;
use natsink::config::{Input as InputPlan, Plan};
use natsink::io::{self, Checkpoint, Origin, SavedInput, Segment, Source, SourceError, SourceOptions};
use natsink::sink::{Commit, Fingerprint, Input, Start};

use super::exit::{Code, Failure};
use super::log;
use super::verdict;

/// What is read.
pub(crate) enum Place {
    File(Segment),
    /// Stdin; named when the same bytes will be piped again.
    Pipe(Option<String>),
}

/// What is still to be read.
pub(crate) struct Places {
    plan: Plan,
    saved: Option<SavedInput>,
    /// `None` until it was looked for.
    found: Option<std::vec::IntoIter<(Place, Start)>>,
}

impl Places {
    /// Nothing is looked at yet.
    pub(crate) fn new(plan: &Plan, saved: Option<&Checkpoint>) -> Self {
        Self { plan: plan.clone(), saved: saved.map(|saved| saved.input.clone()), found: None }
    }

    /// What is read next; `None` at the end. To open a named pipe is to wait for its writer. Dropped, it loses no place.
    pub(crate) async fn next(&mut self) -> Result<Option<(Place, Start)>, Failure> {
        if self.found.is_none() {
            let (plan, saved) = (self.plan.clone(), self.saved.clone());
            let looking = tokio::task::spawn_blocking(move || find(&plan, saved.as_ref()));
            self.found = Some(looking.await.expect("looking does not panic, and is not cancelled")?.into_iter());
        }
        Ok(self.found.as_mut().and_then(Iterator::next))
    }
}

impl Place {
    /// The identity of what is read.
    pub(crate) fn input(&self, client: &Client) -> Input {
        match self {
            Self::File(segment) => segment.input.clone(),
            Self::Pipe(Some(name)) => Input::named(name),
            Self::Pipe(None) => {
                Input::run(u64::from_str_radix(&client.run_id(), 16).expect("a run's id is 16 hexadecimal digits"))
            }
        }
    }

    /// What a checkpoint says of it.
    pub(crate) fn saved(&self, commit: &Commit) -> std::io::Result<SavedInput> {
        match self {
            Self::File(segment) => segment.saved(commit.position, commit.lines),
            Self::Pipe(name) => {
                let name = name.as_deref().unwrap_or_default();
                Ok(SavedInput::pipe(name, commit.position, commit.lines, commit.fingerprint))
            }
        }
    }

    /// How long it is now, bytes, where that can be known.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::File(segment) => segment.file.metadata().ok().map(|found| found.len()),
            Self::Pipe(_) => None,
        }
    }

    /// Begins to read it.
    pub(crate) fn source(&self, plan: &Plan, start: Start, epoch: Instant) -> Result<Source, Failure> {
        let mut options = SourceOptions::new(epoch);
        options.position = start.position;
        options.lines = start.lines;
        options.line_len_max = plan.source.line_bytes_max;
        let source = match self {
            Self::File(segment) => {
                let file = segment.file.try_clone().map_err(SourceError::Read);
                file.and_then(|file| Source::start_file(file, options))
            }
            Self::Pipe(_) => {
                options.skip = start.fingerprint.filter(|_| start.position > 0);
                Source::start(std::io::stdin(), options)
            }
        };
        source.map_err(|error| verdict::of_source(&error))
    }
}

/// What is to be read, and from where on: the first place, and where a file was rotated away the next.
fn find(plan: &Plan, saved: Option<&SavedInput>) -> Result<Vec<(Place, Start)>, Failure> {
    match &plan.source.input {
        InputPlan::Stdin { input_id } => {
            // A named pipe will be read again, and then held against what it brought.
            let fingerprint = input_id.as_ref().map(|_| Fingerprint::default());
            let mut start = Start { fingerprint, ..Start::default() };
            if let (Some(saved), Some(name)) = (saved, input_id) {
                saved.check_pipe(name).map_err(|error| verdict::of_checkpoint(&error))?;
                start.position = saved.position;
                start.lines = saved.lines;
                start.fingerprint = saved.fingerprint().or(fingerprint);
            }
            Ok(vec![(Place::Pipe(input_id.clone()), start)])
        }
        InputPlan::File { path, follow: _ } => {
            let is_once = fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
            if is_once && plan.checkpoint.is_some() {
                let message = format!(
                    "{} can be read once only, and a checkpoint needs an input that can be read again: \
                     pipe it into standard input, with --input-id NAME",
                    path.display()
                );
                return Err(Failure::new(Code::Usage, "usage", message));
            }
            if let Some(saved) = saved {
                saved.check_file(path).map_err(|error| verdict::of_checkpoint(&error))?;
            }
            let segments = io::plan(path, saved).map_err(|error| verdict::of_source(&error))?;
            Ok(segments.into_iter().map(place_of).collect())
        }
    }
}

fn place_of(segment: Segment) -> (Place, Start) {
    match segment.origin {
        Origin::Rotated => {
            log::warn(format_args!("the input was rotated: {} is read to its end first", segment.path.display()))
        }
        Origin::Replaced => log::warn(format_args!(
            "{} is not the file that the checkpoint knows: it is read from its beginning",
            segment.path.display()
        )),
        _ => {}
    }
    let start = Start { position: segment.position, lines: segment.lines, ..Start::default() };
    (Place::File(segment), start)
}
