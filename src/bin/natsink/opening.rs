//! From a plan to what a run works with: options, files, and the places that are read.

use std::fs;
use std::time::Instant;

use natsink::config::{Input as InputPlan, Plan};
use natsink::connection::{Auth, Backoff, Challenge, ConnectionOptions};
use natsink::io::{
    self, Checkpoint, CheckpointFile, DeadLetterFile, Origin, Segment, SinkPosition, Source, SourceError, SourceOptions,
};
use natsink::jetstream::{PublisherOptions, StreamInfo};
use natsink::proto::Pattern;
use natsink::sink::{Fingerprint, Input, Mapper, MapperOptions, PipelineOptions, Start};

use super::exit::{Code, Failure};
use super::log;
use super::store::{Kept, Place};
use super::verdict;

pub(crate) fn connection_options(plan: &Plan) -> ConnectionOptions {
    let sink = &plan.sink;
    let mut options = ConnectionOptions::new(sink.servers.clone());
    options.auth = sink.auth.auth();
    options.tls = sink.tls.clone();
    options.ignore_discovered = true;
    options.name = Some(sink.connection_name.clone());
    options.inbox_prefix = sink.inbox_prefix.as_str().into();
    options.connect_timeout = sink.connect_timeout;
    options.backoff = Backoff { initial: sink.retry.initial, max: sink.retry.max };
    options.auth_budget = sink.retry.auth_max;
    options.retry_at_start = true;
    options
}

/// Tries the files of TLS and of the credentials once, so that what is wrong with them shows before a server is looked
/// for.
pub(crate) fn check_secrets(plan: &Plan) -> Result<(), Failure> {
    let sink = &plan.sink;
    if sink.tls.is_demanded() || sink.servers.iter().any(|server| server.tls) {
        natsink::tls::check(&sink.tls).map_err(|error| verdict::of_tls_files(&error))?;
    }
    let Auth::Asked(authenticator) = sink.auth.auth() else { return Ok(()) };
    let challenge = Challenge::new(Some("a nonce to try"), &sink.servers[0], false);
    authenticator.answer(&challenge).map(drop).map_err(|error| verdict::of_credentials(&error))
}

pub(crate) fn publisher_options(plan: &Plan, saved: Option<&Checkpoint>) -> PublisherOptions {
    let sink = &plan.sink;
    let known = known_sink(plan, saved);
    let mut options = PublisherOptions::stream(sink.stream.as_str());
    options.api_prefix = sink.js_api_prefix.as_str().into();
    options.subjects = Pattern::new(sink.subject.as_pattern()).into_iter().collect();
    options.created = known.map(|known| known.created.clone());
    options.acked_seq = known.map_or(0, |known| known.read_from);
    options.in_flight_max = plan.in_flight.events_max;
    options.in_flight_bytes_max = plan.in_flight.bytes_max;
    options.send_timeout = sink.send_timeout;
    options.batch_timeout = sink.batch_timeout;
    options.max_elapsed = sink.retry.elapsed_max;
    options.backoff = Backoff { initial: sink.retry.initial, max: sink.retry.max };
    options
}

pub(crate) fn pipeline_options(plan: &Plan) -> PipelineOptions {
    let mut options = PipelineOptions::default();
    options.batch_events_max = plan.batch.events_max as u64;
    options.batch_bytes_max = plan.batch.bytes_max as u64;
    options.batch_age_max = plan.batch.age_max;
    options.dead_letters = plan.dead_letter.is_some();
    options.records_max = plan.in_flight.events_max.saturating_mul(2);
    // An earlier run may have had a larger window.
    options.replay_max = options.replay_max.max(4 * plan.in_flight.events_max as u64);
    options.bytes_max = (plan.in_flight.bytes_max as u64).saturating_mul(2);
    options
}

