//! What a run tells of itself while it goes on: plain figures, written by the run loop, read by whoever asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use natsink::config::{Delivery, Plan, SinkPlan, Target};
use natsink::sink::{CommitPolicy, Counts, Histogram};
use serde::Serialize;

use super::notify::Notify;
use super::receipt::micros_of;

/// Seconds of which the rate is kept.
pub(crate) const RATES_MAX: usize = 60;
/// The shortest time without a turn of the run loop that is called a standstill.
const TURN_MAX: Duration = Duration::from_secs(10);
/// The watchdog where no sink has a timeout of its own.
const WATCHDOG_DEFAULT: Duration = Duration::from_secs(30);

/// Kinds of errors that are counted, so that each is there before its first.
pub(crate) const ERROR_KINDS: [&str; 9] = [
    "link_lost",
    "connect_failed",
    "auth",
    "tls",
    "server_error",
    "no_responders",
    "refused",
    "ack_timeout",
    "overtaken",
];

/// The figures, shared between the run loop and those who show them.
#[derive(Clone)]
pub(crate) struct Board {
    status: Arc<Mutex<Status>>,
    manager: Arc<Mutex<Notify>>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Nothing is read yet: the input, a server or a stream is waited for.
    Starting,
    /// Events are read and delivered.
    Running,
    /// Nothing more is read; what is in flight is waited for.
    Stopping,
}

/// All that a run tells.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) pipeline: String,
    policy: CommitPolicy,
    pub(crate) state: State,
    pub(crate) started: Instant,
    pub(crate) started_at: SystemTime,
    /// When the run loop wrote here last.
    pub(crate) looked: Instant,
    /// What became of all that was read, as the commit policy sees it.
    pub(crate) counts: Counts,
    pub(crate) input: InputStatus,
    pub(crate) checkpoint: CheckpointStatus,
    /// Since when something has been pending and nothing was settled.
    pub(crate) stuck_since: Option<Instant>,
    /// How long that may last.
    pub(crate) watchdog: Duration,
    /// How long reading was held up by a full window.
    pub(crate) backpressure: Duration,
    pub(crate) rate: Rate,
    pub(crate) stage: Times,
    pub(crate) sinks: Vec<SinkStatus>,
}

/// How far the input is read and settled, bytes from its start.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct InputStatus {
    /// Everything before it is settled.
    pub(crate) position: u64,
    /// How long the input is, where that can be known.
    pub(crate) len: Option<u64>,
}

/// What a restart would begin at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CheckpointStatus {
    /// Whether there is a file.
    pub(crate) is_kept: bool,
    pub(crate) position: u64,
    /// When it moved last in this run.
    pub(crate) moved: Option<Instant>,
}

/// One sink.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SinkStatus {
    pub(crate) id: String,
    /// `nats`, `stdout` or `file`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) stream: Option<String>,
    pub(crate) required: bool,
    /// The server it is connected to.
    pub(crate) server: Option<String>,
    /// Whether it can send now: a link, or a file that takes lines.
    pub(crate) up: bool,
    /// Whether the stream was looked at and is as it should be, over this link.
    pub(crate) verified: bool,
    #[serde(skip)]
    pub(crate) counts: Counts,
    pub(crate) in_flight: u64,
    /// Everything before it is settled here.
    pub(crate) position: u64,
    pub(crate) replayed: u64,
    pub(crate) reconnects: u64,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    /// What stands in its way now.
    pub(crate) obstacle: Option<String>,
    pub(crate) latency: Times,
}

/// Times, as a histogram has them at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Times {
    #[serde(skip)]
    pub(crate) within: [(Duration, u64); 13],
    pub(crate) count: u64,
    #[serde(skip)]
    pub(crate) sum: Duration,
    pub(crate) p50_us: Option<u64>,
    pub(crate) p99_us: Option<u64>,
    pub(crate) p999_us: Option<u64>,
    pub(crate) max_us: Option<u64>,
}

