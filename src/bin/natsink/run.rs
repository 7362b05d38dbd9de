//! A run, from its plan to its end: what is opened in which order, and what is waited for before anything is read.

use std::time::{Duration, Instant};

use natsink::config::Plan;
use natsink::jetstream::StreamInfo;
use natsink::sink::{Pipeline, Start};
use natsink::{Client, Publisher};
use tokio::time::{sleep, sleep_until};

use super::exit::{Code, Failure, Finish};
use super::feed::{Feed, Flow};
use super::fresh_start;
use super::http;
use super::log;
use super::obstacles::Obstacles;
use super::opening;
use super::places::{Place, Places};
use super::progress::Progress;
use super::receipt::Receipt;
use super::signals::Signals;
use super::status::{Board, State};
use super::store::Store;
use super::stream_sink::the_sink;
use super::verdict;

/// Between two looks at what the link has to tell.
const LOOK: Duration = Duration::from_millis(200);

/// How a wait ended.
enum Look<T> {
    /// What was waited for is there, as it should be.
    Found(T),
    /// This signal came first.
    Stopped(u8),
}

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
    let mut signals = Signals::listen()?;
    if let Some(addr) = plan.http {
        http::serve(addr, board.clone())?;
    }
    receipt.stream = Some(the_sink(plan).stream.to_owned());
    // What can be wrong without a server is found before one is looked for.
    opening::check_secrets(the_sink(plan).nats)?;
    let (mut checkpoint, saved) = opening::open_checkpoint(plan)?;
    let dead_letter = opening::open_dead_letter(plan, saved.as_ref())?;
    let before = checkpoint.as_ref().and_then(|checkpoint| checkpoint.before.as_ref());
    let mut places = Places::new(plan, saved.as_ref().map(|saved| &saved.input), before)?;
    let is_well = saved.is_some() || places.is_endless();
    // A file that is followed may come later; meanwhile there is a server to be looked for.
    let mut found = None;
    if !places.is_endless() {
        match first(&mut places, &mut signals, board, None).await? {
            Look::Found(first) => found = Some(first),
            Look::Stopped(signal) => return stopped(signal, is_well),
        }
    }
    receipt.position = saved.as_ref().map_or(0, |saved| saved.input.position);

    let client =
        Client::start(opening::connection_options(the_sink(plan).nats)).map_err(|reason| verdict::of_close(&reason))?;
    signals.reconnect(client.clone(), plan.clone(), board.clone());
    let publisher = client
        .publisher(opening::publisher_options(plan, the_sink(plan), saved.as_ref()))
        .map_err(|error| Failure::new(Code::Config, "publisher", error.to_string()))?;
    let mut obstacles = Obstacles::new(client.clone(), publisher.clone());
    let stream = match verified(plan, &publisher, &mut signals, &mut obstacles, board).await? {
        Look::Found(stream) => stream,
        Look::Stopped(signal) => return stopped(signal, is_well),
    };
    for warning in &stream.warnings {
        log::warn(format_args!("stream {}: {warning}", stream.name));
    }
    let (place, start) = match found {
        Some(found) => found,
        None => match first(&mut places, &mut signals, board, Some(&mut obstacles)).await? {
            Look::Found(first) => first,
            Look::Stopped(signal) => return stopped(signal, is_well),
        },
    };
    receipt.position = start.position;
    if plan.checkpoint.is_some() && saved.is_none() && !plan.from_start {
        let input = place.input(&client);
        tokio::select! {
            signal = signals.next() => return stopped(signal, is_well),
            checked = fresh_start::check(plan, &client, &input) => checked?,
        }
    }
    if let Some(checkpoint) = &mut checkpoint {
        checkpoint.created = stream.created.clone();
    }

    let start = Start { read_from: opening::read_from(plan, saved.as_ref(), &stream), ..start };
    let mapper = opening::mapper(plan, place.input(&client))?;
    let pipeline = Pipeline::new(mapper, opening::pipeline_options(plan), start);
    let mut store = Store { checkpoint, dead_letter, place };
    if saved.is_none() || !store.place.is_known() {
        // A crash before the first commit is then no lost checkpoint, and what is sent before that keeps its ids.
        store.save(&pipeline.start_commit())?;
    }
    let mut feed = Feed {
        plan,
        places,
        client,
        publisher,
        pipeline,
        store: Some(store),
        committing: None,
        outcomes: Vec::with_capacity(plan.in_flight.events_max.min(65_536)),
        signals,
        obstacles,
        board: board.clone(),
        progress: Progress::new(plan.quiet),
        input_len: None,
        stopping: None,
        look_at: tokio::time::Instant::now(),
        warned: false,
        backpressure: Duration::ZERO,
    };
    let result = feed_all(&mut feed, start, receipt).await;
    feed.account(receipt);
    feed.obstacles.look();
    feed.progress.clear();
    result
}

