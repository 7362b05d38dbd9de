//! The files of a run, looked at: the input can be read, and what is written can be. Nothing of it is changed.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use natsink::config::{Input, Plan, Target};
use natsink::io::{Checkpoint, CheckpointError, CheckpointFile, DeadLetterError, FollowOptions, Look, Trail};
use natsink::sink::{CommitPolicy, Input as Identity};

use super::super::exit::{Code, Failure};
use super::super::places::Places;
use super::super::{http, opening, verdict};
use super::report::Report;

/// What a run would go on from.
pub(super) struct Found {
    pub(super) saved: Option<Checkpoint>,
    /// The identity of what is read, where it is known before a run.
    pub(super) input: Option<Identity>,
}

/// Looks at all files of `plan`.
pub(super) fn check(plan: &Plan, report: &mut Report) -> Found {
    let saved = match checkpoint(plan) {
        Ok(None) => None,
        Ok(Some((message, saved))) => {
            report.ok("checkpoint", message);
            saved
        }
        Err(failure) => {
            report.error("checkpoint", &failure);
            None
        }
    };
    let input = input(plan, saved.as_ref(), report);
    outputs(plan, report);
    Found { saved, input }
}

fn outputs(plan: &Plan, report: &mut Report) {
    if let Some(path) = &plan.dead_letter {
        match appendable(path) {
            Ok(()) => report.ok("dead letters", format!("{} can be written", path.display())),
            Err(error) => {
                let error = DeadLetterError { action: "open", path: path.clone(), error };
                report.error("dead letters", &verdict::of_dead_letter(&error));
            }
        }
    }
    let lines = plan.sinks.iter().filter_map(|sink| match &sink.to {
        Target::File { path } => Some((super::about(&sink.id, "file"), path, appendable(path))),
        _ => None,
    });
    let receipt = plan.receipt.iter().map(|path| ("receipt".to_owned(), path, writable(path)));
    for (about, path, tried) in lines.chain(receipt) {
        match tried {
            Ok(()) => report.ok(about, format!("{} can be written", path.display())),
            Err(error) => {
                let message = format!("cannot write {}: {error}", path.display());
                report.error(about, &Failure::new(Code::Io, "output", message));
            }
        }
    }
    let all = plan.commit_policy == CommitPolicy::All || plan.sinks.iter().all(|sink| sink.required);
    if !all && plan.dead_letter.is_none() {
        let message = "what a sink misses that nobody waits for is written down nowhere";
        report.warning("dead letters", message, Some("name a file with --dead-letter or dead_letter.path".into()));
    }
}

type Saved = (String, Option<Checkpoint>);

/// The checkpoint: readable, whole, this pipeline's, in a folder where a new one can be written.
fn checkpoint(plan: &Plan) -> Result<Option<Saved>, Failure> {
    let Some(path) = &plan.checkpoint else { return Ok(None) };
    let found = CheckpointFile::read(path).map_err(|error| verdict::of_checkpoint(&error))?;
    let name = path.display();
    writable(&beside(path))
        .map_err(|error| verdict::of_checkpoint(&CheckpointError::Io { action: "write", path: path.clone(), error }))?;
    let Some(found) = found else { return Ok(Some((format!("{name} is not there yet: a first run"), None))) };
    if found.pipeline != plan.pipeline {
        let (found, wanted) = (found.pipeline, plan.pipeline.clone());
        return Err(verdict::of_checkpoint(&CheckpointError::OtherPipeline { path: path.clone(), found, wanted }));
    }
    let place = format!("{name} holds byte {}, line {}", found.input.position, found.input.lines);
    if !plan.from_start {
        plan.sinks.iter().try_for_each(|sink| opening::check_sink(sink, &found))?;
    }
    match plan.from_start {
        true => Ok(Some((format!("{place}, which --from-start leaves aside"), None))),
        false => Ok(Some((place, Some(found)))),
    }
}

/// The input, asked as a run would; nothing of it is read but what tells files apart.
fn input(plan: &Plan, saved: Option<&Checkpoint>, report: &mut Report) -> Option<Identity> {
    let saved = saved.map(|saved| &saved.input);
    if let Err(failure) = Places::new(plan, saved, None) {
        report.error("input", &failure);
        return None;
    }
    let (path, follow) = match &plan.source.input {
        Input::Stdin { input_id: None } => {
            report.ok("input", "standard input");
            return None;
        }
        Input::Stdin { input_id: Some(name) } => {
            report.ok("input", format!("standard input, called {name}"));
            return Some(Identity::named(name));
        }
        Input::File { path, follow } => (path, *follow),
    };
    // To open a pipe is to wait for its writer.
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let message = format!("{} can be read once only, and is not opened for a check", path.display());
        report.warning("input", message, None);
        return None;
    }
    let mut identity = None;
    let mut trail = Trail::new(path, follow.then_some(FollowOptions::DEFAULT), saved, saved.is_none());
    match trail.look() {
        Ok(Look::Segment(segment)) => {
            report.ok("input", format!("{} can be read, from byte {} on", segment.path.display(), segment.position));
            identity = Some(segment.input);
        }
        Ok(_) => report.ok("input", format!("nothing to read in {}", path.display())),
        Err(error) => report.error("input", &verdict::of_source(&error)),
    }
    while let Some(notice) = trail.poll_notice() {
        match notice.is_warning() {
            true => report.warning("input", notice.to_string(), None),
            false => report.ok("input", notice.to_string()),
        }
    }
    identity
}

/// The address of the status pages. One that is taken may be so by a run that goes on while this one is checked.
pub(super) fn http(addr: SocketAddr, report: &mut Report) {
    match TcpListener::bind(addr) {
        Ok(_) => report.ok("http", format!("{addr} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let failure = http::cannot_listen(addr, &error);
            report.warning(
                "http",
                failure.message,
                Some("well if that is the run itself; else ".to_owned() + &failure.help.unwrap_or_default()),
            );
        }
        Err(error) => report.error("http", &http::cannot_listen(addr, &error)),
    }
}

/// Whether lines can be kept there: as [`writable`], and no pipe or device.
fn appendable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => Err(io::Error::other("it is no file")),
        _ => writable(path),
    }
}

/// Whether the file can be appended to, or made where it is not there. A new one is not made: another name beside it is
/// tried, and taken away again.
fn writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        Ok(found) if found.is_file() => OpenOptions::new().append(true).open(path).map(drop),
        // A pipe or a device: to open it is to wait for its reader.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let tried = beside(path);
            OpenOptions::new().write(true).create_new(true).open(&tried)?;
            fs::remove_file(&tried)
        }
        Err(error) => Err(error),
    }
}

/// A name in the same folder that nobody else uses.
fn beside(path: &Path) -> PathBuf {
    path.with_file_name(format!(".natsink-check-{}", std::process::id()))
}
