//! A run, from its plan to its end: what is opened in which order, and what is waited for before anything is read.

use std::time::{Duration, Instant};

use natsink::config::{Input as InputPlan, Plan};
use natsink::connection::{Auth, Backoff, ConnectionOptions};
use natsink::io::{
    self, Checkpoint, CheckpointFile, DeadLetterFile, Origin, Segment, Source, SourceError, SourceOptions,
};
use natsink::jetstream::{PublisherOptions, StreamInfo};
use natsink::proto::Pattern;
use natsink::sink::{Fingerprint, Input, Mapper, MapperOptions, Pipeline, PipelineOptions, Start};
use natsink::{Client, Publisher};
use tokio::time::sleep_until;

use super::exit::{Code, Failure, Finish};
use super::feed::{Feed, Flow};
use super::fresh_start;
use super::link_log::LinkLog;
use super::log;
use super::progress::Progress;
use super::receipt::Receipt;
use super::signals::Signals;
use super::store::{Kept, Place, Store};
use super::verdict;

/// Between two looks at what the link has to tell.
const LOOK: Duration = Duration::from_millis(200);

/// Runs `plan` to the end of its input, a signal or a failure, and keeps the account of it in `receipt`.
pub(crate) fn run(plan: &Plan, receipt: &mut Receipt) -> Result<Finish, Failure> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Io, "runtime", format!("cannot start: {error}")))?;
    let result = runtime.block_on(deliver(plan, receipt));
    receipt.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    // A read that blocks for ever, as on a pipe that nobody writes to, holds no one up.
    runtime.shutdown_background();
    result
}

async fn deliver(plan: &Plan, receipt: &mut Receipt) -> Result<Finish, Failure> {
    let mut signals = Signals::listen()?;
    receipt.stream = Some(plan.sink.stream.clone());
    // What can be wrong without a server is found before one is looked for.
    let (mut checkpoint, saved) = open_checkpoint(plan)?;
    let saved = saved.filter(|_| !plan.from_start);
    let dead_letter = open_dead_letter(plan, saved.as_ref())?;
    let mut places = places(plan, saved.as_ref())?;
    receipt.position = places.first().map_or(0, |(_, start)| start.position);

    let client = Client::start(connection_options(plan)).map_err(|reason| verdict::of_close(&reason))?;
    let publisher = client
        .publisher(publisher_options(plan, saved.as_ref()))
        .map_err(|error| Failure::new(Code::Config, "publisher", error.to_string()))?;
    let mut link_log = LinkLog::new(client.clone(), publisher.clone());
    let stream = verified(plan, &publisher, &mut signals, &mut link_log).await?;
    for warning in &stream.warnings {
        log::warn(format_args!("stream {}: {warning}", stream.name));
    }
    if plan.checkpoint.is_some()
        && saved.is_none()
        && !plan.from_start
        && let Some((place, _)) = places.first()
    {
        fresh_start::check(plan, &client, &place.input(&client)).await?;
    }
    if let Some(checkpoint) = &mut checkpoint {
        checkpoint.created = stream.created.clone();
    }

    let (place, start) = places.remove(0);
    let start = Start { read_from: read_from(saved.as_ref(), &stream), ..start };
    let mapper = mapper(plan, place.input(&client))?;
    let pipeline = Pipeline::new(mapper, pipeline_options(plan), start);
    let mut feed = Feed {
        plan,
        client,
        publisher,
        pipeline,
        store: Some(Store { checkpoint, dead_letter, place }),
        committing: None,
        outcomes: Vec::with_capacity(plan.in_flight.events_max.min(65_536)),
        signals,
        link_log,
        progress: Progress::new(plan.quiet),
        input_len: None,
        stopping: None,
    };
    let result = feed_all(&mut feed, start, places, receipt).await;
    feed.account(receipt);
    feed.progress.clear();
    result
}

async fn feed_all(
    feed: &mut Feed<'_>,
    mut start: Start,
    places: Vec<(Place, Start)>,
    receipt: &mut Receipt,
) -> Result<Finish, Failure> {
    let mut places = places.into_iter();
    loop {
        let mut source = source(feed, start)?;
        if feed.run(&mut source, receipt).await? == Flow::Stopped {
            return feed.stopped();
        }
        let Some((place, next)) = places.next() else { break };
        start = Start { read_from: start.read_from, ..next };
        feed.next_place(place, start);
    }
    if feed.plan.source.strict && feed.pipeline.counts().dead > 0 {
        let dead = feed.pipeline.counts().dead;
        return Err(Failure::new(Code::Data, "dead_letters", format!("{dead} events are dead letters")));
    }
    Ok(Finish::Done)
}

