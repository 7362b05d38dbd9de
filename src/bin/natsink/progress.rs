//! The progress line: what a person at a terminal sees of a run, four times a second, and nobody else.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use natsink::sink::Histogram;

use super::log;
use super::receipt::{Receipt, bytes, micros, micros_of, millis};

/// Between two drawings.
const PAUSE: Duration = Duration::from_millis(250);
/// How much of a rate is the past's share, for each drawing.
const INERTIA: f64 = 0.8;

/// What the receipt does not know of a run that is going on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Now {
    /// Whether a server is connected.
    pub(crate) connected: bool,
    /// Events that are sent and not answered.
    pub(crate) in_flight: u64,
    /// The length of the input in bytes, where it is known: a file.
    pub(crate) input_len: Option<u64>,
}

/// Draws the line, where there is a terminal to draw on and no `--quiet`.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    drawn: Instant,
    settled: u64,
    bytes: u64,
    events_per_s: f64,
    bytes_per_s: f64,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{wide_msg}").expect("a template"));
            bar
        });
        log::draw_above(bar.clone());
        Self { bar, drawn: Instant::now(), settled: 0, bytes: 0, events_per_s: 0.0, bytes_per_s: 0.0 }
    }

    /// When the line wants to be drawn next; `None` where there is none.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.bar.as_ref().map(|_| self.drawn + PAUSE)
    }

    /// Draws the line if it is time to. Cheap where it is not.
    pub(crate) fn draw(&mut self, receipt: &Receipt, latency: &Histogram, now: Now) {
        let Some(bar) = self.bar.clone() else { return };
        let passed = self.drawn.elapsed();
        if passed < PAUSE {
            return;
        }
        self.measure(receipt, passed);
        bar.set_message(self.line(receipt, latency, now));
        bar.tick();
    }

    /// Takes the line away, so that the receipt stands alone.
    pub(crate) fn clear(&self) {
        log::draw_above(None);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn measure(&mut self, receipt: &Receipt, passed: Duration) {
        let settled = receipt.stored + receipt.duplicate + receipt.dead;
        let rate = |before: f64, more: u64| {
            let now = more as f64 / passed.as_secs_f64();
            if before == 0.0 { now } else { before * INERTIA + now * (1.0 - INERTIA) }
        };
        self.events_per_s = rate(self.events_per_s, settled.saturating_sub(self.settled));
        self.bytes_per_s = rate(self.bytes_per_s, receipt.bytes.saturating_sub(self.bytes));
        (self.settled, self.bytes) = (settled, receipt.bytes);
        self.drawn += passed;
    }

    fn line(&self, receipt: &Receipt, latency: &Histogram, now: Now) -> String {
        let mut line = format!("{} events, {:.0}/s, {} in flight", self.settled, self.events_per_s, now.in_flight);
        if let (Some(p50), Some(p99)) = (latency.quantile(0.5).map(micros_of), latency.quantile(0.99).map(micros_of)) {
            line += &format!(", acks p50 {} p99 {}", micros(p50), micros(p99));
        }
        line += &format!(", {} duplicate, {} dead", receipt.duplicate, receipt.dead);
        if let Some(len) = now.input_len {
            let lag = len.saturating_sub(receipt.position);
            line += &format!(", {} to go", bytes(lag));
            if self.bytes_per_s >= 1.0 {
                line += &format!(", {} left", millis((lag as f64 / self.bytes_per_s * 1e3) as u64));
            }
        }
        if !now.connected {
            line += ", not connected";
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress { bar: None, drawn: Instant::now(), settled: 0, bytes: 0, events_per_s: 0.0, bytes_per_s: 0.0 }
    }

    #[test]
    fn the_line_tells_what_is_known() {
        let mut progress = progress();
        let mut receipt = Receipt::default();
        (receipt.stored, receipt.duplicate, receipt.dead) = (400, 60, 40);
        (receipt.bytes, receipt.position) = (5_000, 4_000);
        progress.measure(&receipt, Duration::from_millis(500));
        let mut latency = Histogram::new();
        let now = Now { connected: true, in_flight: 7, input_len: None };
        assert_eq!(progress.line(&receipt, &latency, now), "500 events, 1000/s, 7 in flight, 60 duplicate, 40 dead");
        latency.record(Duration::from_micros(20));
        let now = Now { connected: false, in_flight: 0, input_len: Some(24_000) };
        assert_eq!(
            progress.line(&receipt, &latency, now),
            "500 events, 1000/s, 0 in flight, acks p50 20 µs p99 20 µs, 60 duplicate, 40 dead, 20.0 kB to go, 2.0 s left, \
             not connected"
        );
    }

    #[test]
    fn rates_follow_slowly() {
        let mut progress = progress();
        let mut receipt = Receipt::default();
        receipt.stored = 100;
        progress.measure(&receipt, Duration::from_secs(1));
        assert_eq!(progress.events_per_s.round(), 100.0);
        receipt.stored = 300;
        progress.measure(&receipt, Duration::from_secs(1));
        assert_eq!(progress.events_per_s.round(), 120.0);
    }
}
