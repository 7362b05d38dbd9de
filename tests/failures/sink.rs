//! Crashes of the sink itself, and input that is no good.

use std::time::{Duration, Instant};

use serde_json::json;

use super::agree::{Shown, agree_exactly};
use super::support::command::{Place, events, until};
use super::support::proxy::Rules;
use super::support::{Direction, Proxy};

/// Crashes a sink whose events are stored and acknowledged to nobody, lets this long pass, and starts it again. The server
/// knows ids for as long as `window`.
fn crash(wait: Duration, window: Duration) {
    let place = Place::without_stream(Default::default());
    place.create_stream(json!({"duplicate_window": window.as_nanos() as u64}));
    let proxy = Proxy::start(&place.server.address());
    let args = ["--checkpoint", "c", "--input-id", "x"];
    let mut run = place.start(&[&args[..], &["--url", &proxy.url()]].concat());
    run.write(events(10));
    run.until("ten are committed", |_| place.path("c").exists() && place.position("c") == events(10).len() as u64);
    proxy.set(Direction::ToClient, Rules { hold: true, ..Rules::default() });
    run.write(&events(100)[events(10).len()..]);
    let mut raw = place.raw();
    run.until("a hundred are stored", |_| raw.stream_messages("ORDERS") == 100);
    run.kill9();
    assert_eq!(place.position("c"), events(10).len() as u64);
    let crashed = Instant::now();
    until("it is so late", || crashed.elapsed() > wait);
    let mut shown = Shown::start(&place, &args);
    shown.run.write(events(120));
    let ended = shown.ends_with(110);
    ended.ends(0, [110, 20, 90, 0, 0, 0]);
    assert_eq!((ended.count("unverified"), &ended.receipt["last_seq"]), (0, &json!(120)));
    place.write("all", events(120));
    place.holds_exactly("all");
}

#[test]
fn crash_after_ack_before_checkpoint() {
    crash(Duration::ZERO, Duration::from_secs(120));
}

#[test]
fn crash_after_ack_before_checkpoint_and_a_restart_after_the_duplicate_window() {
    crash(Duration::from_millis(400), Duration::from_millis(100));
}

#[test]
fn bad_input_bad_template_oversize() {
    let place = Place::new();
    let good = |id: u32| format!(r#"{{"op":"c","source":{{"table":"t"}},"after":{{"id":{id}}}}}"#);
    let bad = ["{\"op\":", "[1]", r#"{"op":"c","source":{"table":"a.b"},"after":{}}"#, r#"{"op":"c","source":{}}"#];
    let long = "z".repeat(2000);
    let text = format!("{}\n{}\n{}\n\n{long}\n{}\n", good(1), bad.join("\n"), good(2), good(3));
    let source = "source: { type: stdin, input_id: x, max_line_bytes: 1000 }";
    place.configure(source, "id: s");
    let yaml = place.read("natsink.yaml").replace("orders.events", "'orders.${source.table}'");
    place.write("natsink.yaml", &yaml);
    let stopped = place.pipe(&["-c", "natsink.yaml"], text.clone());
    stopped.fails(65, "event", &["line 2, byte ", "not JSON", "--dead-letter"]);
    assert_eq!((stopped.count("position"), stopped.count("dead")), (good(1).len() as u64 + 1, 0));
    place.write("natsink.yaml", format!("dead_letter: {{ path: dead }}\n{yaml}"));
    let mut shown = Shown::start(&place, &["-c", "natsink.yaml"]);
    shown.run.write(&text);
    shown.run.until("three are stored", |_| place.stored().len() == 3);
    shown.run.until("five letters", |_| place.read("dead").lines().count() == 5);
    shown.run.until("the metrics know", |_| place.path("dead").exists());
    let ended = shown.run.end();
    assert_eq!((ended.code, ended.count("dead"), ended.count("skipped")), (0, 5, 1), "{ended:?}");
    assert_eq!((ended.count("read"), ended.count("stored") + ended.count("duplicate")), (9, 3));
    let letters = place.letters("dead");
    let payloads: Vec<&str> = letters.iter().map(|letter| letter["payload"].as_str().unwrap()).collect();
    assert_eq!(payloads, [&bad[..], &[&long[..]]].concat());
    assert_eq!((&letters[4]["length"], &letters[4]["headers"]), (&json!(2000), &json!(null)));
    let expected = [good(1), good(2), good(3)].join("\n");
    agree_exactly(&place.server.url(), &[&stopped, &ended], &expected);
}
