//! The run loop: lines to the pipeline, messages to the publisher, outcomes back, commits to disk.

use std::time::Duration;

use natsink::config::Plan;
use natsink::io::{Line, Source};
use natsink::jetstream::{Outcome, SubmitError};
use natsink::session::LinkState;
use natsink::sink::{Commit, Pipeline, Start};
use natsink::time::Instant;
use natsink::{Client, Publisher};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::exit::{Code, Failure, Finish};
use super::log;
use super::obstacles::Obstacles;
use super::places::Places;
use super::progress::{Now, Progress};
use super::receipt::Receipt;
use super::signals::Signals;
use super::status::{Board, State, Times};
use super::store::Store;
use super::stream_sink::the_sink;
use super::verdict;

/// Messages handed over before the driver gets its turn: about one write's worth.
const BURST: usize = 128;
/// Between two looks at what the link has to tell.
const LOOK: Duration = Duration::from_millis(200);

/// A run under way.
pub(crate) struct Feed<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) places: Places,
    pub(crate) client: Client,
    pub(crate) publisher: Publisher,
    pub(crate) pipeline: Pipeline,
    /// The files; away while a commit is under way.
    pub(crate) store: Option<Store>,
    pub(crate) committing: Option<JoinHandle<Saved>>,
    pub(crate) outcomes: Vec<(u64, Outcome)>,
    pub(crate) signals: Signals,
    pub(crate) obstacles: Obstacles,
    pub(crate) board: Board,
    pub(crate) progress: Progress,
    pub(crate) input_len: Option<u64>,
    pub(crate) stopping: Option<Stopping>,
    /// When what the link and the counts have to tell is looked at next.
    pub(crate) look_at: tokio::time::Instant,
    /// Whether it was told that a duplicate could not be verified.
    pub(crate) warned: bool,
    /// How long reading was held up by a full window.
    pub(crate) backpressure: Duration,
}

/// A run that reads and sends no more, and waits for what is in flight.
pub(crate) struct Stopping {
    until: tokio::time::Instant,
    signal: Option<u8>,
}

/// How an input ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flow {
    /// All of it is settled.
    Ended,
    /// A signal stopped it.
    Stopped,
}

/// What keeps a turn of the loop from going on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Held {
    /// Nothing: there is more to do.
    No,
    /// The window is full.
    Window,
    /// Nothing to send.
    Lines,
}

