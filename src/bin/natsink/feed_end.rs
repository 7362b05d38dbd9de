//! How an input, or the run, comes to its end: what is still waited for, and what is left.

use std::time::Duration;

use natsink::io::Source;
use natsink::sink::Start;
use tokio::time::{sleep_until, timeout};

use super::exit::{Code, Failure, Finish};
use super::feed::{Feed, Stopping, joined};
use super::log;
use super::receipt::Receipt;
use super::verdict;

/// How long a commit that is under way when a run breaks off may take.
const COMMIT_GRACE: Duration = Duration::from_secs(1);

impl Feed<'_> {
    /// Writes down where the run begins: a crash before the first commit is then no lost checkpoint. Sinks that are over
    /// already take nothing.
    pub(crate) fn begin(&mut self, is_new: bool) -> Result<(), Failure> {
        self.name_streams();
        for sink in 0..self.lanes.len() {
            if let Some(failure) = self.lanes[sink].failure.clone()
                && !self.fan_out.handle_failed(sink)
            {
                return Err(failure);
            }
        }
        match &mut self.store {
            Some(store) if is_new => store.save(&self.fan_out.start_commit()),
            _ => Ok(()),
        }
    }

    /// Looks for sinks that are over. The failure of one without which the policy cannot be satisfied ends the run; any other
    /// is told of, and what that sink lacks is a gap.
    pub(super) fn fatal(&mut self) -> Option<Failure> {
        for sink in 0..self.lanes.len() {
            if self.lanes[sink].failure.is_some() {
                continue;
            }
            let stop = self.fan_out.sink(sink).stop().filter(|_| !self.fan_out.is_awaited(sink));
            let Some(failure) = self.lanes[sink].over().or_else(|| stop.map(verdict::of_event)) else { continue };
            let failure = failure.of_sink(self.lanes[sink].name(self.plan));
            if !self.fan_out.handle_failed(sink) {
                return Some(failure);
            }
            log::warn(format_args!("{failure}; the others go on, and what this sink lacks at the end is a gap"));
            self.lanes[sink].failure = Some(failure);
        }
        None
    }

    /// The event that stops the run: it can never be delivered as it is, and there is no place for dead letters.
    pub(super) fn stop(&self) -> Option<Failure> {
        let mut sinks = 0..self.lanes.len();
        sinks.find_map(|sink| {
            let stop = self.fan_out.sink(sink).stop().filter(|_| self.fan_out.is_awaited(sink))?;
            Some(verdict::of_event(stop).of_sink(self.lanes[sink].name(self.plan)))
        })
    }

    /// Whether a run that stops has waited long enough.
    pub(super) fn has_stopped(&self) -> bool {
        let Some(stopping) = &self.stopping else { return false };
        let is_idle = self.lanes.iter().all(|lane| lane.failure.is_some() || lane.in_flight() == 0);
        is_idle || stopping.until <= tokio::time::Instant::now()
    }

    /// Whether all that was read is delivered: the policy is satisfied, and the other sinks have it too or have had their
    /// time. What they lack then is a gap.
    pub(super) fn is_delivered(&mut self) -> bool {
        if !self.fan_out.is_settled() {
            return false;
        }
        let is_behind = |sink: &usize| self.lanes[*sink].failure.is_none() && !self.fan_out.sink(*sink).is_settled();
        let behind: Vec<usize> = (0..self.lanes.len()).filter(is_behind).collect();
        if !behind.is_empty() {
            let now = tokio::time::Instant::now();
            let patience = behind.iter().map(|sink| self.lanes[*sink].send_timeout()).max().unwrap_or_default();
            if now < *self.grace.get_or_insert(now + patience) {
                return false;
            }
        }
        self.grace = None;
        behind.into_iter().for_each(|sink| self.fan_out.give_up(sink));
        true
    }

    /// Writes down all that is settled, at the end of the run or, with all that sinks lack, of an input.
    pub(super) async fn finish(&mut self, is_end: bool) -> Result<(), Failure> {
        if self.committing.is_some() {
            let saved = joined(&mut self.committing).await;
            self.handle_saved(saved)?;
        }
        self.take_answers();
        self.write_dead_letters()?;
        self.write_gaps(is_end)?;
        self.name_streams();
        if is_end && self.places.is_end(self.fan_out.position()) {
            self.fan_out.handle_all_read(self.places.is_pipe());
        }
        let Some(store) = &mut self.store else { return Ok(()) };
        if let Some(commit) = self.fan_out.take_commit() {
            store.save(&commit)?;
            self.fan_out.handle_committed(&commit);
        }
        Ok(())
    }

    /// Waits a little for the commit that was under way when the run broke off: once it is on disk the next run starts
    /// there, and the receipt has to say so.
    pub(crate) async fn end_commit(&mut self) {
        if self.committing.is_none() {
            return;
        }
        if let Ok(saved) = timeout(COMMIT_GRACE, joined(&mut self.committing)).await
            && let Err(failure) = self.handle_saved(saved)
        {
            log::warn(failure);
        }
    }

    pub(super) fn handle_signal(&mut self, signal: u8) -> Result<(), Failure> {
        if self.stopping.as_ref().is_some_and(|stopping| stopping.signal.is_some()) {
            return Err(Failure::new(Code::Signal(signal), "aborted", format!("aborted by a second signal {signal}")));
        }
        log::info(format_args!("stopping: signal {signal}"));
        self.begin_stopping(Some(signal));
        Ok(())
    }

    pub(super) fn begin_stopping(&mut self, signal: Option<u8>) {
        let patience = self.lanes.iter().map(super::lane::Lane::send_timeout).max().unwrap_or_default();
        let until = tokio::time::Instant::now() + patience;
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
            Some(_) if !held => Ok(Finish::Unheld),
            _ => Ok(Finish::Stopped),
        }
    }

    /// Whether a signal has asked the run to stop.
    pub(crate) const fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Begins to read what the store's place names.
    pub(crate) fn source(&mut self, start: Start) -> Result<Source, Failure> {
        let store = self.store.as_ref().expect("no commit is under way between two inputs");
        store.place.source(self.plan, start, self.epoch)
    }

    /// Waits for the next place to read and goes on with it; `None` when there is none, or a signal came first.
    pub(crate) async fn next_place(&mut self, receipt: &mut Receipt) -> Result<Option<Start>, Failure> {
        self.places.handle_end(self.fan_out.position(), self.fan_out.lines());
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
            if let Some(failure) = self.fatal() {
                return Err(failure);
            }
        };
        self.fan_out.start_input(&place.input(self.run), start);
        if let Some(store) = &mut self.store {
            store.begin_place(place, self.run);
            // What is read from here on has the identity of this place: it must be known before anything is sent.
            store.save(&self.fan_out.start_commit())?;
        }
        Ok(Some(start))
    }
}
