//! What all tests end with: receipt, metrics and stream agree, to the event.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::support::command::{Ended, Place, Run};
use super::support::{reader, server};

/// A run that shows its metrics.
pub(crate) struct Shown {
    pub(crate) run: Run,
    pages: Pages,
}

/// What a run shows over HTTP.
#[derive(Clone, Copy)]
pub(crate) struct Pages(u16);

impl Shown {
    /// Starts `natsink run` with these further arguments.
    pub(crate) fn start(place: &Place, args: &[&str]) -> Self {
        let port = server::free_port();
        let http = format!("127.0.0.1:{port}");
        Self { run: place.start(&[args, &["--http", &http]].concat()), pages: Pages(port) }
    }

    /// The status and the text of a page; 0 while nobody answers.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        self.pages.page(path)
    }

    /// The sum of a metric over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.pages.metric(name)
    }

    /// Waits until the metrics count so many delivered events.
    #[track_caller]
    pub(crate) fn delivers(&mut self, events: usize) {
        let pages = self.pages;
        let what = format!("{events} events in the metrics");
        self.run.until(&what, |_| pages.metric("deltaforge_sink_events_total") as usize == events);
    }

    /// Waits until a metric is so.
    #[track_caller]
    pub(crate) fn holds(&mut self, name: &str, is_so: impl Fn(f64) -> bool) {
        let pages = self.pages;
        self.run.until(name, |_| is_so(pages.metric(name)));
    }

    /// Waits until the run calls itself ready, or not.
    #[track_caller]
    pub(crate) fn is_ready(&mut self, yes: bool) {
        let pages = self.pages;
        let wanted = if yes { 200 } else { 503 };
        self.run.until(&format!("{wanted} of /readyz"), |_| pages.page("/readyz").0 == wanted);
    }

    /// Waits until the metrics count so many delivered events, and ends the run.
    #[track_caller]
    pub(crate) fn ends_with(mut self, events: usize) -> Ended {
        self.delivers(events);
        self.run.end()
    }
}

impl Pages {
    fn page(self, path: &str) -> (u16, String) {
        let get = || {
            let mut socket = TcpStream::connect(("127.0.0.1", self.0))?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = get().unwrap_or_default();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or(0), answer)
    }

    fn metric(self, name: &str) -> f64 {
        let value = |line: &str| -> Option<f64> {
            let rest = line.strip_prefix(name)?;
            rest.starts_with(['{', ' ']).then(|| line.rsplit(' ').next()?.parse().ok())?
        };
        self.page("/metrics").1.lines().filter_map(value).sum()
    }
}

/// Says that these runs, one after the other over a stream that was empty, account for each of its events.
#[track_caller]
pub(crate) fn agree(url: &str, runs: &[&Ended]) -> Vec<String> {
    let sum = |name| runs.iter().map(|ended| ended.count(name)).sum::<u64>();
    let stored = reader::dump(url, "ORDERS");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ids: BTreeSet<String> = stored.iter().map(|message| text(&message["headers"]["Nats-Msg-Id"])).collect();
    assert_eq!(ids.len(), stored.len(), "an event is stored twice");
    // What a run that was cut off stored is the next one's duplicate.
    let known = sum("stored") + runs.iter().map(|ended| ended.count("duplicate")).sum::<u64>();
    assert!(sum("stored") <= stored.len() as u64 && stored.len() as u64 <= known, "{} stored: {runs:#?}", stored.len());
    if let Some(last) = runs.iter().filter_map(|ended| ended.receipt["last_seq"].as_u64()).max() {
        assert_eq!(stored.last().map(|message| message["seq"].as_u64()), Some(Some(last)), "{runs:#?}");
    }
    stored.iter().map(|message| text(&message["payload"])).collect()
}

/// Says besides that the stream holds exactly these lines, in order.
#[track_caller]
pub(crate) fn agree_exactly(url: &str, runs: &[&Ended], lines: &str) {
    let stored = agree(url, runs);
    assert_eq!(stored, lines.lines().collect::<Vec<_>>());
}
