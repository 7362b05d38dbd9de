//! One sink of a run: its plan, where its messages go, and what came back that is not looked at yet.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{future::Future, pin::pin};

use natsink::Client;
use natsink::config::{Delivery, Plan, SinkPlan, Target};
use natsink::io::{LineOutput, SinkPosition};
use natsink::jetstream::{Outcome, PublisherError};
use natsink::session::{LinkNotice, LinkState};

use super::connections::Connections;
use super::exit::{Code, Failure};
use super::obstacles::Obstacles;
use super::outlet::Outlet;
use super::outlet_core::CoreOutlet;
use super::status::SinkStatus;
use super::stream_sink::StreamSink;
use super::{log, opening, verdict};

/// How long a sink without a time of its own may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Messages that must be answered before a full window is filled up, where it holds that many.
const REFILL: usize = 256;

/// One sink of a run.
pub(crate) struct Lane<'a> {
    pub(crate) plan: &'a SinkPlan,
    pub(crate) outlet: Outlet,
    /// What it is, where it delivers into a stream.
    pub(crate) stream: Option<StreamSink<'a>>,
    /// Its connection and the number of it.
    pub(crate) connection: Option<(usize, Client)>,
    pub(crate) obstacles: Obstacles,
    pub(crate) outcomes: Vec<(u64, Outcome)>,
    pub(crate) taken: Vec<u64>,
    /// Lines that a file or a pipe has not taken yet.
    pub(crate) lines_out: usize,
    /// It was ready to take messages at least once.
    pub(crate) is_ready: bool,
    /// It took no more, and is not asked until some of what is out is answered.
    pub(crate) is_full: bool,
    /// How many messages were out when it took no more.
    full_at: usize,
    /// Why it will take nothing more.
    pub(crate) failure: Option<Failure>,
    /// Why it has waited long enough for a server.
    pub(crate) exhausted: Option<Failure>,
    /// Where it stood last, and since when.
    pub(crate) moved: (u64, Instant),
    /// Whether the checkpoint told of it.
    pub(crate) is_known: bool,
    /// Whether its stream was seen.
    has_found: bool,
    /// When its stream was made; empty until it was seen.
    pub(crate) created: String,
    /// Whether it was told that a duplicate could not be verified.
    pub(crate) warned: bool,
    /// Whether it was told that it does not get everything.
    pub(crate) told_missing: bool,
}

impl<'a> Lane<'a> {
    /// Opens what can be opened without waiting.
    pub(crate) fn open(
        plan: &'a Plan,
        sink: &'a SinkPlan,
        known: Option<&SinkPosition>,
        connections: &mut Connections,
    ) -> Result<Self, Failure> {
        let stream = StreamSink::of(sink);
        let (outlet, connection) = match &sink.to {
            Target::Nats(nats) => {
                let (number, client) = connections.open(nats)?;
                let outlet = match stream {
                    Some(stream) => {
                        let options = opening::publisher_options(plan, stream, known);
                        let made = client.publisher(options);
                        Outlet::Stream(
                            made.map_err(|error| Failure::new(Code::Config, "publisher", error.to_string()))?,
                        )
                    }
                    None => {
                        log::info(format_args!(
                            "sink {}: no stream is named, so events go to core NATS, at most once beyond the server's socket",
                            sink.id
                        ));
                        Outlet::Core(Box::new(CoreOutlet::new(client.clone(), plan.in_flight, nats.batch_timeout)))
                    }
                };
                (outlet, Some((number, client)))
            }
            Target::Stdout => (Outlet::Lines(LineOutput::stdout().map_err(|error| verdict::of_output(&error))?), None),
            Target::File { path } => {
                (Outlet::Lines(LineOutput::file(path).map_err(|error| verdict::of_output(&error))?), None)
            }
            other => return Err(Failure::new(Code::Config, "not_in_this_version", format!("no such sink: {other:?}"))),
        };
        Ok(Self {
            plan: sink,
            outlet,
            stream,
            connection,
            obstacles: Obstacles::default(),
            outcomes: Vec::new(),
            taken: Vec::new(),
            lines_out: 0,
            is_ready: false,
            is_full: false,
            full_at: 0,
            failure: None,
            exhausted: None,
            moved: (0, Instant::now()),
            is_known: known.is_some(),
            has_found: false,
            created: known.map(|known| known.created.clone()).unwrap_or_default(),
            warned: false,
            told_missing: false,
        })
    }

