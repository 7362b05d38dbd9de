//! The run loop: lines to the pipelines, messages to the outlets, answers back, commits to disk. No sink's stall holds
//! another one up.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use natsink::config::Plan;
use natsink::io::{Line, Source};
use natsink::jetstream::{Outcome, Rejection};
use natsink::sink::{FanOut, FanOutCommit};
use natsink::time::Instant;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::connections::Connections;
use super::exit::Failure;
use super::lane::Lane;
use super::log;
use super::outlet::Outlet;
use super::outlet_core::Confirmed;
use super::places::Places;
use super::progress::Progress;
use super::receipt::Receipt;
use super::sent::Sent;
use super::signals::Signals;
use super::status::Board;
use super::store::Store;
use super::verdict;

/// Messages handed over before the driver gets its turn: about one write's worth.
const BURST: usize = 128;

/// A run under way.
pub(crate) struct Feed<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) places: Places,
    /// A number that no other run has.
    pub(crate) run: u64,
    /// The moment that all times of records count from.
    pub(crate) epoch: std::time::Instant,
    pub(crate) connections: Connections,
    /// The sinks, in the order of the plan.
    pub(crate) lanes: Vec<Lane<'a>>,
    pub(crate) fan_out: FanOut,
    /// The files; away while a commit is under way.
    pub(crate) store: Option<Store>,
    pub(crate) committing: Option<JoinHandle<Saved>>,
    pub(crate) signals: Signals,
    pub(crate) board: Board,
    pub(crate) progress: Progress,
    pub(crate) input_len: Option<u64>,
    pub(crate) stopping: Option<Stopping>,
    /// Until when sinks that nobody waits for are given time at the end of an input.
    pub(crate) grace: Option<tokio::time::Instant>,
    /// When what the links and the counts have to tell is looked at next.
    pub(crate) look_at: tokio::time::Instant,
    /// How long reading was held up by full windows.
    pub(crate) backpressure: Duration,
}

/// A run that reads and sends no more, and waits for what is in flight.
pub(crate) struct Stopping {
    pub(super) until: tokio::time::Instant,
    pub(super) signal: Option<u8>,
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
    /// Every window is full.
    Window,
    /// Nothing to send.
    Lines,
}