impl Feed<'_> {
    /// Delivers one input, to its end or to where it stops.
    pub(crate) async fn run(&mut self, source: &mut Source, receipt: &mut Receipt) -> Result<Flow, Failure> {
        // The end, and why it came where it is none: what was read before is delivered all the same.
        let mut end = None;
        loop {
            if self.look_at <= tokio::time::Instant::now() {
                self.look(receipt);
            }
            let held = self.turn(source)?;
            if let Some(failure) = self.publisher.failure() {
                self.finish().await?;
                return Err(verdict::of_publisher(&failure, the_sink(self.plan)));
            }
            if self.pipeline.stop().is_some() {
                self.begin_stopping(None);
            }
            if let Some(stopping) = &self.stopping
                && (self.publisher.in_flight() == 0 || stopping.until <= tokio::time::Instant::now())
            {
                self.finish().await?;
                return match (self.pipeline.stop(), end) {
                    (Some(stop), _) => Err(verdict::of_event(stop)),
                    (None, Some(Err(failure))) => Err(failure),
                    (None, _) => Ok(Flow::Stopped),
                };
            }
            if self.pipeline.is_settled()
                && let Some(end) = end.take()
            {
                self.finish().await?;
                return end.map(|()| Flow::Ended);
            }
            match held {
                Held::No => tokio::task::yield_now().await,
                held => {
                    let is_full = held == Held::Window || !self.pipeline.has_room();
                    let began = is_full.then(std::time::Instant::now);
                    self.wait(source, held, &mut end).await?;
                    self.backpressure += began.map_or(Duration::ZERO, |began| began.elapsed());
                }
            }
        }
    }

    /// One turn without waiting.
    fn turn(&mut self, source: &mut Source) -> Result<Held, Failure> {
        self.take_outcomes();
        self.write_dead_letters()?;
        self.commit();
        if self.stopping.is_some() {
            return Ok(Held::Lines);
        }
        for _ in 0..BURST {
            if let Some((tag, message)) = self.pipeline.poll_message() {
                let sent = self.publisher.try_send(tag, &message);
                if sent == Err(SubmitError::Full) {
                    return Ok(Held::Window);
                }
                self.handle_sent(tag, sent);
                continue;
            }
            if self.pipeline.stop().is_some() || !self.pipeline.has_room() {
                return Ok(Held::Lines);
            }
            match source.line() {
                Some(Line::Record(record)) => self.pipeline.handle_record(record),
                Some(Line::Oversize(line)) => self.pipeline.handle_oversize(line),
                None => return Ok(Held::Lines),
            }
        }
        Ok(Held::No)
    }

    /// Waits for whatever comes first.
    async fn wait(
        &mut self,
        source: &mut Source,
        held: Held,
        end: &mut Option<Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let timer = self.next_timer();
        let reading = held == Held::Lines && self.stopping.is_none() && end.is_none() && self.pipeline.has_room();
        let answers = held == Held::Lines && self.publisher.in_flight() > 0;
        let Self { publisher, pipeline, outcomes, signals, committing, .. } = self;
        tokio::select! {
            biased;
            signal = signals.next() => self.handle_signal(signal),
            saved = joined(committing) => self.handle_saved(saved),
            sent = send(publisher, pipeline), if held == Held::Window => {
                if let Some((tag, sent)) = sent {
                    self.handle_sent(tag, sent);
                }
                Ok(())
            }
            _ = publisher.outcomes(outcomes), if answers => Ok(()),
            more = source.fill(), if reading => {
                *end = match more {
                    Ok(true) => None,
                    Ok(false) => Some(Ok(())),
                    Err(error) => Some(Err(verdict::of_source(&error))),
                };
                Ok(())
            }
            () = sleep_until(timer) => Ok(()),
        }
    }

    fn handle_sent(&mut self, tag: u64, sent: Result<(), SubmitError>) {
        match sent {
            Ok(()) => self.pipeline.handle_sent(tag),
            Err(SubmitError::Rejected(rejection)) => {
                let now = self.now();
                self.pipeline.handle_outcome(tag, &Outcome::Rejected(rejection), now);
            }
            // The publisher is over; the next turn finds out why.
            Err(_) => {}
        }
    }

    fn take_outcomes(&mut self) {
        self.publisher.try_outcomes(&mut self.outcomes);
        let now = self.now();
        for (tag, outcome) in self.outcomes.drain(..) {
            if let Outcome::Duplicate { seq, verified: false } = outcome
                && !std::mem::replace(&mut self.warned, true)
            {
                log::warn(format_args!(
                    "a duplicate cannot be verified: the stream does not hold sequence {seq} any more, or may not be read; \
                     it is taken for one, and so are others like it"
                ));
            }
            self.pipeline.handle_outcome(tag, &outcome, now);
        }
    }

    fn write_dead_letters(&mut self) -> Result<(), Failure> {
        let now = self.now();
        let Some(store) = &mut self.store else { return Ok(()) };
        while let Some(letter) = self.pipeline.poll_dead_letter() {
            log::dead_letter(&letter, None);
            store.write(&letter)?;
            self.pipeline.handle_dead_letter_written(letter.tag, now);
        }
        Ok(())
    }

    /// Begins a commit when one is due.
    fn commit(&mut self) {
        let now = self.now();
        let Some(store) = &self.store else { return };
        let Some(commit) = self.pipeline.poll_commit(now) else { return };
        if !store.is_lasting() {
            return self.pipeline.handle_committed(&commit);
        }
        let Some(mut store) = self.store.take() else { return };
        self.committing = Some(tokio::task::spawn_blocking(move || {
            let saved = store.save(&commit);
            (store, commit, saved)
        }));
    }

    fn handle_saved(&mut self, (store, commit, saved): Saved) -> Result<(), Failure> {
        self.store = Some(store);
        saved?;
        self.pipeline.handle_committed(&commit);
        Ok(())
    }

    /// Writes down all that is settled, at the end of an input or of the run.
    async fn finish(&mut self) -> Result<(), Failure> {
        if self.committing.is_some() {
            let saved = joined(&mut self.committing).await;
            self.handle_saved(saved)?;
        }
        self.take_outcomes();
        self.write_dead_letters()?;
        let Some(store) = &mut self.store else { return Ok(()) };
        if let Some(commit) = self.pipeline.take_commit() {
            store.save(&commit)?;
            self.pipeline.handle_committed(&commit);
        }
        Ok(())
    }

    fn handle_signal(&mut self, signal: u8) -> Result<(), Failure> {
        if self.stopping.as_ref().is_some_and(|stopping| stopping.signal.is_some()) {
            return Err(Failure::new(Code::Signal(signal), "aborted", format!("aborted by a second signal {signal}")));
        }
        log::info(format_args!("stopping: signal {signal}"));
        self.begin_stopping(Some(signal));
        Ok(())
    }

    fn begin_stopping(&mut self, signal: Option<u8>) {
        let until = tokio::time::Instant::now() + the_sink(self.plan).nats.send_timeout;
        match &mut self.stopping {
            Some(stopping) => stopping.signal = stopping.signal.or(signal),
            none => *none = Some(Stopping { until, signal }),
        }
    }

    /// How a run ends that a signal has stopped.
    pub(crate) fn stopped(&self) -> Result<Finish, Failure> {
        let checkpoint = self.store.as_ref().and_then(|store| store.checkpoint.as_ref());
        let held = checkpoint.is_some_and(|checkpoint| checkpoint.holds);
        match self.stopping.as_ref().and_then(|stopping| stopping.signal) {
            Some(signal) if !held && !self.places.is_endless() => {
                let message = format!("stopped by signal {signal}; no checkpoint holds the position");
                Err(Failure::new(Code::Signal(signal), "signal", message))
            }
            _ => Ok(Finish::Stopped),
        }
    }

    /// Begins to read what the store's place names.
    pub(crate) fn source(&mut self, start: Start) -> Result<Source, Failure> {
        let store = self.store.as_ref().expect("no commit is under way between two inputs");
        store.place.source(self.plan, start, self.client.started())
    }

    /// Waits for the next place to read and goes on with it; `None` when there is none, or a signal came first.
    pub(crate) async fn next_place(&mut self, receipt: &mut Receipt) -> Result<Option<Start>, Failure> {
        self.places.handle_end(self.pipeline.position(), self.pipeline.lines());
        let mut next = std::pin::pin!(self.places.next());
        let (place, start) = loop {
            let look_at = self.look_at;
            tokio::select! {
                signal = self.signals.next() => {
                    self.handle_signal(signal)?;
                    return Ok(None);
                }
                next = &mut next => match next? {
                    Some(next) => break next,
                    None => return Ok(None),
                },
                () = sleep_until(look_at) => self.look(receipt),
            }
            if let Some(failure) = self.publisher.failure() {
                return Err(verdict::of_publisher(&failure, the_sink(self.plan)));
            }
        };
        // An earlier run may have sent some of it already.
        let start = Start { read_from: self.pipeline.start_commit().read_from, ..start };
        self.pipeline.start_input(&place.input(&self.client), start);
        if let Some(store) = &mut self.store {
            store.place = place;
            // What is read from here on has the identity of this place: it must be known before anything is sent.
            store.save(&self.pipeline.start_commit())?;
        }
        Ok(Some(start))
    }

    /// Whether a signal has asked the run to stop.
    pub(crate) const fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    fn look(&mut self, receipt: &mut Receipt) {
        self.look_at = tokio::time::Instant::now() + LOOK;
        self.obstacles.look();
        let position = self.pipeline.position();
        self.input_len = self.places.lag(position).map(|lag| position + lag);
        self.show();
        if self.progress.due().is_some() {
            self.account(receipt);
            let now = Now {
                connected: self.client.link_state() == LinkState::Up,
                in_flight: self.publisher.in_flight() as u64,
                input_len: self.input_len,
            };
            self.progress.draw(receipt, self.pipeline.latency(), now);
        }
    }

    /// Shows how the run goes.
    fn show(&self) {
        let (counts, latency) = (self.pipeline.counts(), Times::from(self.pipeline.latency()));
        let (position, committed) = (self.pipeline.position(), self.pipeline.committed_position());
        self.board.show(|status| {
            status.state = if self.is_stopping() { State::Stopping } else { State::Running };
            status.saw(counts, position, committed);
            status.backpressure = self.backpressure;
            status.input.len = self.input_len;
            status.stage.clone_from(&latency);
            let is_moving = status.is_moving();
            let sink = &mut status.sinks[0];
            (sink.counts, sink.latency, sink.position) = (counts, latency, position);
            self.obstacles.show(sink);
            if is_moving && sink.up && sink.verified {
                sink.obstacle = None;
            }
        });
    }

    /// Brings the receipt up to date.
    pub(crate) fn account(&mut self, receipt: &mut Receipt) {
        let counts = self.pipeline.counts();
        receipt.read = counts.read;
        receipt.stored = counts.stored;
        receipt.duplicate = counts.duplicate;
        receipt.unverified = counts.unverified;
        receipt.dead = counts.dead;
        receipt.skipped = counts.skipped;
        receipt.inversions = counts.inversions;
        receipt.bytes = counts.bytes;
        for seq in [counts.first_seq, counts.last_seq] {
            if seq > 0 {
                receipt.saw_seq(seq);
            }
        }
        receipt.replayed = self.publisher.statistics().replayed;
        receipt.reconnects = self.client.statistics().connects.saturating_sub(1);
        // Where there is a checkpoint, the next run starts where that says.
        let kept = self.plan.checkpoint.is_some();
        receipt.position = if kept { self.pipeline.committed_position() } else { self.pipeline.position() };
        receipt.set_latency(self.pipeline.latency());
    }

    fn next_timer(&self) -> tokio::time::Instant {
        let mut timer = self.look_at;
        if let Some(due) = self.pipeline.poll_timeout() {
            let due = self.client.started() + due.since(Instant::ZERO);
            timer = timer.min(due.into());
        }
        if let Some(stopping) = &self.stopping {
            timer = timer.min(stopping.until);
        }
        timer
    }

    fn now(&self) -> Instant {
        let micros = self.client.started().elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// A commit that came back.
type Saved = (Store, Commit, Result<(), Failure>);

/// The commit that is under way, or never.
async fn joined(committing: &mut Option<JoinHandle<Saved>>) -> Saved {
    let Some(handle) = committing else { return std::future::pending().await };
    let saved = handle.await;
    *committing = None;
    saved.expect("a commit does not panic, and is not cancelled")
}

/// Waits in line with the message that found the window full. Dropped, nothing has happened.
async fn send(publisher: &Publisher, pipeline: &mut Pipeline) -> Option<(u64, Result<(), SubmitError>)> {
    let (tag, message) = pipeline.poll_message()?;
    let sent = publisher.send(tag, &message).await;
    Some((tag, sent))
}
