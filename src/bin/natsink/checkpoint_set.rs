//! `natsink checkpoint set` and `accept`: a checkpoint that says what a person says, and what the server knows besides.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use natsink::Client;
use natsink::config::{self, Document, Flags, Input as InputPlan, LogLevel, Plan};
use natsink::io::{Checkpoint, CheckpointFile, InputKind, Look, SavedInput, SinkPosition, SourceError, Trail};
use natsink::jetstream::{PublisherOptions, StreamInfo};
use natsink::sink::{Input, PrefixHash, position_id_prefix};
use tokio::time::timeout;

use super::checkpoint_args::{AcceptArgs, SetArgs};
use super::checkpoint_text::as_text;
use super::exit::{Code, Failure};
use super::fresh_start::WINDOWS;
use super::history::History;
use super::run_args::RunArgs;
use super::stream_sink::{StreamSink, stream_sinks};
use super::{log, opening, verdict};

/// How long the server may take to tell of a stream.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes read at a time.
const BLOCK_LEN: usize = 64 * 1024;

/// Makes or moves a checkpoint. What to tell of it.
pub(super) fn set(args: &SetArgs) -> Result<String, Failure> {
    let plan = planned(&args.file, &args.run)?;
    let (mut file, found) = open(&args.file, &plan)?;
    let input = input_at(&plan, found.as_ref().map(|found| &found.input), args.position)?;
    let mut checkpoint = Checkpoint { pipeline: plan.pipeline.clone(), input, sinks: Vec::new() };
    for sink in &plan.sinks {
        let mut position = SinkPosition {
            id: sink.id.clone(),
            position: args.position,
            lines: checkpoint.input.lines,
            read_from: 0,
            later: None,
            stream: String::new(),
            created: String::new(),
        };
        if let Some(sink) = stream_sinks(&plan).find(|of| of.id == sink.id) {
            let input = checkpoint.input.input();
            let (info, before) = look(&plan, sink, &input, args.position)?;
            position.read_from = args.read_from.unwrap_or(before);
            (position.stream, position.created) = (info.name, info.created);
        }
        checkpoint.sinks.push(position);
    }
    file.save(&checkpoint).map_err(|error| verdict::of_checkpoint(&error))?;
    Ok(as_text(&args.file, &checkpoint, None))
}

/// Lets a checkpoint know the streams as they are now. What that means.
pub(super) fn accept(args: &AcceptArgs) -> Result<String, Failure> {
    let plan = planned(&args.file, &args.run)?;
    let (mut file, found) = open(&args.file, &plan)?;
    let Some(mut checkpoint) = found else {
        let message = format!("there is no checkpoint {}", args.file.display());
        return Err(Failure::new(Code::NoInput, "checkpoint_missing", message));
    };
    let input = checkpoint.input.input();
    let mut told = String::new();
    for sink in stream_sinks(&plan) {
        let Some(known) = checkpoint.sinks.iter_mut().find(|known| known.id == sink.id) else { continue };
        let (info, before) = look(&plan, sink, &input, known.position)?;
        if info.created == known.created && info.name == known.stream && info.last_seq >= known.read_from {
            told += &format!("{}: stream {} is the one that the checkpoint knows\n", sink.id, info.name);
            continue;
        }
        told += &format!(
            "{id}: the checkpoint knew stream {stream}, created {created}, up to sequence {read_from} at least; now it knows \
             {name}, created {now}, which ends at sequence {last}. The next run starts at byte {position}: events before that \
             are not sent again, and are in this stream only if somebody put them there.\n",
            id = sink.id,
            stream = known.stream,
            created = known.created,
            read_from = known.read_from,
            name = info.name,
            now = info.created,
            last = info.last_seq,
            position = known.position,
        );
        (known.read_from, known.later) = (before, None);
        (known.stream, known.created) = (info.name, info.created);
    }
    file.save(&checkpoint).map_err(|error| verdict::of_checkpoint(&error))?;
    Ok(told)
}

/// What a run with these arguments and this checkpoint would do.
fn planned(file: &Path, args: &RunArgs) -> Result<Plan, Failure> {
    let flags = Flags { checkpoint: Some(file.into()), ..args.flags() };
    let mut log = config::log(&flags)?;
    if flags.log.is_none() {
        log.level = LogLevel::Error;
    }
    log::init(log);
    let document = args.config.as_deref().map(Document::open).transpose()?;
    let var = |name: &str| -> Option<OsString> { std::env::var_os(name) };
    Ok(config::check(document.as_ref(), &flags, &var)?)
}

