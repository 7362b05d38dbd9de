//! Core mode: a sink without a stream, which knows only that the server has read what it wrote.

mod support;

use std::collections::HashSet;

use support::command::{Place, Run, events};
use support::{Proxy, ServerOptions, reader};

/// Runs without a stream, with these further arguments.
fn start(place: &Place, url: &str, more: &[&str]) -> Run {
    place.start_bare(&[&["run", "--url", url, "--input", "in"], more].concat())
}

const EVENTS: [&str; 2] = ["--subject", "orders.events"];

#[test]
fn without_a_stream_subscribers_get_each_event_with_its_id() {
    let place = Place::without_stream(ServerOptions { jetstream: false, ..ServerOptions::default() });
    let text = events(500);
    place.write("in", &text);
    let mut listening = place.raw();
    listening.subscribe("orders.>");
    listening.flush();
    let url = place.server.url();
    let args = [&EVENTS[..], &["--checkpoint", "c", "--header", "x-env=prod"]].concat();
    let ended = start(&place, &url, &args).end();
    ended.ends(0, [500, 500, 0, 0, 0, 0]);
    assert!(ended.receipt["stream"].is_null() && ended.receipt["first_seq"].is_null(), "{ended:?}");
    let mut ids = HashSet::new();
    for line in text.lines() {
        let received = listening.next();
        assert_eq!((received.subject.as_str(), &*received.payload), ("orders.events", line.as_bytes()));
        assert_eq!(received.header("x-env"), Some("prod"));
        assert!(ids.insert(received.header("Nats-Msg-Id").expect("an id").to_owned()), "an id twice");
    }
    assert_eq!(place.position("c"), text.len() as u64);
    start(&place, &url, &args).end().ends(0, [0; 6]);
}

#[test]
fn what_a_lost_link_had_not_confirmed_is_sent_again_with_the_same_ids() {
    let place = Place::new();
    let text = events(60_000);
    place.write("in", &text);
    let proxy = Proxy::start(&place.server.address());
    let mut raw = place.raw();
    let mut run = start(&place, &proxy.url(), &EVENTS);
    for cut in 1..4 {
        run.until("some more is there", |_| raw.stream_messages("ORDERS") >= cut * 4000);
        proxy.cut();
    }
    let ended = run.end();
    ended.ends(0, [60_000, 60_000, 0, 0, 0, 0]);
    assert!(ended.count("reconnects") >= 1 && ended.count("replayed") > 0, "{ended:?}");
    // Nobody promises an order here; that none is missing and none twice is the work of the ids.
    place.write("expected", &text);
    let verdict = reader::verdict(&place.server.url(), "ORDERS", &place.path("expected"));
    assert_eq!((verdict.lost, verdict.duplicated, verdict.altered, verdict.messages), (0, 0, 0, 60_000), "{verdict:?}");
}

#[test]
fn a_subject_that_the_server_refuses_is_a_dead_letter_or_the_end() {
    let config = r#"authorization { users: [ { user: u, password: p, permissions: { publish: { deny: "orders.denied.>" } } } ] }"#;
    let place = Place::without_stream(ServerOptions {
        config: config.into(),
        credentials: Some("u:p".into()),
        ..ServerOptions::default()
    });
    let url = place.server.url();
    let line = |class: &str, id: usize| format!(r#"{{"class":"{class}","id":{id}}}"#) + "\n";
    let args = ["--format", "json", "--subject", "orders.${class}.${id}"];
    place.write("in", line("good", 1) + &line("denied", 2) + &line("good", 3));
    let ended = start(&place, &url, &args).end();
    ended.fails(77, "permission", &["orders.denied.2", "line 2", "--dead-letter"]);
    // More of them between two answers than complaints are kept.
    let class = |id: usize| if id.is_multiple_of(3) { "denied" } else { "good" };
    place.write("in", (0..3000).map(|id| line(class(id), id)).collect::<String>());
    let mut listening = place.raw();
    listening.subscribe("orders.>");
    listening.flush();
    let ended = start(&place, &url, &[&args[..], &["--dead-letter", "dead", "--quiet"]].concat()).end();
    ended.ends(0, [3000, 2000, 0, 1000, 0, 0]);
    let letters = place.letters("dead");
    let refused: HashSet<&str> = letters.iter().filter_map(|letter| letter["subject"].as_str()).collect();
    assert!(letters.len() == 1000 && refused.len() == 1000 && refused.contains("orders.denied.2997"));
    let mut good = HashSet::new();
    while good.len() < 2000 {
        let received = listening.next();
        assert!(received.subject.starts_with("orders.good."), "{received:?}");
        good.insert(received.subject);
    }
}
