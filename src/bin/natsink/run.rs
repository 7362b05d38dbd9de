//! A run, from its plan to its end: what is opened in which order, and what is waited for before anything is read.

use std::time::{Duration, Instant};

use natsink::config::{Plan, Target};
use natsink::io::Checkpoint;
use natsink::sink::{FanOut, FanOutSink, Start};
use tokio::time::sleep;

use super::connections::Connections;
use super::exit::{Code, Failure, Finish};
use super::feed::{Feed, Flow};
use super::fresh_start;
use super::http;
use super::lane::Lane;
use super::log;
use super::opening;
use super::places::{Place, Places};
use super::progress::Progress;
use super::ready::{Look, Readying};
use super::receipt::Receipt;
use super::signals::Signals;
use super::status::Board;
use super::store::Store;
use super::verdict;

/// Between two signs of life while something is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// Runs `plan` to the end of its input, a signal or a failure, and keeps the account of it in `receipt`.
pub(crate) fn run(plan: &Plan, receipt: &mut Receipt) -> Result<Finish, Failure> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Io, "runtime", format!("cannot start: {error}")))?;
    let board = Board::new(plan);
    let result = runtime.block_on(deliver(plan, &board, receipt));
    board.close();
    receipt.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    // A read that blocks for ever, as on a pipe that nobody writes to, holds no one up.
    runtime.shutdown_background();
    result
}

async fn deliver(plan: &Plan, board: &Board, receipt: &mut Receipt) -> Result<Finish, Failure> {
    let epoch = Instant::now();
    let run = random()?;
    let mut signals = Signals::listen()?;
    if let Some(addr) = plan.http {
        http::serve(addr, board.clone())?;
    }
    if let [only] = &plan.sinks[..] {
        receipt.stream = opening::stream_of(only).map(String::from);
    }
    // What can be wrong without a server is found before one is looked for.
    for sink in &plan.sinks {
        if let Target::Nats(nats) = &sink.to {
            opening::check_secrets(nats)?;
        }
    }
    let (checkpoint, saved) = opening::open_checkpoint(plan)?;
    let dead_letter = opening::open_dead_letter(plan, saved.as_ref())?;
    let before = checkpoint.as_ref().and_then(|checkpoint| checkpoint.before.as_ref());
    let mut places = Places::new(plan, saved.as_ref().map(|saved| &saved.input), before)?;
    let is_endless = places.is_endless();
    let stopped = |signal| stopped(signal, saved.is_some(), is_endless);
    // A file that is followed may come later; meanwhile there is a server to be looked for.
    let mut found = None;
    if !places.is_endless() {
        match first(&mut places, &mut signals, || board.show(|_| ())).await? {
            Look::Found(first) => found = Some(first),
            Look::Stopped(signal) => return stopped(signal),
        }
    }
    receipt.position = saved.as_ref().map_or(0, |saved| saved.input.position);

    let mut connections = Connections::default();
    let mut lanes = Vec::new();
    for sink in &plan.sinks {
        let known = opening::known_sink(&sink.id, saved.as_ref());
        lanes.push(Lane::open(plan, sink, known, &mut connections)?);
    }
    signals.reconnect(connections.all(), board.clone());
    let mut readying = Readying { plan, connections: &connections, lanes: &mut lanes, board };
    if let Look::Stopped(signal) = readying.wait(&mut signals).await? {
        return stopped(signal);
    }
    let (mut place, start) = match found {
        Some(found) => found,
        None => match first(&mut places, &mut signals, || readying.idle()).await? {
            Look::Found(first) => first,
            Look::Stopped(signal) => return stopped(signal),
        },
    };
    receipt.position = start.position;
    let input = place.input(run);
    if plan.checkpoint.is_some() && saved.is_none() && !plan.from_start {
        for lane in &lanes {
            let (Some(sink), Some((_, client)), true) = (lane.stream, &lane.connection, lane.is_ready) else {
                continue;
            };
            let check = fresh_start::check(plan, sink, client, &input);
            match alive(check, &mut signals, board).await? {
                Look::Stopped(signal) => return stopped(signal),
                Look::Found(None) => {}
                Look::Found(Some(doubt)) => {
                    log::warn(format_args!("{}; where it was lost: {}", doubt.words, doubt.line));
                }
            }
        }
    }

    let (fan_out, start) = fan_out(plan, saved.as_ref(), &mut place, run, start, &lanes)?;
    // What is sent before the first commit keeps its ids after a crash.
    let is_new = saved.is_none() || !place.is_known();
    let mut feed = Feed {
        plan,
        places,
        run,
        epoch,
        connections,
        lanes,
        fan_out,
        store: Some(Store { checkpoint, dead_letter, place }),
        committing: None,
        signals,
        board: board.clone(),
        progress: Progress::new(plan.quiet),
        input_len: None,
        stopping: None,
        grace: None,
        look_at: tokio::time::Instant::now(),
        backpressure: Duration::ZERO,
    };
    let result = feed_all(&mut feed, start, is_new, receipt).await;
    feed.end_commit().await;
    feed.account(receipt);
    feed.hear();
    feed.progress.clear();
    result
}