/// Events settled in each of the last seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rate {
    /// The last second is the last one.
    pub(crate) seconds: Vec<u64>,
    settled: u64,
    since: Option<Instant>,
}

impl Board {
    pub(crate) fn new(plan: &Plan) -> Self {
        let (status, manager) = (Status::new(plan), Notify::from_env());
        Self { status: Arc::new(Mutex::new(status)), manager: Arc::new(Mutex::new(manager)) }
    }

    /// Writes figures down, and tells the service manager how it goes. The run loop does so at least five times a second;
    /// that it does is the sign of its life.
    pub(crate) fn show(&self, write: impl FnOnce(&mut Status)) {
        let now = Instant::now();
        let mut status = self.lock();
        status.looked = now;
        write(&mut status);
        let mut manager = self.manager();
        match status.state {
            State::Starting => {}
            State::Running => manager.ready(),
            State::Stopping => manager.stopping(),
        }
        manager.turned(now, || status.line(now));
    }

    /// The run is over, however it ended.
    pub(crate) fn close(&self) {
        self.lock().state = State::Stopping;
        self.manager().stopping();
    }

    /// Credentials and certificates were read again.
    pub(crate) fn reloaded(&self) {
        self.manager().reloaded();
    }

    /// The figures of this moment.
    pub(crate) fn read(&self) -> Status {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn manager(&self) -> MutexGuard<'_, Notify> {
        self.manager.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Status {
    fn new(plan: &Plan) -> Self {
        let now = Instant::now();
        Self {
            pipeline: plan.pipeline.clone(),
            policy: plan.commit_policy,
            state: State::Starting,
            started: now,
            started_at: SystemTime::now(),
            looked: now,
            counts: Counts::default(),
            input: InputStatus::default(),
            checkpoint: CheckpointStatus { is_kept: plan.checkpoint.is_some(), ..CheckpointStatus::default() },
            stuck_since: None,
            watchdog: watchdog(plan),
            backpressure: Duration::ZERO,
            rate: Rate::default(),
            stage: Times::from(&Histogram::new()),
            sinks: plan.sinks.iter().map(SinkStatus::new).collect(),
        }
    }

    /// Takes note of what is settled and committed by now.
    pub(crate) fn saw(&mut self, counts: Counts, position: u64, committed: u64) {
        let now = self.looked;
        let settled = counts.read - counts.pending;
        let has_moved = settled != self.counts.read - self.counts.pending || position != self.input.position;
        if counts.pending == 0 {
            self.stuck_since = None;
        } else if has_moved || self.stuck_since.is_none() {
            self.stuck_since = Some(now);
        }
        if committed != self.checkpoint.position || counts.batches != self.counts.batches {
            self.checkpoint.moved = Some(now);
        }
        (self.counts, self.input.position, self.checkpoint.position) = (counts, position, committed);
        self.rate.saw(settled, now);
    }

    /// How long something has been pending with nothing settled.
    pub(crate) fn stuck(&self, now: Instant) -> Duration {
        self.stuck_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Whether nothing is pending, or was until a moment ago.
    pub(crate) fn is_moving(&self) -> bool {
        self.stuck(self.looked) < Duration::from_secs(1)
    }

    /// How long ago the checkpoint moved; since the start where it did not.
    pub(crate) fn checkpoint_age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.checkpoint.moved.unwrap_or(self.started))
    }

    /// What of the input is not settled, bytes, where its length is known.
    pub(crate) fn lag(&self) -> Option<u64> {
        self.input.len.map(|len| len.saturating_sub(self.input.position))
    }

    /// How it goes, in one line.
    fn line(&self, now: Instant) -> String {
        let Counts { stored, duplicate, pending, dead, .. } = self.counts;
        match self.reasons(now).as_slice() {
            [] => format!("{} delivered, {pending} pending, {dead} dead letters", stored + duplicate),
            reasons => reasons.join("; "),
        }
    }

    /// Why the run is not ready; nothing when it is.
    pub(crate) fn reasons(&self, now: Instant) -> Vec<String> {
        let mut reasons = Vec::new();
        let silent = now.saturating_duration_since(self.looked);
        if silent > self.watchdog.max(TURN_MAX) {
            reasons.push(format!("the run loop has stood still for {} s", silent.as_secs()));
        }
        let is_usable = |sink: &SinkStatus| sink.up && sink.verified;
        let is_waited_for = |sink: &SinkStatus| match self.policy {
            CommitPolicy::Required => sink.required,
            CommitPolicy::All => true,
            CommitPolicy::Quorum(least) => self.sinks.iter().filter(|sink| is_usable(sink)).count() < least.get(),
        };
        reasons.extend(self.sinks.iter().filter(|sink| is_waited_for(sink)).filter_map(SinkStatus::trouble));
        if self.stuck(now) > self.watchdog {
            let pending = self.counts.pending;
            reasons.push(format!(
                "{pending} events are pending, and none was settled for {} s",
                self.stuck(now).as_secs()
            ));
        }
        match self.state {
            State::Starting if reasons.is_empty() => reasons.push("nothing is read yet".into()),
            State::Stopping => reasons.push("stopping: nothing more is read".into()),
            State::Starting | State::Running => {}
        }
        reasons
    }
}

impl SinkStatus {
    fn new(plan: &SinkPlan) -> Self {
        let (kind, stream) = match &plan.to {
            Target::Nats(nats) => match &nats.delivery {
                Delivery::Ordered { stream } => ("nats", Some(stream.clone())),
                _ => ("nats", None),
            },
            Target::Stdout => ("stdout", None),
            _ => ("file", None),
        };
        Self {
            id: plan.id.clone(),
            kind,
            stream,
            required: plan.required,
            server: None,
            up: false,
            verified: false,
            counts: Counts::default(),
            in_flight: 0,
            position: 0,
            replayed: 0,
            reconnects: 0,
            errors: ERROR_KINDS.map(|kind| (kind, 0)).into(),
            obstacle: None,
            latency: Times::from(&Histogram::new()),
        }
    }

