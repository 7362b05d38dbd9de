//! From a plan to what a run works with: options and files.

use natsink::config::{NatsPlan, Plan, SinkPlan, Target};
use natsink::connection::{Auth, Backoff, Challenge, ConnectionOptions};
use natsink::io::{Checkpoint, CheckpointFile, DeadLetterFile, SinkPosition};
use natsink::jetstream::PublisherOptions;
use natsink::proto::Pattern;
use natsink::sink::{
    Input, Later, Mapper, MapperOptions, PipelineOptions, Start, Template, TemplateKind, pipeline_id_prefix,
};

use super::exit::{Code, Failure};
use super::log;
use super::store::Kept;
use super::stream_sink::StreamSink;
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

pub(crate) fn publisher_options(plan: &Plan, sink: StreamSink<'_>, known: Option<&SinkPosition>) -> PublisherOptions {
    let mut options = PublisherOptions::stream(sink.stream);
    let sink = sink.nats;
    options.api_prefix = sink.js_api_prefix.as_str().into();
    options.subjects = Pattern::new(sink.subject.as_pattern()).into_iter().collect();
    options.created = known.map(|known| known.created.clone()).filter(|created| !created.is_empty());
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

pub(crate) fn mapper(plan: &Plan, sink: &SinkPlan, input: Input) -> Result<Mapper, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::new(Code::Config, "configuration", error.to_string());
    let options = match &sink.to {
        Target::Nats(nats) => {
            let subject = nats.subject.clone();
            let mut options = MapperOptions::new(plan.pipeline.as_str(), input, plan.source.format, subject);
            options.key = nats.key.clone();
            options.id = nats.id_rule.clone();
            options.headers = nats.headers.clone();
            options.envelope = nats.envelope.clone();
            for prefix in [&nats.inbox_prefix, &nats.js_api_prefix] {
                options.reserved.push(prefix.as_str().into());
            }
            options
        }
        // Lines have no subject; what makes one is not shown.
        _ => {
            let subject = Template::new("natsink", TemplateKind::Subject).map_err(|error| wrong(&error))?;
            MapperOptions::new(plan.pipeline.as_str(), input, plan.source.format, subject)
        }
    };
    Mapper::new(options).map_err(|error| wrong(&error))
}

pub(crate) fn open_checkpoint(plan: &Plan) -> Result<(Option<Kept>, Option<Checkpoint>), Failure> {
    let Some(path) = &plan.checkpoint else { return Ok((None, None)) };
    let (file, saved) = CheckpointFile::open(path, &plan.pipeline).map_err(|error| verdict::of_checkpoint(&error))?;
    let before = saved.as_ref().filter(|_| plan.from_start).map(|saved| saved.input.clone());
    let saved = saved.filter(|_| !plan.from_start);
    if let Some(saved) = &saved {
        plan.sinks.iter().try_for_each(|sink| check_sink(sink, saved))?;
    }
    let sinks = plan.sinks.iter().map(|sink| position_of(sink, saved.as_ref())).collect();
    let kept = Kept { file, pipeline: plan.pipeline.clone(), sinks, before, holds: saved.is_some() };
    Ok((Some(kept), saved))
}

/// Checks that the checkpoint holds a position of this sink in this stream: another one has not got what is before it. A new
/// sink that is not required may come too late for that.
pub(crate) fn check_sink(sink: &SinkPlan, saved: &Checkpoint) -> Result<(), Failure> {
    let stream = stream_of(sink).unwrap_or_default();
    let name = |stream: &str| if stream.is_empty() { "no stream".into() } else { format!("stream {stream}") };
    let found = match known_sink(&sink.id, Some(saved)) {
        Some(known) if known.stream == stream => return Ok(()),
        Some(known) => format!("holds the position of {}, not of {}", name(&known.stream), name(stream)),
        None if !sink.required => {
            log::warn(format_args!(
                "the checkpoint does not know the sink {}: it gets what comes from now on",
                sink.id
            ));
            return Ok(());
        }
        None => format!("holds no position of the sink {}", sink.id),
    };
    let help = "use a checkpoint for each, or start over with --from-start";
    Err(Failure::new(Code::Fenced, "other_stream", format!("the checkpoint {found}; {help}")))
}

fn position_of(sink: &SinkPlan, saved: Option<&Checkpoint>) -> SinkPosition {
    known_sink(&sink.id, saved).cloned().unwrap_or_else(|| SinkPosition {
        id: sink.id.clone(),
        position: 0,
        lines: 0,
        read_from: 0,
        later: None,
        stream: stream_of(sink).unwrap_or_default().into(),
        created: String::new(),
    })
}

/// The stream that a sink delivers into, where there is one.
pub(crate) fn stream_of(sink: &SinkPlan) -> Option<&str> {
    StreamSink::of(sink).map(|sink| sink.stream)
}

/// What the checkpoint says of this sink.
pub(crate) fn known_sink<'a>(id: &str, saved: Option<&'a Checkpoint>) -> Option<&'a SinkPosition> {
    saved?.sinks.iter().find(|known| known.id == id)
}

/// Where a sink begins, of an input that begins at `start`.
pub(crate) fn sink_start(sink: &SinkPlan, saved: Option<&Checkpoint>, input: &Input, start: Start) -> Start {
    let Some(known) = known_sink(&sink.id, saved) else { return Start { fingerprint: None, ..start } };
    let later = known.later.map(|later| Later { records: later.records, seq: later.seq });
    let begin = Start { read_from: known.read_from, later, fingerprint: None, ..start };
    match saved {
        Some(saved) if saved.input.input() == *input => Start { position: known.position, lines: known.lines, ..begin },
        // The checkpoint knows another input.
        _ => begin,
    }
}

pub(crate) fn open_dead_letter(plan: &Plan, saved: Option<&Checkpoint>) -> Result<Option<DeadLetterFile>, Failure> {
    let Some(path) = &plan.dead_letter else { return Ok(None) };
    // A sink that is behind writes its letters again too.
    let resume_at =
        saved.map(|saved| saved.sinks.iter().map(|sink| sink.position).fold(saved.input.position, u64::min));
    DeadLetterFile::open(path, resume_at).map(Some).map_err(|error| verdict::of_dead_letter(&error))
}
