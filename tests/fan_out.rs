//! Several sinks behind one run: each gets every event, and none holds up another one that is not its business.

mod support;

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::command::{Ended, Place, events};
use support::{Server, ServerOptions, reader};

const PIPED: &[&str] = &["-c", "natsink.yaml", "--input", "in"];

/// A place with the streams ORDERS and AUDIT.
fn place() -> Place {
    let place = Place::without_stream(ServerOptions { monitor: true, ..ServerOptions::default() });
    place.create_stream(json!({}));
    place.create_stream(json!({ "name": "AUDIT", "subjects": ["audit.>"] }));
    place
}

/// A sink of type nats, with these members besides id and url.
fn nats(id: &str, url: &str, more: &str) -> String {
    format!("{{ type: nats, config: {{ id: {id}, url: '{url}', {more} }} }}")
}

fn configure(place: &Place, top: &str, sinks: &[String]) {
    place.write("natsink.yaml", format!("pipeline: p\n{top}\nsinks:\n  - {}\n", sinks.join("\n  - ")));
}

const ORDERS: &str = "stream: ORDERS, subject: orders.events";
const AUDIT: &str = "stream: AUDIT, subject: audit.events";

#[track_caller]
fn exact(place: &Place, url: &str, stream: &str, lines: &str) {
    place.write("expected", lines);
    let verdict = reader::verdict(url, stream, &place.path("expected"));
    assert!(verdict.is_exact(), "{stream}: {verdict:?}");
}

/// The gap records in a dead-letter file: from, to, count.
fn gaps(place: &Place, sink: &str) -> Vec<[u64; 3]> {
    let lines = place.letters("dead");
    let gaps = lines.iter().map(|line| &line["gap"]).filter(|gap| gap["sink"] == sink);
    gaps.map(|gap| ["from", "to", "count"].map(|name| gap[name].as_u64().expect("a number"))).collect()
}

/// Says that a sink got all lines but those of its gaps, each once and in order.
#[track_caller]
fn all_but_gaps(place: &Place, ended: &Ended, sink: &str, held: &[String], text: &str) {
    let gaps = gaps(place, sink);
    let missed = |at: u64| gaps.iter().any(|[from, to, _]| (*from..*to).contains(&at));
    let mut at = 0;
    let mut expected = Vec::new();
    let mut count = 0;
    for line in text.split_inclusive('\n') {
        match missed(at) {
            true => count += 1,
            false => expected.push(line.trim_end()),
        }
        at += line.len() as u64;
    }
    assert_eq!(held.len(), expected.len(), "{sink}: {gaps:?}");
    assert!(held.iter().zip(&expected).all(|(held, expected)| held == expected), "{sink}: other events than those");
    assert_eq!(count, gaps.iter().map(|[.., count]| count).sum::<u64>(), "{sink}: {gaps:?}");
    assert_eq!(count, ended.counts_of(sink)[4], "{sink}");
}

fn payloads(url: &str, stream: &str) -> Vec<String> {
    let text = |message: Value| message["payload"].as_str().expect("text").to_owned();
    reader::dump(url, stream).into_iter().map(text).collect()
}

#[test]
fn two_streams_standard_output_and_a_file_each_get_everything() {
    let place = place();
    let url = place.server.url();
    let sinks = [
        nats("a", &url, ORDERS),
        nats("b", &url, AUDIT),
        "{ type: stdout, config: { id: out } }".into(),
        "{ type: file, config: { id: f, path: all.ndjson } }".into(),
    ];
    configure(&place, "checkpoint: { path: c }\ndead_letter: { path: dead }", &sinks);
    let good = events(5010);
    let (head, tail) = good.split_at(events(5000).len());
    let text = format!("{head}\nbad\n{tail}");
    place.write("in", &text);
    let ended = place.start(PIPED).gives_lines().end();
    ended.ends(0, [5012, 5010, 0, 1, 0, 1]);
    for sink in ["a", "b", "out", "f"] {
        assert_eq!(ended.counts_of(sink), [5012, 5010, 0, 1, 0, 0, 1], "{sink}");
    }
    for stream in ["ORDERS", "AUDIT"] {
        exact(&place, &url, stream, &good);
    }
    assert!(ended.stdout == good && place.read("all.ndjson") == good);
    let letters = place.letters("dead");
    let named: Vec<&str> = letters.iter().filter_map(|letter| letter["sink"].as_str()).collect();
    assert_eq!(named.len(), 4, "{letters:?}");
    assert!(ended.receipt["stream"].is_null() && ended.sink("b")["stream"] == "AUDIT");
    let page = place.server.monitored("/connz?state=closed").expect("it answers");
    let connections = page["connections"].as_array().expect("a list");
    let ours = connections.iter().filter(|it| it["lang"] == "rust" && it["stop"].is_string());
    assert_eq!(ours.filter(|it| it["in_msgs"].as_u64() > Some(1000)).count(), 1, "one for both sinks: {page}");
    // Again from the checkpoint: there is nothing more for anybody.
    place.start(PIPED).gives_lines().end().ends(0, [0; 6]);
    let checkpoint: Value = serde_json::from_str(&place.read("c")).expect("JSON");
    assert_eq!(checkpoint["natsink_checkpoint"], 3);
    assert!(checkpoint["state"]["sinks"].as_array().expect("a list").iter().all(|sink| sink["position"] == text.len()));
}

