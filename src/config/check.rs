//! From what was written to what is meant: the file under the flags, every default decided, every contradiction told.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::prelude::v1::*;
use std::time::Duration;

use super::error::ConfigError;
use super::expand::Environment;
use super::field::{Desk, Field, MILLIS_MAX};
use super::flags::Flags;
use super::limits::{BYTES_MAX, EVENTS_MAX};
use super::plan::{BatchPlan, InFlightPlan, Input, LogFormat, LogLevel, LogPlan, PIPELINE_DEFAULT, Plan};
use super::read::Document;
use super::written::{ConfigWritten, Written};
use super::{policy, sinks, source};

/// The port of the status pages where none is given.
pub const HTTP_PORT_DEFAULT: u16 = 9000;

/// Makes the plan of a run out of a configuration file, if there is one, a context of the `nats` command, which overrides
/// it, the flags, which override both, and the environment: variables in the file, `NATS_URL`, `NATS_USER` and
/// `NATS_PASSWORD` where none of them says, and `NATS_CONTEXT` where nothing else names a server.
///
/// ```
/// use natsink::config::{Flags, Target, check};
///
/// let flags = Flags {
///     url: Some("nats://127.0.0.1:4222".into()),
///     stream: Some("ORDERS".into()),
///     subject: Some("orders.${source.table}".into()),
///     ..Flags::default()
/// };
/// let plan = check(None, &flags, &|_| None)?;
/// let Target::Nats(sink) = &plan.sinks[0].to else { unreachable!("flags alone are a sink of type nats") };
/// assert_eq!(sink.servers[0].port, 4222);
/// assert_eq!(sink.send_timeout.as_secs(), 5);
/// # Ok::<(), natsink::config::ConfigError>(())
/// ```
///
/// # Errors
/// The first thing that is malformed, contradicts another, is missing, or is not in this version.
pub fn check(document: Option<&Document>, flags: &Flags, environment: &Environment<'_>) -> Result<Plan, ConfigError> {
    let desk = Desk { file: document.map(|document| document.path.as_path()), environment, sink: 0 };
    let written = document.map(Document::written).transpose()?.unwrap_or_default();
    let of_flags = ConfigWritten::default();
    let typed = sinks::typed(&desk, &written, &of_flags)?;
    let pipeline = match desk.pick(("--pipeline", flags.pipeline.as_deref()), "pipeline", &written.pipeline)? {
        None => PIPELINE_DEFAULT.into(),
        Some(field) => field.name()?,
    };
    let checkpoint =
        desk.path_field(("--checkpoint", flags.checkpoint.as_deref()), "checkpoint.path", &written.checkpoint.path)?;
    let source = source::source(&desk, flags, &written.source, checkpoint.as_ref().map(|(field, _)| field))?;
    let (sinks, sink_files) = sinks::Sinks { desk, flags, pipeline: &pipeline, format: source.format }.plans(&typed)?;
    let commit_policy = policy::policy(&desk, &written, &sinks)?;
    let dead_letter = desk.path_field(
        ("--dead-letter", flags.dead_letter.as_deref()),
        "dead_letter.path",
        &written.dead_letter.path,
    )?;
    let receipt = desk.path_field(("--receipt", flags.receipt.as_deref()), "", &None)?;
    distinct(&source.input, [&checkpoint, &dead_letter, &receipt].into_iter().flatten().chain(&sink_files))?;
    let path = |found: Option<(Field, PathBuf)>| found.map(|(_, path)| path);
    Ok(Plan {
        pipeline,
        source,
        batch: batch(&desk, &written)?,
        in_flight: in_flight(&desk, &written)?,
        commit_policy,
        checkpoint: path(checkpoint),
        from_start: flags.from_start,
        dead_letter: path(dead_letter),
        receipt: path(receipt),
        http: http(&desk, flags, &written)?,
        sinks,
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

/// Where status is shown, if that was asked for: an address, a port on this machine alone, or neither.
fn http(desk: &Desk<'_>, flags: &Flags, written: &Written) -> Result<Option<SocketAddr>, ConfigError> {
    let field = match (&flags.http, &written.http) {
        (Some(typed), _) => Field::flag("--http", typed),
        (None, None) => return Ok(None),
        (None, Some(http)) => match desk.file("http.listen", &http.value.listen)? {
            Some(field) => field.literal()?.not_empty("an empty address")?,
            None => desk.section("http", http.referenced.line()),
        },
    };
    let text = field.text.replacen("localhost", "127.0.0.1", 1);
    let ip = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
    let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let addr = match (text.parse(), ip.parse(), text.parse()) {
        _ if text.is_empty() => here(HTTP_PORT_DEFAULT),
        (Ok(addr), ..) => addr,
        (_, Ok(ip), _) => SocketAddr::new(ip, HTTP_PORT_DEFAULT),
        (.., Ok(port)) => here(port),
        _ => {
            let reason = format!("{:?} is no address to listen on, as in 127.0.0.1:{HTTP_PORT_DEFAULT}", field.text);
            return Err(field.mistyped(reason));
        }
    };
    Ok(Some(addr))
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
fn distinct<'a>(input: &Input, files: impl Iterator<Item = &'a (Field, PathBuf)>) -> Result<(), ConfigError> {
    let mut taken = Vec::new();
    if let Input::File { path, .. } = input {
        taken.push(("the input", found(path)));
    }
    for (field, path) in files {
        let place = found(path);
        if let Some((other, _)) = taken.iter().find(|(_, taken)| *taken == place) {
            return Err(field.invalid(format!("{} is already the file of {other}", path.display())));
        }
        taken.push((field.key(), place));
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
