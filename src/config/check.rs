//! From what was written to what is meant: the file under the flags, every default decided, every contradiction told.

use std::path::{Path, PathBuf};
use std::prelude::v1::*;
use std::time::Duration;

use super::error::ConfigError;
use super::expand::Environment;
use super::field::{Desk, Field, MILLIS_MAX};
use super::flags::Flags;
use super::nats;
use super::plan::{BatchPlan, InFlightPlan, Input, LogFormat, LogLevel, LogPlan, PIPELINE_DEFAULT, Plan, SourcePlan};
use super::read::Document;
use super::written::{Choice, SinkWritten, SourceWritten, Written};
use crate::sink::Format;

/// The longest line that may be asked for, bytes.
pub const LINE_LEN_MAX: u64 = 64 * 1024 * 1024;
/// The most events in a batch or in flight.
pub const EVENTS_MAX: u64 = 1_000_000;
/// The most bytes in a batch or in flight.
pub const BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Makes the plan of a run out of a configuration file, if there is one, a context of the `nats` command, which overrides
/// it, the flags, which override both, and the environment: variables in the file, `NATS_URL`, `NATS_USER` and
/// `NATS_PASSWORD` where none of them says, and `NATS_CONTEXT` where nothing else names a server.
///
/// ```
/// use natsink::config::{Flags, check};
///
/// let flags = Flags {
///     url: Some("nats://127.0.0.1:4222".into()),
///     stream: Some("ORDERS".into()),
///     subject: Some("orders.${source.table}".into()),
///     ..Flags::default()
/// };
/// let plan = check(None, &flags, &|_| None)?;
/// assert_eq!(plan.sink.servers[0].port, 4222);
/// assert_eq!(plan.sink.send_timeout.as_secs(), 5);
/// # Ok::<(), natsink::config::ConfigError>(())
/// ```
///
/// # Errors
/// The first thing that is malformed, contradicts another, is missing, or is not in this version.
pub fn check(document: Option<&Document>, flags: &Flags, environment: &Environment<'_>) -> Result<Plan, ConfigError> {
    let desk = Desk { file: document.map(|document| document.path.as_path()), environment };
    let mut written = document.map(Document::written).transpose()?.unwrap_or_default();
    if let Some(http) = &written.http {
        return Err(desk.not_yet("http", http.referenced.line(), "an HTTP status page"));
    }
    let (sink, sink_line) = only_sink(&desk, &mut written)?;
    commit_policy(&desk, &written)?;
    let pipeline = match desk.pick(("--pipeline", flags.pipeline.as_deref()), "pipeline", &written.pipeline)? {
        None => PIPELINE_DEFAULT.into(),
        Some(field) => field.name()?,
    };
    let checkpoint =
        desk.path(("--checkpoint", flags.checkpoint.as_deref()), "checkpoint.path", &written.checkpoint.path)?;
    let source = source(&desk, flags, &written.source, checkpoint.is_some())?;
    let format = source.format;
    let sink = nats::Sink { desk: &desk, flags, written: &sink, line: sink_line, format }.plan(&pipeline)?;
    let dead_letter =
        desk.path(("--dead-letter", flags.dead_letter.as_deref()), "dead_letter.path", &written.dead_letter.path)?;
    let receipt = desk.path(("--receipt", flags.receipt.as_deref()), "", &None)?;
    distinct(
        &source.input,
        [
            ("--checkpoint", checkpoint.as_deref()),
            ("--dead-letter", dead_letter.as_deref()),
            ("--receipt", receipt.as_deref()),
        ],
    )?;
    Ok(Plan {
        pipeline,
        source,
        batch: batch(&desk, &written)?,
        in_flight: in_flight(&desk, &written)?,
        checkpoint,
        from_start: flags.from_start,
        dead_letter,
        receipt,
        sink,
        log: log(flags)?,
        quiet: flags.quiet,
    })
}

