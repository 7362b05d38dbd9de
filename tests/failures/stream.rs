//! Streams that are not there, take no such subject, or are full, and servers without JetStream.

use std::time::Duration;

use serde_json::{Value, json};

use super::agree::{Shown, agree};
use super::support::command::{Place, events};
use super::support::{Proxy, ServerOptions};

/// At once, on a machine with other things to do.
const AT_ONCE: Duration = Duration::from_secs(4);

#[test]
fn stream_not_found() {
    let place = Place::without_stream(ServerOptions::default());
    let none = place.pipe(&["--subject", "orders.${source.table}"], events(1));
    none.fails(78, "stream_not_found", &["stream ORDERS does not exist"]);
    none.says(&["nats stream add ORDERS --subjects 'orders.*' --defaults"]);
    assert!(none.took < AT_ONCE, "{none:?}");
    // Under a run it is looked up before the run gives up.
    place.create_stream(json!({}));
    let mut shown = Shown::start(&place, &["--checkpoint", "c", "--input-id", "x"]);
    shown.run.write(events(3));
    shown.delivers(3);
    shown.run.until("three are committed", |_| place.position("c") == events(3).len() as u64);
    place.raw().api("STREAM.DELETE.ORDERS", &json!({}));
    shown.run.write(&events(5)[events(3).len()..]);
    let gone = shown.run.end();
    gone.fails(75, "other_stream", &["ORDERS is gone"]).ends(75, [5, 3, 0, 0, 2, 0]);
    assert_eq!(place.position("c"), events(3).len() as u64);
}

#[test]
fn subject_mismatch() {
    let place = Place::new();
    let ended = place.pipe(&["--subject", "other.events"], events(1));
    ended.fails(78, "subject_not_captured", &["nats stream edit ORDERS --subjects 'orders.>,other.events'"]);
    assert!(ended.took < AT_ONCE, "{ended:?}");
    // What only one event asks for is that event's fault.
    let routed = r#"{"op":"c","source":{"table":"t"},"routing":{"topic":"other.events"}}"#;
    let ended = place.pipe(&["--dead-letter", "dead"], format!("{}{routed}\n{}", events(1), events(1)));
    ended.ends(0, [3, 2, 0, 1, 0, 0]);
    assert!(place.letters("dead")[0]["reason"].as_str().unwrap().contains("does not capture subject"));
    agree(&place.server.url(), &[&ended]);
}

#[test]
fn a_stream_that_will_not_do_any_more_is_noticed_at_the_next_connection() {
    for (change, words) in [
        (json!({"subjects": ["other.>"]}), ["nats stream edit ORDERS --subjects 'other.>,orders.events'"]),
        (json!({"subjects": ["orders.>"], "no_ack": true}), ["no_ack"]),
    ] {
        let place = Place::new();
        let proxy = Proxy::start(&place.server.address());
        let mut shown = Shown::start(&place, &["--url", &proxy.url(), "--checkpoint", "c", "--input-id", "x"]);
        shown.run.write(events(3));
        shown.delivers(3);
        let mut config = change;
        config["name"] = json!("ORDERS");
        let changed = place.raw().api("STREAM.UPDATE.ORDERS", &config);
        assert!(changed["error"].is_null(), "{changed}");
        proxy.cut();
        shown.run.tells("connection lost");
        shown.run.write(&events(5)[events(3).len()..]);
        let ended = shown.run.end();
        assert_eq!((ended.code, ended.count("stored")), (78, 3), "{ended:?}");
        ended.says(&words);
        assert_eq!(place.position("c"), events(3).len() as u64);
    }
}

#[test]
fn no_responders_without_a_stream() {
    // Core NATS answers no publish: that nobody listens is not to be known, and the run says what it does not promise.
    let place = Place::without_stream(ServerOptions::default());
    let lines = events(100);
    let args = ["run", "--url", &place.server.url(), "--subject", "orders.events", "--input-id", "x"];
    let mut unheard = place.start_bare(&args);
    unheard.pipe_all(lines.as_str());
    unheard.end().ends(0, [100, 100, 0, 0, 0, 0]).says(&["no stream is named", "at most once"]);
    let mut listener = place.raw();
    listener.subscribe("orders.>");
    listener.flush();
    let mut heard = place.start_bare(&args);
    heard.pipe_all(lines.as_str());
    let ended = heard.end();
    ended.ends(0, [100, 100, 0, 0, 0, 0]);
    assert!(ended.receipt["first_seq"].is_null(), "no stream has it: {ended:?}");
    let received: Vec<String> = (0..100).map(|_| String::from_utf8(listener.next().payload).expect("text")).collect();
    assert_eq!(received, lines.lines().collect::<Vec<_>>());
}

#[test]
fn jetstream_disabled() {
    let bare = Place::without_stream(ServerOptions { jetstream: false, ..ServerOptions::default() });
    let ended = bare.pipe(&[], events(1));
    ended.fails(78, "jetstream_disabled", &["not enabled on the server"]);
    assert!(ended.took < AT_ONCE, "{ended:?}");
    let accounts = "accounts { A: { users: [ { user: ann, password: p } ] }, B: { jetstream: enabled } }";
    let options =
        ServerOptions { config: accounts.into(), credentials: Some("ann:p".into()), ..ServerOptions::default() };
    let ended = Place::without_stream(options).pipe(&[], events(1));
    ended.fails(78, "jetstream_disabled", &["account", "jetstream: enabled"]);
    assert!(ended.took < AT_ONCE, "{ended:?}");
}

