//! Several sinks behind one run: each gets every event, and none holds up another one that is not its business.

mod support;

use std::fs;

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
    assert_eq!(checkpoint["natsink_checkpoint"], 2);
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
