//! The status as JSON: what `/status` answers, for programs and for people who ask with `curl`.

use std::time::{Duration, Instant};

use natsink::io::rfc3339;
use natsink::sink::Counts;
use serde::Serialize;

use super::status::{InputStatus, SinkStatus, State, Status};

/// All of the status, as it is at this moment.
pub(crate) fn json(status: &Status, now: Instant) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(&Shown::new(status, now)).expect("numbers and strings are JSON");
    json.push(b'\n');
    json
}

#[derive(Serialize)]
struct Shown<'a> {
    version: &'static str,
    pipeline: &'a str,
    state: State,
    ready: bool,
    reasons: Vec<String>,
    started_at: String,
    uptime_ms: u64,
    #[serde(flatten)]
    counts: Numbers,
    events_per_s: u64,
    input: ShownInput,
    checkpoint: ShownCheckpoint,
    backpressure_ms: u64,
    stalled_ms: u64,
    watchdog_ms: u64,
    sinks: Vec<ShownSink<'a>>,
}

#[derive(Serialize)]
struct Numbers {
    read: u64,
    stored: u64,
    duplicate: u64,
    unverified: u64,
    dead: u64,
    gap: u64,
    pending: u64,
    skipped: u64,
    inversions: u64,
    bytes: u64,
    batches: u64,
}

#[derive(Serialize)]
struct ShownInput {
    #[serde(flatten)]
    input: InputStatus,
    lag: Option<u64>,
}

#[derive(Serialize)]
struct ShownCheckpoint {
    kept: bool,
    position: u64,
    age_ms: u64,
}

#[derive(Serialize)]
struct ShownSink<'a> {
    #[serde(flatten)]
    sink: &'a SinkStatus,
    #[serde(flatten)]
    counts: Numbers,
}

impl<'a> Shown<'a> {
    fn new(status: &'a Status, now: Instant) -> Self {
        let reasons = status.reasons(now);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pipeline: &status.pipeline,
            state: status.state,
            ready: reasons.is_empty(),
            reasons,
            started_at: rfc3339(status.started_at),
            uptime_ms: millis_of(now.saturating_duration_since(status.started)),
            counts: Numbers::from(&status.counts),
            events_per_s: status.rate.last(),
            input: ShownInput { input: status.input, lag: status.lag() },
            checkpoint: ShownCheckpoint {
                kept: status.checkpoint.is_kept,
                position: status.checkpoint.position,
                age_ms: millis_of(status.checkpoint_age(now)),
            },
            backpressure_ms: millis_of(status.backpressure),
            stalled_ms: millis_of(status.stuck(now)),
            watchdog_ms: millis_of(status.watchdog),
            sinks: status.sinks.iter().map(|sink| ShownSink { sink, counts: Numbers::from(&sink.counts) }).collect(),
        }
    }
}

impl From<&Counts> for Numbers {
    fn from(counts: &Counts) -> Self {
        let Counts {
            read, stored, duplicate, unverified, dead, gap, pending, skipped, inversions, bytes, batches, ..
        } = *counts;
        Self { read, stored, duplicate, unverified, dead, gap, pending, skipped, inversions, bytes, batches }
    }
}

fn millis_of(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