#[test]
fn a_dead_server_of_a_sink_that_is_not_required_holds_nobody_up() {
    let place = place();
    let mut away = Server::start(ServerOptions::default());
    support::Raw::connect(&away.url()).create_stream(json!({ "name": "AUDIT", "subjects": ["audit.>"] }));
    let text = events(60_000);
    place.write("in", &text);
    let (url, away_url) = (place.server.url(), away.url());
    let optional = format!("{AUDIT}, required: false, send_timeout_secs: 1");
    configure(
        &place,
        "checkpoint: { path: c }\ndead_letter: { path: dead }\nin_flight: { max_events: 500 }",
        &[nats("a", &url, ORDERS), nats("b", &away_url, &optional)],
    );
    away.kill9();
    let ended = place.run(PIPED);
    ended.ends(0, [60_000, 60_000, 0, 0, 0, 0]).says(&["sink b"]);
    exact(&place, &url, "ORDERS", &text);
    assert_eq!(ended.counts_of("b"), [60_000, 0, 0, 0, 60_000, 0, 0]);
    away.restart();
    all_but_gaps(&place, &ended, "b", &payloads(&away_url, "AUDIT"), &text);
    // What comes later it gets again.
    place.append("in", events(10));
    let again = place.run(PIPED);
    again.ends(0, [10, 10, 0, 0, 0, 0]);
    assert_eq!(again.counts_of("b"), [10, 10, 0, 0, 0, 0, 0]);
    assert_eq!(payloads(&away_url, "AUDIT").len(), 10);
    assert_eq!(fs::read_to_string(place.path("dead")).expect("a file").lines().count(), 1);
}

#[test]
fn a_server_that_stands_still_takes_nothing_from_the_others_and_goes_on_behind_a_gap() {
    let place = place();
    let slow = Server::start(ServerOptions::default());
    support::Raw::connect(&slow.url()).create_stream(json!({ "name": "AUDIT", "subjects": ["audit.>"] }));
    let (url, slow_url) = (place.server.url(), slow.url());
    let optional = format!("{AUDIT}, required: false");
    configure(
        &place,
        "source: { type: stdin, input_id: x }\ncheckpoint: { path: c }\ndead_letter: { path: dead }\nin_flight: { max_events: 300 }",
        &[nats("a", &url, ORDERS), nats("b", &slow_url, &optional)],
    );
    let text = events(40_000);
    let (first, rest) = text.split_at(events(100).len());
    let (middle, last) = rest.split_at(events(30_000).len() - first.len());
    let (mut raw, mut slow_raw) = (place.raw(), support::Raw::connect(&slow_url));
    let mut run = place.start(&["-c", "natsink.yaml"]);
    run.write(first);
    run.until("both have it", |_| slow_raw.stream_messages("AUDIT") == 100 && raw.stream_messages("ORDERS") == 100);
    slow.stop();
    run.write(middle);
    run.until("the required one has everything", |_| raw.stream_messages("ORDERS") == 30_000);
    run.until("the checkpoint has moved", |_| place.position("c") == (first.len() + middle.len()) as u64);
    run.tells("sink b is too slow");
    slow.cont();
    run.until("the other one has what it could hold", |_| slow_raw.stream_messages("AUDIT") >= 600);
    run.write(last);
    run.until("it is the end", |_| raw.stream_messages("ORDERS") == 40_000);
    let ended = run.end();
    ended.ends(0, [40_000, 40_000, 0, 0, 0, 0]);
    exact(&place, &url, "ORDERS", &text);
    all_but_gaps(&place, &ended, "b", &payloads(&slow_url, "AUDIT"), &text);
    let [.., gap, pending, _] = ended.counts_of("b");
    assert!(gap > 20_000 && pending == 0, "{ended:?}");
}

#[test]
fn two_of_three_are_a_quorum_without_the_third() {
    let place = place();
    place.create_stream(json!({ "name": "MORE", "subjects": ["more.>"] }));
    let mut away = Server::start(ServerOptions::default());
    let away_url = away.url();
    away.kill9();
    let url = place.server.url();
    let third = "stream: THIRD, subject: third.events, send_timeout_secs: 1";
    configure(
        &place,
        "commit_policy: { quorum: 2 }\ncheckpoint: { path: c }\ndead_letter: { path: dead }",
        &[nats("a", &url, ORDERS), nats("b", &url, AUDIT), nats("c", &away_url, third)],
    );
    let text = events(20_000);
    place.write("in", &text);
    let ended = place.run(PIPED);
    ended.ends(0, [20_000, 20_000, 0, 0, 0, 0]);
    for stream in ["ORDERS", "AUDIT"] {
        exact(&place, &url, stream, &text);
    }
    assert_eq!(ended.counts_of("c"), [20_000, 0, 0, 0, 20_000, 0, 0]);
    let counts: Vec<u64> = gaps(&place, "c").iter().map(|[.., count]| *count).collect();
    assert_eq!(counts.iter().sum::<u64>(), 20_000);
    // Two that are away are too many.
    let stopped = nats("d", &away_url, "stream: FOURTH, subject: fourth.events, retry: { max_elapsed_secs: 1 }");
    let third = nats("c", &away_url, "stream: THIRD, subject: third.events, retry: { max_elapsed_secs: 1 }");
    configure(&place, "commit_policy: { quorum: 2 }", &[nats("a", &url, ORDERS), third, stopped]);
    place.run(PIPED).fails(69, "unavailable", &["sink "]);
}