fn open(path: &Path, plan: &Plan) -> Result<(CheckpointFile, Option<Checkpoint>), Failure> {
    CheckpointFile::open(path, &plan.pipeline).map_err(|error| verdict::of_checkpoint(&error))
}

/// What a checkpoint at this position says of the input of the plan.
fn input_at(plan: &Plan, saved: Option<&SavedInput>, position: u64) -> Result<SavedInput, Failure> {
    match &plan.source.input {
        InputPlan::Stdin { input_id } => {
            let name = input_id.as_deref().unwrap_or_default();
            let read = |error| Failure::new(Code::NoInput, "input", format!("cannot read standard input: {error}"));
            let before = before(io::stdin().lock(), position).map_err(read)?;
            check_position("standard input", &before, position)?;
            Ok(SavedInput::pipe(name, position, before.lines, Some(before.hash.finish())))
        }
        InputPlan::File { path, .. } => {
            let of_source = |error: SourceError| verdict::of_source(&error);
            let unread = |error| of_source(SourceError::Open { path: path.clone(), error });
            // The file at the path itself, not one that was rotated away.
            let saved = saved.filter(|saved| saved.kind == InputKind::File);
            let mut trail = Trail::new(path, None, saved, true);
            let mut last = None;
            while let Look::Segment(segment) = trail.look().map_err(of_source)? {
                last = Some(segment);
            }
            let segment = last.ok_or_else(|| unread(io::ErrorKind::NotFound.into()))?;
            let before = before(File::open(path).map_err(unread)?, position).map_err(unread)?;
            check_position(&path.display().to_string(), &before, position)?;
            let saved = segment.saved(position, before.lines).map_err(unread)?;
            saved.ok_or_else(|| Failure::new(Code::NoInput, "input", format!("{} changes", path.display())))
        }
    }
}

/// What is before a position.
struct Before {
    len: u64,
    lines: u64,
    hash: PrefixHash,
    last: Option<u8>,
}

fn before(mut input: impl Read, position: u64) -> io::Result<Before> {
    let mut before = Before { len: 0, lines: 0, hash: PrefixHash::default(), last: None };
    let mut block = vec![0; BLOCK_LEN];
    while before.len < position {
        let wanted = usize::try_from(position - before.len).unwrap_or(usize::MAX).min(BLOCK_LEN);
        let len = input.read(&mut block[..wanted])?;
        if len == 0 {
            break;
        }
        before.len += len as u64;
        before.lines += block[..len].iter().filter(|byte| **byte == b'\n').count() as u64;
        before.hash.update(&block[..len]);
        before.last = block[..len].last().copied();
    }
    Ok(before)
}

fn check_position(name: &str, before: &Before, position: u64) -> Result<(), Failure> {
    let why = match before {
        Before { len, .. } if *len < position => format!("{name} has {len} bytes only"),
        Before { last: Some(last), .. } if *last != b'\n' => format!("no line of {name} begins there"),
        _ => return Ok(()),
    };
    Err(Failure::new(Code::Usage, "position", format!("a run cannot start at byte {position}: {why}")))
}

/// The stream of a sink as it is, and up to which sequence it holds nothing from `position` on.
fn look(plan: &Plan, sink: StreamSink<'_>, input: &Input, position: u64) -> Result<(StreamInfo, u64), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Io, "runtime", format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let mut options = opening::connection_options(sink.nats);
        options.retry_at_start = false;
        let client = Client::connect(options).await.map_err(|reason| verdict::of_close(&reason))?;
        let options = PublisherOptions { recall_after: None, ..opening::publisher_options(plan, sink, None) };
        let publisher =
            client.publisher(options).map_err(|error| Failure::new(Code::Config, "publisher", error.to_string()))?;
        let info = match timeout(PATIENCE, publisher.verified()).await {
            Ok(Ok(Some(info))) => info,
            Ok(Err(error)) => return Err(verdict::of_publisher(&error, sink)),
            Ok(Ok(None)) | Err(_) => {
                let message = format!("nobody tells of stream {} within {} s", sink.stream, PATIENCE.as_secs());
                return Err(Failure::new(Code::Unavailable, "unavailable", message));
            }
        };
        let history = History { client: &client, sink, prefix: position_id_prefix(&plan.pipeline, input) };
        let margin = WINDOWS * plan.in_flight.events_max as u64;
        let before = history.before(position, info.last_seq, margin).await;
        client.close();
        let before = before.map_err(|words| {
            let message = format!("cannot see from where stream {} is to be read back: {words}", sink.stream);
            Failure::new(Code::Unavailable, "unavailable", message)
        })?;
        Ok((info, before))
    })
}