/// How the log shall look, by the flags alone: it is needed before the rest of the plan is known to be right.
///
/// # Errors
/// An unknown level or format.
pub fn log(flags: &Flags) -> Result<LogPlan, ConfigError> {
    let level = match flags.log.as_deref() {
        // Who wants quiet wants to hear of failures, and of nothing else unless they say so.
        None if flags.quiet => LogLevel::Error,
        None | Some("info") => LogLevel::Info,
        Some("error") => LogLevel::Error,
        Some("warn") => LogLevel::Warn,
        Some("debug") => LogLevel::Debug,
        Some("trace") => LogLevel::Trace,
        Some(other) => {
            return Err(
                Field::flag("--log", other).mistyped(format!("{other:?} is none of error, warn, info, debug, trace"))
            );
        }
    };
    let format = match flags.log_format.as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            return Err(Field::flag("--log-format", other).mistyped(format!("{other:?} is neither text nor json")));
        }
    };
    Ok(LogPlan { level, format })
}

/// The one sink, which must be of type `nats`; without a file, or without sinks in it, the flags say all of it.
fn only_sink(desk: &Desk<'_>, written: &mut Written) -> Result<(SinkWritten, u64), ConfigError> {
    for (index, sink) in written.sinks.iter().enumerate() {
        let key = format!("sinks[{index}].type");
        let line = sink.referenced.line();
        let Some(field) = desk.file(&key, &sink.value.r#type)? else {
            return Err(desk.missing(&key, line, "missing; a sink is of type nats, stdout or file"));
        };
        match field.text.as_str() {
            "nats" if index == 0 => {}
            "nats" => return Err(field.not_yet("a second sink")),
            "stdout" | "file" => return Err(field.not_yet(&format!("a sink of type {}", field.text))),
            other => return Err(field.invalid(format!("unknown type of sink {other:?}; known are nats, stdout, file"))),
        }
    }
    Ok(match written.sinks.pop() {
        None => (SinkWritten::default(), 0),
        Some(sink) => (sink.value, sink.referenced.line()),
    })
}

/// With one sink, and that one required, every policy that makes sense says the same: wait for it.
fn commit_policy(desk: &Desk<'_>, written: &Written) -> Result<(), ConfigError> {
    let Some(policy) = &written.commit_policy else { return Ok(()) };
    let line = policy.referenced.line();
    match &policy.value {
        Choice::Word(word) => {
            let field = desk.scalar("commit_policy", line, word)?;
            match field.text.as_str() {
                "required" | "all" => Ok(()),
                other => {
                    Err(field.invalid(format!("unknown policy {other:?}; known are required, all and {{ quorum: 2 }}")))
                }
            }
        }
        Choice::Section(section) => {
            let Some(field) = desk.file("commit_policy.quorum", &section.quorum)? else {
                return Err(desk.missing("commit_policy.quorum", line, "missing; write { quorum: 2 }"));
            };
            match field.number(1..=EVENTS_MAX)? {
                1 => Ok(()),
                quorum => Err(field.invalid(format!("a quorum of {quorum} sinks, and there is 1"))),
            }
        }
    }
}

fn source(
    desk: &Desk<'_>,
    flags: &Flags,
    written: &SourceWritten,
    has_checkpoint: bool,
) -> Result<SourcePlan, ConfigError> {
    if let Some(follow) = desk.file("source.follow", &written.follow)?
        && follow.truth()?
    {
        return Err(follow.not_yet("following a file"));
    }
    let format = match desk.pick(("--format", flags.format.as_deref()), "source.format", &written.format)? {
        None => Format::Event,
        Some(field) => match field.text.as_str() {
            "event" => Format::Event,
            "json" => Format::Json,
            "lines" => Format::Lines,
            other => return Err(field.mistyped(format!("{other:?} is none of event, json, lines"))),
        },
    };
    let line_bytes_max = match desk.file("source.max_line_bytes", &written.max_line_bytes)? {
        None => 8 * 1024 * 1024,
        Some(field) => field.size(1..=LINE_LEN_MAX)?,
    };
    let input = input(desk, flags, written, has_checkpoint)?;
    Ok(SourcePlan { input, format, line_bytes_max, strict: flags.strict_input })
}