    /// Its name, where there are several sinks to be told apart.
    pub(crate) fn name(&self, plan: &Plan) -> Option<&'a str> {
        (plan.sinks.len() > 1).then_some(self.plan.id.as_str())
    }

    /// Waits until it can take messages: its stream was looked at, or a server is there.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match &self.outlet {
            Outlet::Stream(publisher) => pin!(publisher.verified()).poll(cx).map(|found| match found {
                Ok(_) => Ok(()),
                Err(error) => Err(self.of_publisher(&error)),
            }),
            Outlet::Core(_) => {
                let Some((_, client)) = &self.connection else { return Poll::Ready(Ok(())) };
                match client.link_state() {
                    LinkState::Up => Poll::Ready(Ok(())),
                    LinkState::Closed(reason) => Poll::Ready(Err(verdict::of_close(&reason))),
                    state => {
                        // Whatever it changes to is looked at when this is asked again.
                        if pin!(client.link_changed(&state)).poll(cx).is_ready() {
                            cx.waker().wake_by_ref();
                        }
                        Poll::Pending
                    }
                }
            }
            Outlet::Lines(_) => Poll::Ready(Ok(())),
        }
    }

    /// Takes note of its stream, once it was seen for the first time: where that ended before anything was sent.
    pub(crate) fn find_stream(&mut self) -> Option<u64> {
        let Outlet::Stream(publisher) = &self.outlet else { return None };
        let stream = publisher.stream().filter(|_| !self.has_found)?;
        (self.has_found, self.is_ready) = (true, true);
        self.created.clone_from(&stream.created);
        for warning in &stream.warnings {
            log::warn(format_args!("stream {}: {warning}", stream.name));
        }
        publisher.began_after()
    }

    /// Takes note of what its link and its outlet have to tell.
    pub(crate) fn hear(&mut self, notices: &[LinkNotice]) {
        if let Outlet::Core(core) = &mut self.outlet {
            core.hear(notices);
        }
        self.obstacles.look(notices, &self.outlet);
    }

    /// Puts what is known of it where it is shown.
    pub(crate) fn show(&self, status: &mut SinkStatus) {
        let is_linked = self.connection.as_ref().is_none_or(|(_, client)| client.link_state() == LinkState::Up);
        status.up = is_linked && self.failure.is_none();
        status.verified = status.up && (self.stream.is_none() || self.obstacles.verified);
        status.server.clone_from(&self.obstacles.server);
        status.obstacle =
            self.failure.as_ref().map(|failure| failure.message.clone()).or_else(|| self.obstacles.told());
        status.in_flight = self.in_flight() as u64;
        status.replayed = self.replayed();
        status.reconnects = self.reconnects();
        status.errors.extend(self.obstacles.errors.iter());
    }

    /// Messages that were written again.
    pub(crate) fn replayed(&self) -> u64 {
        match &self.outlet {
            Outlet::Stream(publisher) => publisher.statistics().replayed,
            Outlet::Core(core) => core.replayed(),
            Outlet::Lines(_) => 0,
        }
    }

    /// Links after the first.
    pub(crate) fn reconnects(&self) -> u64 {
        let client = self.connection.as_ref().map(|(_, client)| client);
        client.map_or(0, |client| client.statistics().connects.saturating_sub(1))
    }

    /// Why the outlet is over, if it is.
    pub(crate) fn over(&self) -> Option<Failure> {
        if self.exhausted.is_some() {
            return self.exhausted.clone();
        }
        match &self.outlet {
            Outlet::Stream(publisher) => publisher.failure().map(|error| self.of_publisher(&error)),
            Outlet::Core(_) => match self.connection.as_ref()?.1.link_state() {
                LinkState::Closed(reason) => Some(verdict::of_close(&reason)),
                _ => None,
            },
            Outlet::Lines(lines) => lines.failure().map(verdict::of_output),
        }
    }

    /// Messages that are out and not answered.
    pub(crate) fn in_flight(&self) -> usize {
        match &self.outlet {
            Outlet::Stream(publisher) => publisher.in_flight(),
            Outlet::Core(core) => core.in_flight(),
            Outlet::Lines(_) => self.lines_out,
        }
    }

    /// It took no more.
    pub(crate) fn handle_full(&mut self) {
        (self.is_full, self.full_at) = (true, self.in_flight());
    }

    /// Looks whether it may take more by now. A window is filled up in large parts: each costs a write here, and a read there.
    pub(crate) fn look_for_room(&mut self) {
        let part = REFILL.min(self.full_at / 4);
        self.is_full = self.is_full && self.in_flight() + part > self.full_at;
    }

    /// How long it is given to end.
    pub(crate) fn send_timeout(&self) -> Duration {
        match &self.plan.to {
            Target::Nats(nats) => nats.send_timeout,
            _ => PATIENCE,
        }
    }

    /// How long nothing may move while something is pending, where nobody else watches that.
    pub(crate) fn elapsed_max(&self) -> Option<Duration> {
        match &self.plan.to {
            Target::Nats(nats) if nats.delivery == Delivery::Core || !self.is_ready => nats.retry.elapsed_max,
            _ => None,
        }
    }

    fn of_publisher(&self, error: &PublisherError) -> Failure {
        match self.stream {
            Some(stream) => verdict::of_publisher(error, stream),
            None => Failure::new(Code::Unavailable, "closed", error.to_string()),
        }
    }
}