    /// Why it cannot be delivered to.
    fn trouble(&self) -> Option<String> {
        let what = match (self.up, self.verified) {
            (false, _) => "is not connected",
            (true, false) => "waits for its stream to be verified",
            (true, true) => return None,
        };
        let why = self.obstacle.as_ref().map(|obstacle| format!(": {obstacle}")).unwrap_or_default();
        Some(format!("sink {} {what}{why}", self.id))
    }

    /// Events that are where they shall be.
    pub(crate) fn delivered(&self) -> u64 {
        self.counts.stored + self.counts.duplicate
    }
}

impl From<&Histogram> for Times {
    fn from(times: &Histogram) -> Self {
        let quantile = |share| times.quantile(share).map(micros_of);
        Self {
            within: times.within(),
            count: times.count(),
            sum: times.sum(),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: times.max().map(micros_of),
        }
    }
}

impl Rate {
    fn saw(&mut self, settled: u64, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_secs_f64();
        if passed < 1.0 {
            return;
        }
        // A second that took longer counts as so many; after a standstill only the last minute is of interest.
        let rate = (settled.saturating_sub(self.settled) as f64 / passed) as u64;
        for _ in 0..(passed as usize).min(RATES_MAX) {
            self.seconds.push(rate);
        }
        let over = self.seconds.len().saturating_sub(RATES_MAX);
        self.seconds.drain(..over);
        (self.settled, self.since) = (settled, Some(now));
    }

    /// Events a second, now.
    pub(crate) fn last(&self) -> u64 {
        self.seconds.last().copied().unwrap_or(0)
    }
}

/// The time without a settled event after which a run is no longer ready: what any sink takes for a dead link.
fn watchdog(plan: &Plan) -> Duration {
    let timeouts = plan.sinks.iter().filter_map(|sink| match &sink.to {
        Target::Nats(nats) => Some(nats.batch_timeout),
        _ => None,
    });
    timeouts.max().unwrap_or(WATCHDOG_DEFAULT)
}