fn input(desk: &Desk<'_>, flags: &Flags, written: &SourceWritten, has_checkpoint: bool) -> Result<Input, ConfigError> {
    let file = match &flags.input {
        Some(path) if path.as_os_str() == "-" => None,
        Some(path) => desk.path(("--input", Some(path)), "", &None)?,
        None => written_input(desk, written)?,
    };
    let input_id = desk.pick(("--input-id", flags.input_id.as_deref()), "source.input_id", &written.input_id)?;
    match (file, input_id) {
        (Some(_), Some(input_id)) => {
            Err(input_id.mistyped("names an input that is piped in; a file is recognised by what it is"))
        }
        (Some(path), None) => Ok(Input::File { path }),
        (None, Some(input_id)) => Ok(Input::Stdin { input_id: Some(input_id.name()?) }),
        (None, None) if has_checkpoint => Err(Field::flag("--checkpoint", "").usage(
            "a checkpoint on standard input needs --input-id NAME (or source.input_id), \
             the same for the same data: without it nothing tells one pipe from another",
        )),
        (None, None) => Ok(Input::Stdin { input_id: None }),
    }
}

/// The file that the configuration names as the source; `None` for standard input.
fn written_input(desk: &Desk<'_>, written: &SourceWritten) -> Result<Option<PathBuf>, ConfigError> {
    let path = desk.file("source.path", &written.path)?;
    let Some(kind) = desk.file("source.type", &written.r#type)? else {
        return match path {
            None => Ok(None),
            Some(path) => Err(path.invalid("a path without a type; write type: file")),
        };
    };
    match (kind.text.as_str(), path) {
        ("stdin", None) => Ok(None),
        ("stdin", Some(path)) => Err(path.invalid("standard input has no path; write type: file")),
        ("file", None) => Err(kind.invalid("a source of type file needs a path")),
        ("file", Some(_)) => desk.path(("", None), "source.path", &written.path),
        (other, _) => Err(kind.invalid(format!("unknown type of source {other:?}; known are file, stdin"))),
    }
}

fn batch(desk: &Desk<'_>, written: &Written) -> Result<BatchPlan, ConfigError> {
    let events = desk.file("batch.max_events", &written.batch.max_events)?;
    let bytes = desk.file("batch.max_bytes", &written.batch.max_bytes)?;
    let age = desk.file("batch.max_ms", &written.batch.max_ms)?;
    Ok(BatchPlan {
        events_max: events.map_or(Ok(2000), |field| field.size(1..=EVENTS_MAX))?,
        bytes_max: bytes.map_or(Ok(4 * 1024 * 1024), |field| field.size(1..=BYTES_MAX))?,
        age_max: age.map_or(Ok(Duration::from_millis(50)), |field| field.millis(1..=MILLIS_MAX))?,
    })
}

fn in_flight(desk: &Desk<'_>, written: &Written) -> Result<InFlightPlan, ConfigError> {
    let events = desk.file("in_flight.max_events", &written.in_flight.max_events)?;
    let bytes = desk.file("in_flight.max_bytes", &written.in_flight.max_bytes)?;
    Ok(InFlightPlan {
        events_max: events.map_or(Ok(4096), |field| field.size(1..=EVENTS_MAX))?,
        bytes_max: bytes.map_or(Ok(4 * 1024 * 1024), |field| field.size(1..=BYTES_MAX))?,
    })
}

/// No file may be two things at once: a checkpoint written over the input would be the end of it.
fn distinct(input: &Input, files: [(&str, Option<&Path>); 3]) -> Result<(), ConfigError> {
    let mut taken = Vec::new();
    if let Input::File { path } = input {
        taken.push(("the input", found(path)));
    }
    for (name, path) in files {
        let Some(path) = path else { continue };
        let place = found(path);
        if let Some((other, _)) = taken.iter().find(|(_, taken)| *taken == place) {
            let reason = format!("{} is already the file of {other}", path.display());
            return Err(Field::flag(name, "").invalid(reason));
        }
        taken.push((name, place));
    }
    Ok(())
}

/// Where a file lies, or would, whatever way leads there. What cannot be found is as it was written.
fn found(path: &Path) -> PathBuf {
    let beside = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(beside).unwrap_or_else(|| path.into())
}