#[test]
fn stream_storage_exhausted_discard_old() {
    let place = Place::without_stream(ServerOptions::default());
    place.create_stream(json!({"discard": "old", "max_msgs": 10}));
    let ended = place.pipe(&["--input-id", "x"], events(100));
    ended.ends(0, [100, 100, 0, 0, 0, 0]);
    let kept: Vec<String> = place.payloads();
    assert_eq!(kept, events(100).lines().skip(90).collect::<Vec<_>>(), "the oldest made room");
    assert_eq!(ended.receipt["last_seq"], 100);
}

/// Fills a stream, says that the run waits with these words and gives up when its time is over, and that it goes on from
/// where it was once there is room.
fn exhausted(place: &Place, text: &str, words: &[&str], make_room: impl FnOnce()) {
    place.write("in", text);
    let args = ["--input", "in", "--checkpoint", "c"];
    let given_up = place.run(&[&args[..], &["--max-elapsed", "2"]].concat());
    given_up.fails(69, "unavailable", words);
    assert!(given_up.count("pending") > 0 && given_up.count("dead") == 0, "{given_up:?}");
    assert!(given_up.took < Duration::from_secs(15), "{given_up:?}");
    // Each pause is longer than the one before.
    let pause = |line: &str| line.split_once("paused for ")?.1.split(' ').next()?.parse::<u64>().ok();
    let pauses: Vec<u64> = given_up.told.lines().filter_map(pause).collect();
    assert!(pauses.len() > 2 && pauses.is_sorted_by(|before, after| before < after), "{pauses:?}: {given_up:?}");
    let held = place.position("c");
    let mut shown = Shown::start(place, &args);
    shown.run.tells(words[0]);
    assert_eq!(place.position("c"), held, "the position is held");
    make_room();
    let ended = shown.run.end();
    assert_eq!((ended.code, ended.count("pending"), ended.count("dead")), (0, 0, 0), "{ended:?}");
    let mut stored = agree(&place.server.url(), &[&given_up, &ended]);
    // A server that refuses one event and stores those behind it turns the order around, which the receipt admits.
    let lines: Vec<&str> = text.lines().collect();
    if given_up.count("inversions") + ended.count("inversions") == 0 {
        let mut expected = lines.clone();
        expected.truncate(stored.len());
        assert_eq!(stored, expected);
    }
    stored.sort_unstable();
    let mut expected = lines;
    expected.sort_unstable();
    assert_eq!(stored, expected);
}

#[test]
fn stream_storage_exhausted_discard_new() {
    let place = Place::without_stream(ServerOptions::default());
    let config = |limit: Value| {
        let mut config = json!({"name": "ORDERS", "subjects": ["orders.>"], "storage": "file", "discard": "new"});
        config.as_object_mut().unwrap().extend(limit.as_object().unwrap().clone());
        config
    };
    place.create_stream(config(json!({"max_msgs": 5})));
    exhausted(&place, &events(40), &["maximum messages exceeded", "10077"], || {
        assert!(place.raw().api("STREAM.UPDATE.ORDERS", &config(json!({"max_msgs": 1000})))["error"].is_null());
    });
    let place = Place::without_stream(ServerOptions::default());
    place.create_stream(config(json!({"max_bytes": 2000})));
    exhausted(&place, &events(40), &["maximum bytes exceeded", "10077"], || {
        assert!(place.raw().api("STREAM.UPDATE.ORDERS", &config(json!({"max_bytes": 1_000_000})))["error"].is_null());
    });
}

#[test]
fn what_is_stored_behind_a_refused_event_is_an_inversion() {
    // A stream that is full of one subject, and takes others.
    let place = Place::without_stream(ServerOptions::default());
    place.create_stream(json!({"discard": "new", "max_msgs_per_subject": 1, "discard_new_per_subject": true}));
    let line = |to: &str, id: u32| format!("{{\"to\":\"{to}\",\"id\":{id}}}\n");
    let args = ["--format", "json", "--subject", "orders.${to}", "--input-id", "x", "--checkpoint", "c"];
    let mut shown = Shown::start(&place, &args);
    shown.run.write(line("a", 1));
    shown.delivers(1);
    // The second for this subject is refused, and what came with it is stored.
    shown.run.write(line("a", 2) + &line("b", 3) + &line("c", 4));
    shown.run.tells("maximum messages per subject exceeded");
    shown.run.until("the others are stored", |_| place.raw().stream_messages("ORDERS") == 3);
    assert_eq!(place.position("c"), line("a", 1).len() as u64, "the position is held");
    place.raw().api("STREAM.PURGE.ORDERS", &json!({"filter": "orders.a"}));
    shown.delivers(4);
    // Two events are before one that came earlier.
    assert_eq!(shown.metric("deltaforge_sink_inversions_total"), 2.0);
    let ended = shown.run.end();
    assert_eq!((ended.code, ended.count("dead"), ended.count("inversions")), (0, 0, 2), "{ended:?}");
    let ids: Vec<String> = place.stored().iter().map(|event| event.payload.clone()).collect();
    assert_eq!(ids, [line("b", 3), line("c", 4), line("a", 2)].map(|line| line.trim_end().to_owned()));
}

#[test]
fn account_storage_exhausted() {
    let accounts =
        "accounts { A: { users: [ { user: ann, password: p } ], jetstream: { max_file: 64K, max_mem: 1M } } }";
    let options =
        ServerOptions { config: accounts.into(), credentials: Some("ann:p".into()), ..ServerOptions::default() };
    let place = Place::without_stream(options);
    place.create_stream(json!({}));
    // Another stream of the account takes most of it.
    place.create_stream(json!({"name": "OTHER", "subjects": ["other"]}));
    for _ in 0..8 {
        assert!(place.raw().publish("other", &[], &[b'x'; 5000])["error"].is_null());
    }
    exhausted(&place, &events(150), &["resource limits exceeded for account", "10002"], || {
        place.raw().api("STREAM.DELETE.OTHER", &json!({}));
    });
}
