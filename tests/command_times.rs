//! The times of a sink, each as the configuration gives it: how long one dial, an answer and a link may take.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::command::{Place, events};
use support::proxy::Rules;
use support::{Direction, Proxy, ServerOptions};

/// Nothing passes.
const HOLD: Rules = Rules { rate: None, delay: Duration::ZERO, hold: true, cut_after: None };

/// Says that something took as long as it should: hardly less, and not as long as the next larger default.
#[track_caller]
fn took(began: Instant, seconds: f64) {
    let passed = began.elapsed().as_secs_f64();
    assert!((seconds * 0.9..seconds + 2.5).contains(&passed), "{passed} s instead of {seconds}");
}

#[test]
fn a_dial_that_comes_to_nothing_is_given_up_after_the_connect_timeout() {
    let place = Place::new();
    let proxy = Proxy::start(&place.server.address());
    proxy.set(Direction::ToClient, HOLD);
    place
        .configure("source: { type: stdin, input_id: x }", &format!("url: '{}', connect_timeout_secs: 1", proxy.url()));
    let mut run = place.start(&["-c", "natsink.yaml"]);
    run.until("the first dial", |_| proxy.accepted() == 1);
    let began = Instant::now();
    run.until("the second dial", |_| proxy.accepted() == 2);
    took(began, 1.0);
    proxy.set(Direction::ToClient, Rules::default());
    run.write(events(3));
    run.end().ends(0, [3, 3, 0, 0, 0, 0]);
}

#[test]
fn a_link_without_answers_is_given_up_after_the_batch_timeout_and_no_event_fails() {
    let place = Place::new();
    let proxy = Proxy::start(&place.server.address());
    place.configure("source: { type: stdin, input_id: x }", &format!("url: '{}', batch_timeout_secs: 2", proxy.url()));
    let mut raw = place.raw();
    let mut run = place.start(&["-c", "natsink.yaml"]);
    run.write(events(3));
    run.until("three are stored", |_| raw.stream_messages("ORDERS") == 3);
    proxy.set(Direction::ToClient, HOLD);
    let began = Instant::now();
    run.write(&events(10)[events(3).len()..]);
    run.until("another link", |_| proxy.accepted() == 2);
    took(began, 2.0);
    proxy.set(Direction::ToClient, Rules::default());
    let ended = run.end();
    assert_eq!(ended.ends(0, [10, 3, 7, 0, 0, 0]).count("reconnects"), 1, "{ended:?}");
    place.write("all", events(10));
    place.holds_exactly("all");
}

#[test]
fn what_is_not_acknowledged_within_the_send_timeout_is_sent_again_and_does_not_fail() {
    // A server without JetStream, and somebody on it who plays a stream that swallows what it is given first.
    let place = Place::without_stream(ServerOptions { jetstream: false, ..ServerOptions::default() });
    let mut stream = place.raw();
    stream.subscribe("$JS.API.>");
    stream.subscribe("orders.>");
    stream.flush();
    place.configure("source: { type: stdin, input_id: x }", "send_timeout_secs: 1");
    let mut run = place.start(&["-c", "natsink.yaml"]);
    run.write(events(1));
    let mut first: Option<(Instant, String)> = None;
    loop {
        let asked = stream.next();
        let reply = asked.reply.as_deref().expect("it is asked");
        if asked.subject.starts_with("$JS.") {
            stream.send(reply, None, &[], stream_info(&asked.subject).to_string().as_bytes());
            continue;
        }
        let id = asked.header("Nats-Msg-Id").expect("an id").to_owned();
        if let Some((began, first_id)) = &first {
            took(*began, 1.0);
            assert_eq!(*first_id, id);
            stream.send(reply, None, &[], br#"{"stream":"ORDERS","seq":1}"#);
            break;
        }
        first = Some((Instant::now(), id));
    }
    let ended = run.end();
    ended.ends(0, [1, 1, 0, 0, 0, 0]);
    assert_eq!(["replayed", "reconnects"].map(|name| ended.count(name)), [1, 0], "{ended:?}");
}

/// What JetStream says of a stream that holds nothing.
fn stream_info(subject: &str) -> Value {
    assert_eq!(subject, "$JS.API.STREAM.INFO.ORDERS");
    json!({
        "type": "io.nats.jetstream.api.v1.stream_info_response",
        "config": {
            "name": "ORDERS", "subjects": ["orders.>"], "retention": "limits", "storage": "file", "discard": "old",
            "num_replicas": 1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msg_size": -1, "max_consumers": -1,
            "duplicate_window": 120_000_000_000_u64,
        },
        "created": "2026-01-01T00:00:00Z",
        "state": { "messages": 0, "bytes": 0, "first_seq": 1, "last_seq": 0, "consumer_count": 0 },
    })
}