pub(crate) fn mapper(plan: &Plan, input: Input) -> Result<Mapper, Failure> {
    let sink = &plan.sink;
    let mut options = MapperOptions::new(plan.pipeline.as_str(), input, plan.source.format, sink.subject.clone());
    options.key = sink.key.clone();
    options.id = sink.id_rule.clone();
    options.headers = sink.headers.clone();
    for prefix in [&sink.inbox_prefix, &sink.js_api_prefix] {
        options.reserved.push(prefix.as_str().into());
    }
    Mapper::new(options).map_err(|error| Failure::new(Code::Config, "configuration", error.to_string()))
}

pub(crate) fn open_checkpoint(plan: &Plan) -> Result<(Option<Kept>, Option<Checkpoint>), Failure> {
    let Some(path) = &plan.checkpoint else { return Ok((None, None)) };
    let (file, saved) = CheckpointFile::open(path, &plan.pipeline).map_err(|error| verdict::of_checkpoint(&error))?;
    let (sink, pipeline) = (plan.sink.id.clone(), plan.pipeline.clone());
    let saved = saved.filter(|_| !plan.from_start);
    if let Some(saved) = &saved {
        check_sink(plan, saved)?;
    }
    let (stream, holds) = (plan.sink.stream.clone(), saved.is_some());
    let kept = Kept { file, pipeline, sink, stream, created: String::new(), holds };
    Ok((Some(kept), saved))
}

/// Checks that the checkpoint holds a position of this sink in this stream: another one has not got what is before it.
fn check_sink(plan: &Plan, saved: &Checkpoint) -> Result<(), Failure> {
    let sink = &plan.sink;
    let found = match known_sink(plan, Some(saved)) {
        Some(known) if known.stream == sink.stream => return Ok(()),
        Some(known) => format!("holds the position of stream {}, not of {}", known.stream, sink.stream),
        None => format!("holds no position of the sink {}", sink.id),
    };
    let help = "use a checkpoint for each, or start over with --from-start";
    Err(Failure::new(Code::Fenced, "other_stream", format!("the checkpoint {found}; {help}")))
}

/// What the checkpoint says of this sink.
fn known_sink<'a>(plan: &Plan, saved: Option<&'a Checkpoint>) -> Option<&'a SinkPosition> {
    saved?.sinks.iter().find(|known| known.id == plan.sink.id)
}

pub(crate) fn open_dead_letter(plan: &Plan, saved: Option<&Checkpoint>) -> Result<Option<DeadLetterFile>, Failure> {
    let Some(path) = &plan.dead_letter else { return Ok(None) };
    let resume_at = saved.map(|saved| saved.input.position);
    DeadLetterFile::open(path, resume_at).map(Some).map_err(|error| verdict::of_dead_letter(&error))
}

/// What is to be read, and from where on: the first place, and where a file was rotated away the next.
pub(crate) fn places(plan: &Plan, saved: Option<&Checkpoint>) -> Result<Vec<(Place, Start)>, Failure> {
    let saved = saved.map(|saved| &saved.input);
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
        InputPlan::File { path } => {
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

/// Begins to read what the store's place names.
pub(crate) fn source(plan: &Plan, place: &Place, start: Start, epoch: Instant) -> Result<Source, Failure> {
    let mut options = SourceOptions::new(epoch);
    options.position = start.position;
    options.lines = start.lines;
    options.line_len_max = plan.source.line_bytes_max;
    let source = match place {
        Place::File(segment) => {
            let file = segment.file.try_clone().map_err(SourceError::Read);
            file.and_then(|file| Source::start_file(file, options))
        }
        Place::Pipe(_) => {
            options.skip = start.fingerprint.filter(|_| start.position > 0);
            Source::start(std::io::stdin(), options)
        }
    };
    source.map_err(|error| verdict::of_source(&error))
}

/// The sequence after which the stream can hold what is read from here on.
pub(crate) fn read_from(plan: &Plan, saved: Option<&Checkpoint>, stream: &StreamInfo) -> u64 {
    known_sink(plan, saved).map_or(stream.last_seq, |known| known.read_from)
}