/// A commit that came back.
pub(crate) type Saved = (Store, FanOutCommit, Result<(), Failure>);

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
            if let Some(failure) = self.fatal() {
                self.finish(false).await?;
                return Err(failure);
            }
            if self.stop().is_some() {
                self.begin_stopping(None);
            }
            if self.has_stopped() {
                self.finish(false).await?;
                return match (self.stop(), end) {
                    (Some(stop), _) => Err(stop),
                    (None, Some(Err(failure))) => Err(failure),
                    (None, _) => Ok(Flow::Stopped),
                };
            }
            if end.is_some() && self.is_delivered() {
                self.finish(true).await?;
                return end.unwrap_or(Ok(())).map(|()| Flow::Ended);
            }
            match held {
                Held::No => self.give_way().await?,
                held => {
                    let is_full = held == Held::Window || !self.fan_out.has_room();
                    let began = is_full.then(std::time::Instant::now);
                    self.wait(source, held, &mut end).await?;
                    self.backpressure += began.map_or(Duration::ZERO, |began| began.elapsed());
                }
            }
        }
    }

    /// One turn without waiting.
    fn turn(&mut self, source: &mut Source) -> Result<Held, Failure> {
        self.take_answers();
        self.write_dead_letters()?;
        self.write_gaps(false)?;
        self.commit();
        if self.stopping.is_some() {
            return Ok(Held::Lines);
        }
        self.lanes.iter_mut().for_each(Lane::look_for_room);
        // What waits goes out first. Then each line goes out as it is read, and nothing is left behind it.
        let mut may_wait = true;
        for _ in 0..BURST {
            may_wait = may_wait && self.send();
            if may_wait {
                continue;
            }
            if self.lanes.iter().all(|lane| lane.is_full) {
                return Ok(Held::Window);
            }
            if !self.fan_out.has_room() {
                return Ok(Held::Lines);
            }
            match source.line() {
                Some(Line::Record(record)) => self.fan_out.handle_record(record),
                Some(Line::Oversize(line)) => self.fan_out.handle_oversize(line),
                None => return Ok(Held::Lines),
            }
            self.send();
        }
        Ok(Held::No)
    }

    /// Hands each sink that has room its next message; whether any took one.
    fn send(&mut self) -> bool {
        let mut has_sent = false;
        for sink in 0..self.lanes.len() {
            let lane = &mut self.lanes[sink];
            if lane.is_full {
                continue;
            }
            let Some((tag, message)) = self.fan_out.poll_message(sink) else { continue };
            match lane.outlet.try_send(tag, &message) {
                Sent::Taken => {
                    lane.lines_out += usize::from(matches!(lane.outlet, Outlet::Lines(_)));
                    self.fan_out.handle_sent(sink, tag);
                }
                Sent::Rejected(rejection) => {
                    let now = self.now();
                    self.fan_out.handle_outcome(sink, tag, &Outcome::Rejected(rejection), now);
                }
                // Where it is over, the next turn finds out why.
                Sent::Full | Sent::Over => {
                    lane.handle_full();
                    continue;
                }
            }
            has_sent = true;
        }
        has_sent
    }

    /// Lets the driver have its turn. Sinks may take everything at once, so that there is never anything to wait for:
    /// signals and commits have theirs here.
    async fn give_way(&mut self) -> Result<(), Failure> {
        let Self { signals, committing, .. } = self;
        tokio::select! {
            biased;
            signal = signals.next() => self.handle_signal(signal),
            saved = joined(committing) => self.handle_saved(saved),
            () = tokio::task::yield_now() => Ok(()),
        }
    }

    /// Waits for whatever comes first.
    async fn wait(
        &mut self,
        source: &mut Source,
        held: Held,
        end: &mut Option<Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let timer = self.next_timer();
        let reading = held == Held::Lines && self.stopping.is_none() && end.is_none() && self.fan_out.has_room();
        let Self { lanes, signals, committing, .. } = self;
        tokio::select! {
            biased;
            signal = signals.next() => self.handle_signal(signal),
            saved = joined(committing) => self.handle_saved(saved),
            () = progress(lanes) => Ok(()),
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

    pub(super) fn take_answers(&mut self) {
        let is_ready = |lane: &Lane<'_>| matches!(&lane.outlet, Outlet::Core(core) if core.is_ready());
        if self.lanes.iter().any(is_ready) {
            // What the server complained of belongs to what it has read.
            self.hear();
        }
        let now = self.now();
        for sink in 0..self.lanes.len() {
            if self.lanes[sink].failure.is_none() {
                self.take_answers_of(sink, now);
            }
        }
    }

    fn take_answers_of(&mut self, sink: usize, now: Instant) {
        let lane = &mut self.lanes[sink];
        match &mut lane.outlet {
            Outlet::Stream(publisher) => {
                publisher.try_outcomes(&mut lane.outcomes);
            }
            Outlet::Lines(lines) => {
                lines.try_taken(&mut lane.taken);
                lane.lines_out -= lane.taken.len();
            }
            Outlet::Core(core) => match core.confirmed() {
                Some(Confirmed::Read { tags, denied }) => {
                    for tag in tags {
                        // Most runs have nothing that is denied, and no subject to look up.
                        let subject = if denied.is_empty() { None } else { self.fan_out.subject(sink, tag) };
                        match subject.filter(|subject| denied.iter().any(|denied| denied == subject)) {
                            None => lane.taken.push(tag),
                            Some(subject) => {
                                let subject = subject.to_owned();
                                lane.outcomes.push((tag, Outcome::Rejected(Rejection::PermissionDenied { subject })));
                            }
                        }
                    }
                }
                Some(Confirmed::Lost) => self.fan_out.handle_lost(sink),
                None => {}
            },
        }
        for tag in lane.taken.drain(..) {
            self.fan_out.handle_taken(sink, tag, now);
        }
        for (tag, outcome) in lane.outcomes.drain(..) {
            if let Outcome::Duplicate { seq, verified: false } = outcome
                && !std::mem::replace(&mut lane.warned, true)
            {
                log::warn(format_args!(
                    "a duplicate cannot be verified: the stream does not hold sequence {seq} any more, or may not be read; \
                     it is taken for one, and so are others like it"
                ));
            }
            self.fan_out.handle_outcome(sink, tag, &outcome, now);
        }
    }

    pub(super) fn write_dead_letters(&mut self) -> Result<(), Failure> {
        let now = self.now();
        let Some(store) = &mut self.store else { return Ok(()) };
        while let Some((sink, mut letter)) = self.fan_out.poll_dead_letter() {
            let lane = &self.lanes[sink];
            let name = lane.name(self.plan);
            if matches!(lane.outlet, Outlet::Lines(_)) {
                // Lines have no subject.
                letter.subject = None;
            }
            log::dead_letter(&letter, name);
            store.write(&letter, name)?;
            self.fan_out.handle_dead_letter_written(sink, letter.tag, now);
        }
        Ok(())
    }

    /// Writes down what sinks did not get. At the end of an input that is all that they lack.
    pub(super) fn write_gaps(&mut self, is_end: bool) -> Result<(), Failure> {
        let now = self.now();
        let Some(store) = &mut self.store else { return Ok(()) };
        while let Some((sink, gap)) = self.fan_out.poll_gap(is_end, now) {
            let id = &self.lanes[sink].plan.id;
            log::warn_with(
                format_args!("sink {id} did not get {} events: bytes {} to {}", gap.count, gap.from, gap.to),
                [
                    ("sink", id.as_str().into()),
                    ("from", gap.from.into()),
                    ("to", gap.to.into()),
                    ("count", gap.count.into()),
                ],
            );
            store.write_gap(&gap, id)?;
            self.fan_out.handle_gap_written(sink, now);
        }
        Ok(())
    }

    /// Begins a commit when one is due.
    fn commit(&mut self) {
        let now = self.now();
        let Some(store) = &self.store else { return };
        let Some(commit) = self.fan_out.poll_commit(now) else { return };
        if !store.is_lasting() {
            return self.fan_out.handle_committed(&commit);
        }
        let Some(mut store) = self.store.take() else { return };
        self.committing = Some(tokio::task::spawn_blocking(move || {
            let saved = store.save(&commit);
            (store, commit, saved)
        }));
    }

    pub(super) fn handle_saved(&mut self, (store, commit, saved): Saved) -> Result<(), Failure> {
        self.store = Some(store);
        saved?;
        self.fan_out.handle_committed(&commit);
        Ok(())
    }

    pub(super) fn now(&self) -> Instant {
        let micros = self.epoch.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// The commit that is under way, or never.
pub(super) async fn joined(committing: &mut Option<JoinHandle<Saved>>) -> Saved {
    let Some(handle) = committing else { return std::future::pending().await };
    let saved = handle.await;
    *committing = None;
    saved.expect("a commit does not panic, and is not cancelled")
}

/// Waits until any sink has answers, room or a failure. Dropped, nothing is lost.
async fn progress(lanes: &mut [Lane<'_>]) {
    poll_fn(|cx| {
        let mut is_ready = false;
        for lane in lanes.iter_mut().filter(|lane| lane.failure.is_none()) {
            is_ready |= lane.outlet.poll_progress(&mut lane.outcomes, cx).is_ready();
        }
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
