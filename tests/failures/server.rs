//! A server that is not there, goes away, or is slow.

use std::time::Duration;

use super::agree::{Shown, agree_exactly};
use super::support::command::{Place, events};
use super::support::proxy::Rules;
use super::support::{Direction, Proxy};

/// What of a text stands behind another's.
fn behind(all: usize, before: usize) -> String {
    events(all)[events(before).len()..].to_owned()
}

#[test]
fn server_unavailable() {
    let mut place = Place::new();
    place.server.kill9();
    let mut shown = Shown::start(&place, &["--checkpoint", "c", "--input-id", "x"]);
    shown.run.write(events(10));
    shown.run.tells("cannot connect");
    shown.is_ready(false);
    assert_eq!(shown.page("/healthz").0, 200);
    assert!(!place.path("c").exists(), "nothing is known of the stream");
    place.server.restart();
    shown.delivers(10);
    shown.run.until("ten are committed", |_| place.position("c") == events(10).len() as u64);
    place.server.kill9();
    shown.run.tells("connection lost");
    shown.run.write(behind(30, 10));
    shown.is_ready(false);
    assert_eq!(shown.metric("deltaforge_sink_link_up"), 0.0, "{}", shown.page("/metrics").1);
    assert_eq!(place.position("c"), events(10).len() as u64, "the checkpoint is frozen");
    place.server.restart();
    let ended = shown.ends_with(30);
    ended.ends(0, [30, 30, 0, 0, 0, 0]);
    agree_exactly(&place.server.url(), &[&ended], &events(30));
}

#[test]
fn server_restart_during_batch_delivery() {
    let mut place = Place::new();
    let proxy = Proxy::start(&place.server.address());
    let mut shown = Shown::start(&place, &["--url", &proxy.url(), "--checkpoint", "c", "--input-id", "x"]);
    shown.run.write(events(1));
    shown.run.until("one is committed", |_| place.path("c").exists() && place.position("c") > 0);
    let committed = place.position("c");
    // Half of a hundred is published, and no answer comes back before the server is gone.
    proxy.set(Direction::ToClient, Rules { hold: true, ..Rules::default() });
    shown.run.write(behind(50, 1));
    let mut raw = place.raw();
    shown.run.until("fifty are stored", |_| raw.stream_messages("ORDERS") == 50);
    place.server.kill9();
    proxy.cut();
    proxy.set(Direction::ToClient, Rules::default());
    shown.run.tells("connection lost");
    shown.run.write(behind(100, 50));
    assert_eq!(place.position("c"), committed, "nothing is committed that nobody acknowledged");
    place.server.restart();
    let ended = shown.ends_with(100);
    ended.ends(0, [100, 51, 49, 0, 0, 0]);
    assert_eq!((ended.count("unverified"), ended.count("inversions")), (0, 0));
    assert_eq!(place.position("c"), events(100).len() as u64);
    agree_exactly(&place.server.url(), &[&ended], &events(100));
}

#[test]
fn slow_server() {
    let place = Place::new();
    let proxy = Proxy::start(&place.server.address());
    proxy.set(Direction::ToServer, Rules { rate: Some(300_000), ..Rules::default() });
    let top = "source: { type: stdin, input_id: x }\nin_flight: { max_events: 64 }";
    place.configure(top, &format!("url: '{}', id: s", proxy.url()));
    let mut shown = Shown::start(&place, &["-c", "natsink.yaml"]);
    let text = events(20_000);
    let written = shown.run.pipe_counted(text.clone().into_bytes());
    shown.holds("deltaforge_backpressure_seconds_total", |seconds| seconds > 0.5);
    // The window holds 64 events, the pipe and what was read ahead some more; the rest waits.
    assert!(written() < text.len(), "the source is not held up");
    assert!(shown.metric("deltaforge_sink_in_flight") <= 64.0);
    let ended = shown.run.end();
    ended.ends(0, [20_000, 20_000, 0, 0, 0, 0]);
    assert!(ended.took > Duration::from_secs(2), "the link was not slow: {ended:?}");
    assert_eq!((ended.count("replayed"), ended.count("reconnects")), (0, 0));
    agree_exactly(&place.server.url(), &[&ended], &text);
}