/// Waits for the stream to be looked at: for as long as it takes, or the plan allows.
async fn verified(
    plan: &Plan,
    publisher: &Publisher,
    signals: &mut Signals,
    link_log: &mut LinkLog,
) -> Result<StreamInfo, Failure> {
    let began = Instant::now();
    loop {
        let look = tokio::time::Instant::now() + LOOK;
        tokio::select! {
            signal = signals.next() => return Err(verdict::of_signal(signal)),
            found = publisher.verified() => {
                link_log.look();
                return match found {
                    Ok(Some(stream)) => Ok(stream),
                    Ok(None) => Err(Failure::new(Code::Config, "no_stream", "no stream is named")),
                    Err(error) => Err(verdict::of_publisher(&error, plan)),
                };
            }
            () = sleep_until(look) => link_log.look(),
        }
        if plan.sink.retry.elapsed_max.is_some_and(|max| began.elapsed() >= max) {
            let last = link_log.last().map(|last| format!(": {last}")).unwrap_or_default();
            let message = format!("no server within {} s{last}", began.elapsed().as_secs());
            return Err(Failure::new(Code::Unavailable, "unavailable", message));
        }
    }
}

fn connection_options(plan: &Plan) -> ConnectionOptions {
    let sink = &plan.sink;
    let mut options = ConnectionOptions::new(sink.servers.clone());
    options.auth = sink.auth.clone().map(Auth::from).unwrap_or_default();
    options.name = Some(sink.connection_name.clone());
    options.inbox_prefix = sink.inbox_prefix.as_str().into();
    options.connect_timeout = sink.connect_timeout;
    options.backoff = Backoff { initial: sink.retry.initial, max: sink.retry.max };
    options.auth_budget = sink.retry.auth_max;
    options.retry_at_start = true;
    options
}

fn publisher_options(plan: &Plan, saved: Option<&Checkpoint>) -> PublisherOptions {
    let sink = &plan.sink;
    let known = saved.and_then(|saved| saved.sinks.iter().find(|known| known.id == sink.id));
    let mut options = PublisherOptions::stream(sink.stream.as_str());
    options.api_prefix = sink.js_api_prefix.as_str().into();
    options.subjects = Pattern::new(sink.subject.as_pattern()).into_iter().collect();
    options.created = known.filter(|known| known.stream == sink.stream).map(|known| known.created.clone());
    options.acked_seq = known.map_or(0, |known| known.read_from);
    options.in_flight_max = plan.in_flight.events_max;
    options.in_flight_bytes_max = plan.in_flight.bytes_max;
    options.send_timeout = sink.send_timeout;
    options.batch_timeout = sink.batch_timeout;
    options.max_elapsed = sink.retry.elapsed_max;
    options.backoff = Backoff { initial: sink.retry.initial, max: sink.retry.max };
    options
}

fn pipeline_options(plan: &Plan) -> PipelineOptions {
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

fn mapper(plan: &Plan, input: Input) -> Result<Mapper, Failure> {
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

fn open_checkpoint(plan: &Plan) -> Result<(Option<Kept>, Option<Checkpoint>), Failure> {
    let Some(path) = &plan.checkpoint else { return Ok((None, None)) };
    let (file, saved) = CheckpointFile::open(path, &plan.pipeline).map_err(|error| verdict::of_checkpoint(&error))?;
    let (sink, pipeline) = (plan.sink.id.clone(), plan.pipeline.clone());
    let kept = Kept { file, pipeline, sink, stream: plan.sink.stream.clone(), created: String::new() };
    Ok((Some(kept), saved))
}

fn open_dead_letter(plan: &Plan, saved: Option<&Checkpoint>) -> Result<Option<DeadLetterFile>, Failure> {
    let Some(path) = &plan.dead_letter else { return Ok(None) };
    let resume_at = saved.map(|saved| saved.input.position);
    DeadLetterFile::open(path, resume_at).map(Some).map_err(|error| verdict::of_dead_letter(&error))
}

/// What is to be read, and from where on: the first place, and where a file was rotated away the next.
fn places(plan: &Plan, saved: Option<&Checkpoint>) -> Result<Vec<(Place, Start)>, Failure> {
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
            if let Some(saved) = saved {
                saved.check_file(path).map_err(|error| verdict::of_checkpoint(&error))?;
            }
            let segments = io::plan(path, saved).map_err(|error| verdict::of_source(&error))?;
            Ok(segments.into_iter().map(|segment| place_of(segment)).collect())
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
    let mut start = Start::default();
    start.position = segment.position;
    start.lines = segment.lines;
    (Place::File(segment), start)
}

/// Begins to read what the store's place names.
fn source(feed: &mut Feed<'_>, start: Start) -> Result<Source, Failure> {
    let mut options = SourceOptions::new(feed.client.started());
    options.position = start.position;
    options.lines = start.lines;
    options.line_len_max = feed.plan.source.line_bytes_max;
    let place = feed.store.as_ref().map(|store| &store.place);
    let source = match place {
        Some(Place::File(segment)) => {
            feed.input_len = segment.file.metadata().ok().map(|found| found.len());
            let file = segment.file.try_clone().map_err(SourceError::Read);
            file.and_then(|file| Source::start_file(file, options))
        }
        _ => {
            options.skip = start.fingerprint.filter(|_| start.position > 0);
            Source::start(std::io::stdin(), options)
        }
    };
    source.map_err(|error| verdict::of_source(&error))
}

/// The sequence after which the stream can hold what is read from here on.
fn read_from(saved: Option<&Checkpoint>, stream: &StreamInfo) -> u64 {
    saved.and_then(|saved| saved.sinks.first()).map_or(stream.last_seq, |known| known.read_from)
}
