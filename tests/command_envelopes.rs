//! What each envelope puts into a stream, read by clients that share nothing with natsink.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::command::Place;
use support::reader;

const ENVELOPES: [(&str, &str); 3] =
    [("native", "native"), ("debezium", "debezium"), ("cloudevents", "cloudevents:com.example.cdc")];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn lines(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(golden(name)).expect("a golden file");
    text.lines().map(|line| serde_json::from_str(line).expect("a golden line is JSON")).collect()
}

/// A place whose stream holds the golden events in this envelope.
fn delivered(envelope: &str) -> Place {
    let place = Place::new();
    let events = fs::read(golden("events.ndjson")).expect("the golden events");
    let count = lines("native.ndjson").len() as u64;
    let flags = ["--pipeline", "golden", "--input-id", "events", "--subject", "orders.${op}", "--key", "${after.id}"];
    let more = ["--header", "x-env=prod", "--envelope", envelope];
    place.pipe(&[flags.as_slice(), &more].concat(), events).ends(0, [count, count, 0, 0, 0, 0]);
    place
}

fn take(object: &mut Value, name: &str) -> Value {
    object.as_object_mut().and_then(|members| members.remove(name)).unwrap_or_else(|| panic!("{name} is there"))
}

fn succeeded(reader: &str, out: Output) -> String {
    let words = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{reader}: {words}");
    String::from_utf8(out.stdout).expect("what a reader says is text")
}

#[test]
fn readers_of_other_clients_find_what_the_golden_files_hold() {
    for (name, envelope) in ENVELOPES {
        let place = delivered(envelope);
        let url = place.server.url();
        let expected = lines(&format!("{name}.ndjson"));
        let mut found = reader::dump(&url, "ORDERS");
        for message in &mut found {
            take(message, "seq");
            assert_eq!(take(&mut message["headers"], "Nats-Expected-Stream"), json!("ORDERS"));
        }
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{name}, read by nats-py");
        }
        assert_eq!(found.len(), expected.len());
        let checked = Command::new(golden("check.py")).args([&url, "ORDERS", name]).output().expect("python3 runs");
        succeeded("check.py", checked);
        assert_eq!(read_by_async_nats(&place, name, expected.len()), expected, "{name}, read by async-nats");
    }
}

/// What a consumer reads that is written as on the page about consuming events: bound to a durable consumer, with events
/// of its own type. Its crate is built when it is first needed.
fn read_by_async_nats(place: &Place, envelope: &str, count: usize) -> Vec<Value> {
    let consumer = json!({"durable_name": "orders-processor", "ack_policy": "explicit", "deliver_policy": "all"});
    let create = json!({"stream_name": "ORDERS", "config": consumer});
    place.raw().api("CONSUMER.DURABLE.CREATE.ORDERS.orders-processor", &create);
    let (url, count) = (place.server.url(), count.to_string());
    let words = ["run", "--quiet", "--package", "natsink-interop", "--"];
    let reader = [url.as_str(), "ORDERS", "orders-processor", &count, envelope];
    let mut cargo = Command::new(env!("CARGO"));
    let out = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(words).args(reader).output().expect("cargo runs");
    let shown = succeeded("async-nats", out);
    let mut found: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for message in &mut found {
        take(&mut message["headers"], "Nats-Expected-Stream");
        let (event, payload) = (take(message, "event"), message["payload"].as_str().expect("text"));
        let whole: Value = serde_json::from_str(payload).expect("JSON");
        let (inner, id) = match envelope {
            "debezium" => (&whole["payload"], "event_id"),
            "cloudevents" => (&whole["data"], "id"),
            _ => (&whole, "event_id"),
        };
        if inner.get("op").is_some() {
            let id = whole.get(id).or(inner.get(id)).unwrap_or(&Value::Null);
            assert_eq!((&event["id"], &event["op"]), (id, &inner["op"]), "{payload}");
        } else {
            assert_eq!(event, Value::Null, "an after alone: {payload}");
        }
    }
    found
}

#[test]
fn a_topic_that_the_stream_does_not_capture_is_a_dead_letter() {
    let place = Place::new();
    let event = |topic: &str| format!(r#"{{"op":"c","source":{{}},"routing":{{"topic":{topic}}}}}"#);
    let topics = [r#""orders.a""#, r#""elsewhere.a""#, r#""orders.*""#, r#""$JS.API.INFO""#, r#""orders.b""#];
    let text: String = topics.iter().map(|topic| event(topic) + "\n").collect();
    place.pipe(&["--dead-letter", "dead"], text).ends(0, [5, 2, 0, 3, 0, 0]);
    let subjects: Vec<String> = place.stored().into_iter().map(|event| event.subject).collect();
    assert_eq!(subjects, ["orders.a", "orders.b"]);
    let letters = place.letters("dead");
    assert_eq!(letters.len(), 3);
    assert!(letters.iter().any(|letter| letter["subject"] == json!("elsewhere.a")));
}
