//! From a plan to what a run works with: options and files.

use natsink::config::{NatsPlan, Plan};
use natsink::connection::{Auth, Backoff, Challenge, ConnectionOptions};
use natsink::io::{Checkpoint, CheckpointFile, DeadLetterFile, SinkPosition};
use natsink::jetstream::{PublisherOptions, StreamInfo};
use natsink::proto::Pattern;
use natsink::sink::{Input, Mapper, MapperOptions, PipelineOptions, pipeline_id_prefix};

use super::exit::{Code, Failure};
use super::store::Kept;
use super::stream_sink::{StreamSink, the_sink};
use super::verdict;

pub(crate) fn connection_options(sink: &NatsPlan) -> ConnectionOptions {
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
pub(crate) fn check_secrets(sink: &NatsPlan) -> Result<(), Failure> {
    if sink.tls.is_demanded() || sink.servers.iter().any(|server| server.tls) {
        natsink::tls::check(&sink.tls).map_err(|error| verdict::of_tls_files(&error))?;
    }
    let Auth::Asked(authenticator) = sink.auth.auth() else { return Ok(()) };
    let challenge = Challenge::new(Some("a nonce to try"), &sink.servers[0], false);
    authenticator.answer(&challenge).map(drop).map_err(|error| verdict::of_credentials(&error))
}

pub(crate) fn publisher_options(plan: &Plan, sink: StreamSink<'_>, saved: Option<&Checkpoint>) -> PublisherOptions {
    let known = known_sink(sink, saved);
    let mut options = PublisherOptions::stream(sink.stream);
    let sink = sink.nats;
    options.api_prefix = sink.js_api_prefix.as_str().into();
    options.subjects = Pattern::new(sink.subject.as_pattern()).into_iter().collect();
    options.created = known.map(|known| known.created.clone());
    options.acked_seq = known.map_or(0, |known| known.read_from);
    options.recall_after = known.map(|known| known.read_from);
    options.recall_prefix = pipeline_id_prefix(&plan.pipeline);
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
    let sink = the_sink(plan).nats;
    let mut options = MapperOptions::new(plan.pipeline.as_str(), input, plan.source.format, sink.subject.clone());
    options.key = sink.key.clone();
    options.id = sink.id_rule.clone();
    options.headers = sink.headers.clone();
    options.envelope = sink.envelope.clone();
    for prefix in [&sink.inbox_prefix, &sink.js_api_prefix] {
        options.reserved.push(prefix.as_str().into());
    }
    Mapper::new(options).map_err(|error| Failure::new(Code::Config, "configuration", error.to_string()))
}

pub(crate) fn open_checkpoint(plan: &Plan) -> Result<(Option<Kept>, Option<Checkpoint>), Failure> {
    let Some(path) = &plan.checkpoint else { return Ok((None, None)) };
    let (file, saved) = CheckpointFile::open(path, &plan.pipeline).map_err(|error| verdict::of_checkpoint(&error))?;
    let (sink, pipeline) = (the_sink(plan).id.to_owned(), plan.pipeline.clone());
    let before = saved.as_ref().filter(|_| plan.from_start).map(|saved| saved.input.clone());
    let saved = saved.filter(|_| !plan.from_start);
    if let Some(saved) = &saved {
        check_sink(plan, saved)?;
    }
    let (stream, holds) = (the_sink(plan).stream.to_owned(), saved.is_some());
    let kept = Kept { file, pipeline, sink, stream, created: String::new(), before, holds };
    Ok((Some(kept), saved))
}

/// Checks that the checkpoint holds a position of this sink in this stream: another one has not got what is before it.
fn check_sink(plan: &Plan, saved: &Checkpoint) -> Result<(), Failure> {
    let sink = the_sink(plan);
    let found = match known_sink(sink, Some(saved)) {
        Some(known) if known.stream == sink.stream => return Ok(()),
        Some(known) => format!("holds the position of stream {}, not of {}", known.stream, sink.stream),
        None => format!("holds no position of the sink {}", sink.id),
    };
    let help = "use a checkpoint for each, or start over with --from-start";
    Err(Failure::new(Code::Fenced, "other_stream", format!("the checkpoint {found}; {help}")))
}

/// What the checkpoint says of this sink.
fn known_sink<'a>(sink: StreamSink<'_>, saved: Option<&'a Checkpoint>) -> Option<&'a SinkPosition> {
    saved?.sinks.iter().find(|known| known.id == sink.id)
}

pub(crate) fn open_dead_letter(plan: &Plan, saved: Option<&Checkpoint>) -> Result<Option<DeadLetterFile>, Failure> {
    let Some(path) = &plan.dead_letter else { return Ok(None) };
    let resume_at = saved.map(|saved| saved.input.position);
    DeadLetterFile::open(path, resume_at).map(Some).map_err(|error| verdict::of_dead_letter(&error))
}

/// The sequence after which the stream can hold what is read from here on.
pub(crate) fn read_from(plan: &Plan, saved: Option<&Checkpoint>, stream: &StreamInfo) -> u64 {
    known_sink(the_sink(plan), saved).map_or(stream.last_seq, |known| known.read_from)
}