async fn feed_all(feed: &mut Feed<'_>, mut start: Start, receipt: &mut Receipt) -> Result<Finish, Failure> {
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
    if feed.plan.source.strict && feed.pipeline.counts().dead > 0 {
        let dead = feed.pipeline.counts().dead;
        return Err(Failure::new(Code::Data, "dead_letters", format!("{dead} events are dead letters")));
    }
    Ok(Finish::Done)
}

/// What is read first. To open a named pipe is to wait for its writer, and a file that is followed may come late.
async fn first(
    places: &mut Places,
    signals: &mut Signals,
    board: &Board,
    mut obstacles: Option<&mut Obstacles>,
) -> Result<Look<(Place, Start)>, Failure> {
    let mut next = std::pin::pin!(places.next());
    loop {
        tokio::select! {
            signal = signals.next() => return Ok(Look::Stopped(signal)),
            first = &mut next => return Ok(Look::Found(first?.expect("there is always something to read first"))),
            () = sleep(LOOK) => {
                if let Some(obstacles) = &mut obstacles {
                    obstacles.look();
                }
                board.show(|status| {
                    if let Some(obstacles) = &obstacles {
                        // The stream is verified: a file to follow may come whenever it likes.
                        status.state = State::Running;
                        obstacles.show(&mut status.sinks[0]);
                    }
                });
            }
        }
    }
}

/// How a run ends that a signal has stopped before it read anything.
fn stopped(signal: u8, is_well: bool) -> Result<Finish, Failure> {
    if is_well { Ok(Finish::Stopped) } else { Err(verdict::of_signal(signal)) }
}

/// Waits for the stream to be looked at: for as long as it takes, or the plan allows.
async fn verified(
    plan: &Plan,
    publisher: &Publisher,
    signals: &mut Signals,
    obstacles: &mut Obstacles,
    board: &Board,
) -> Result<Look<StreamInfo>, Failure> {
    let began = Instant::now();
    loop {
        let look = tokio::time::Instant::now() + LOOK;
        tokio::select! {
            signal = signals.next() => return Ok(Look::Stopped(signal)),
            found = publisher.verified() => {
                obstacles.look();
                return match found {
                    Ok(Some(stream)) => Ok(Look::Found(stream)),
                    Ok(None) => Err(Failure::new(Code::Config, "no_stream", "no stream is named")),
                    Err(error) => Err(verdict::of_publisher(&error, the_sink(plan))),
                };
            }
            () = sleep_until(look) => {
                obstacles.look();
                board.show(|status| obstacles.show(&mut status.sinks[0]));
            }
        }
        if the_sink(plan).nats.retry.elapsed_max.is_some_and(|max| began.elapsed() >= max) {
            let told = obstacles.told().map(|told| format!(": {told}")).unwrap_or_default();
            let message = format!("no server within {} s{told}", began.elapsed().as_secs());
            return Err(Failure::new(Code::Unavailable, "unavailable", message));
        }
    }
}