/// The pipelines, and where the input is to be read from: where the sink begins that is furthest behind.
fn fan_out(
    plan: &Plan,
    saved: Option<&Checkpoint>,
    place: &mut Place,
    run: u64,
    start: Start,
    lanes: &[Lane<'_>],
) -> Result<(FanOut, Start), Failure> {
    let input = place.input(run);
    let sinks = lanes.iter().map(|lane| {
        Ok(FanOutSink {
            mapper: opening::mapper(plan, lane.plan, input.clone())?,
            options: opening::pipeline_options(plan),
            start: opening::sink_start(lane.plan, saved, &input, start),
            required: lane.plan.required,
        })
    });
    let sinks = sinks.collect::<Result<_, Failure>>()?;
    let mut fan_out = FanOut::new(plan.commit_policy, start, sinks);
    let (position, lines) = fan_out.begin();
    if position < start.position && place.begin_at(position, lines)? {
        return Ok((fan_out, Start { position, lines, ..start }));
    }
    let is_behind = |sink: &usize| fan_out.is_awaited(*sink) && fan_out.sink(*sink).position() < start.position;
    if let Some(sink) = (0..fan_out.len()).find(is_behind) {
        return Err(verdict::of_sink_behind(&lanes[sink].plan.id, fan_out.sink(sink).position(), start.position));
    }
    fan_out.begin_at_policy();
    Ok((fan_out, start))
}

/// A number that no other run has.
fn random() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    getrandom::getrandom(&mut bytes)
        .map_err(|error| Failure::new(Code::Io, "random", format!("no random bytes from the system: {error}")))?;
    Ok(u64::from_ne_bytes(bytes))
}

async fn feed_all(
    feed: &mut Feed<'_>,
    mut start: Start,
    is_new: bool,
    receipt: &mut Receipt,
) -> Result<Finish, Failure> {
    feed.begin(is_new)?;
    loop {
        let mut source = feed.source(start)?;
        if feed.run(&mut source, receipt).await? == Flow::Stopped {
            return feed.stopped();
        }
        let Some(next) = feed.next_place(receipt).await? else { break };
        start = next;
    }
    if feed.is_stopping() {
        return feed.stopped();
    }
    let dead = feed.fan_out.counts().dead;
    if feed.plan.source.strict && dead > 0 {
        return Err(Failure::new(Code::Data, "dead_letters", format!("{dead} events are dead letters")));
    }
    Ok(Finish::Done)
}

/// What is read first. To open a named pipe is to wait for its writer, and a file that is followed may come late; meanwhile
/// `look` is called now and then.
async fn first(
    places: &mut Places,
    signals: &mut Signals,
    mut look: impl FnMut(),
) -> Result<Look<(Place, Start)>, Failure> {
    let mut next = std::pin::pin!(places.next());
    loop {
        tokio::select! {
            signal = signals.next() => return Ok(Look::Stopped(signal)),
            first = &mut next => return Ok(Look::Found(first?.expect("there is always something to read first"))),
            () = sleep(LOOK) => look(),
        }
    }
}

/// Waits for something that can take its time, and gives signs of life meanwhile.
async fn alive<T>(
    what: impl Future<Output = Result<T, Failure>>,
    signals: &mut Signals,
    board: &Board,
) -> Result<Look<T>, Failure> {
    let mut what = std::pin::pin!(what);
    loop {
        tokio::select! {
            signal = signals.next() => return Ok(Look::Stopped(signal)),
            done = &mut what => return done.map(Look::Found),
            () = sleep(LOOK) => board.show(|_| ()),
        }
    }
}

/// How a run ends that a signal has stopped before it read anything.
fn stopped(signal: u8, is_held: bool, is_endless: bool) -> Result<Finish, Failure> {
    match (is_held, is_endless) {
        (true, _) => Ok(Finish::Stopped),
        (false, true) => Ok(Finish::Unheld),
        (false, false) => Err(verdict::of_signal(signal)),
    }
}