/// Two sinks, one of them away for a while: no checkpoint passes what it lacks, and it gets all of it.
fn waits_for_both(policy: &str, second: &str) {
    let place = place();
    let mut away = Server::start(ServerOptions::default());
    support::Raw::connect(&away.url()).create_stream(json!({ "name": "AUDIT", "subjects": ["audit.>"] }));
    let (url, away_url) = (place.server.url(), away.url());
    let source = "source: { type: stdin, input_id: x }\ncheckpoint: { path: c }\ndead_letter: { path: dead }";
    let sinks = [nats("a", &url, ORDERS), nats("b", &away_url, &format!("{AUDIT}{second}"))];
    configure(&place, &format!("{policy}\n{source}"), &sinks);
    let text = events(50);
    let mut raw = place.raw();
    let mut run = place.start(&["-c", "natsink.yaml"]);
    run.write(events(10));
    run.until("both have it", |_| place.path("c").exists() && place.position("c") == events(10).len() as u64);
    away.kill9();
    run.write(&text[events(10).len()..]);
    run.until("one has it", |_| raw.stream_messages("ORDERS") == 50);
    run.tells("connect");
    // A commit that is due comes within 50 ms.
    thread::sleep(Duration::from_millis(500));
    assert_eq!(place.position("c"), events(10).len() as u64, "no checkpoint passes what one sink lacks");
    away.restart();
    let ended = run.end();
    ended.ends(0, [50, 50, 0, 0, 0, 0]);
    exact(&place, &url, "ORDERS", &text);
    exact(&place, &away_url, "AUDIT", &text);
    assert_eq!((place.letters("dead").len(), ended.counts_of("b")[4]), (0, 0));
}

#[test]
fn the_policy_all_waits_for_every_sink() {
    waits_for_both("commit_policy: all", ", required: false");
}

#[test]
fn a_required_sink_holds_the_checkpoint() {
    waits_for_both("", "");
}

#[test]
fn after_any_kill_each_stream_has_everything_once_and_each_file_at_least_once() {
    let place = place();
    let url = place.server.url();
    let optional = format!("{AUDIT}, required: false");
    let sinks = [
        nats("a", &url, ORDERS),
        nats("b", &url, &optional),
        "{ type: file, config: { id: f, path: all.ndjson } }".into(),
    ];
    configure(&place, "commit_policy: all\ncheckpoint: { path: c }\nin_flight: { max_events: 500 }", &sinks);
    let text = events(30_000);
    place.write("in", &text);
    let mut last = 0;
    for kill in 0..5 {
        let mut run = place.start(PIPED);
        run.until("the checkpoint moves", |_| place.path("c").exists() && place.position("c") > last);
        run.kill9();
        last = place.position("c");
        assert!(last < text.len() as u64, "kill {kill} came too late to be one");
    }
    let ended = place.run(PIPED);
    assert_eq!(ended.code, 0, "{ended:?}");
    for stream in ["ORDERS", "AUDIT"] {
        exact(&place, &url, stream, &text);
    }
    let file = place.read("all.ndjson");
    let lines: std::collections::HashSet<&str> = file.lines().collect();
    assert!(text.lines().all(|line| lines.contains(line)), "the file lacks something");
}

#[test]
fn the_end_of_a_required_sink_is_the_end_of_the_run_and_that_of_another_is_told() {
    let place = place();
    let url = place.server.url();
    place.write("in", events(20));
    let absent = "stream: ABSENT, subject: absent.events";
    configure(&place, "", &[nats("a", &url, ORDERS), nats("b", &url, absent)]);
    place.run(PIPED).fails(78, "stream_not_found", &["sink b", "nats stream add ABSENT"]);
    let optional = format!("{absent}, required: false");
    configure(&place, "dead_letter: { path: dead }", &[nats("a", &url, ORDERS), nats("b", &url, &optional)]);
    let ended = place.run(PIPED);
    ended.ends(0, [20, 20, 0, 0, 0, 0]).says(&["sink b", "the others go on"]);
    assert_eq!(ended.counts_of("b"), [20, 0, 0, 0, 20, 0, 0]);
    assert_eq!(gaps(&place, "b"), [[0, events(20).len() as u64, 20]]);
}
