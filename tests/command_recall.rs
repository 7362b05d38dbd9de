//! The command and a duplicate window of a second: outages of any length store nothing twice.

mod support;

use std::time::Duration;

use serde_json::json;
use support::command::{Place, events, until};
use support::proxy::Rules;
use support::{Direction, Proxy, Raw, ServerOptions};

const HOLD: Rules = Rules { rate: None, delay: Duration::ZERO, hold: true, cut_after: None };
/// The duplicate window, nanoseconds.
const WINDOW: u64 = 1_000_000_000;

/// A place whose stream forgets ids after a second.
fn forgetful(options: ServerOptions) -> Place {
    let place = Place::without_stream(options);
    place.create_stream(json!({"duplicate_window": WINDOW}));
    place
}

/// Waits until the server has forgotten the ids of all that it holds now: until it takes an id of now a second time.
fn forget(raw: &mut Raw) {
    let probe = json!({"probe": raw.stream_info("ORDERS")["state"]["last_seq"]}).to_string();
    let id = [("Nats-Msg-Id", probe.as_str())];
    raw.publish("orders.probe", &id, b"first");
    until("the window is over", || raw.publish("orders.probe", &id, b"again").get("duplicate").is_none());
}

/// The stream holds the lines of `text`, each once, in order, besides what others have written.
fn holds(place: &Place, text: &str) {
    // The reader makes a consumer of its own.
    assert_eq!(place.raw().stream_info("ORDERS")["state"]["consumer_count"], 0, "a consumer was left behind");
    let stored = place.stored();
    let ours: Vec<&str> =
        stored.iter().filter(|event| event.subject == "orders.events").map(|event| event.payload.as_str()).collect();
    assert_eq!(ours.len(), text.lines().count(), "lost, or twice");
    assert!(ours.iter().copied().eq(text.lines()), "not as in the input");
}

#[test]
fn a_killed_sink_that_comes_back_after_the_window_stores_nothing_twice() {
    let place = forgetful(ServerOptions::default());
    let text = events(30_000);
    place.write("in", &text);
    let mut raw = place.raw();
    let args = ["--input", "in", "--checkpoint", "c", "--quiet"];
    let mut last = 0;
    for kill in 0..4 {
        let mut run = place.start(&args);
        run.until("the checkpoint moves", |_| place.path("c").exists() && place.position("c") > last);
        run.kill9();
        last = place.position("c");
        assert!(last < text.len() as u64, "kill {kill} came too late to be one");
        forget(&mut raw);
        raw.publish("orders.other", &[("Nats-Msg-Id", "another writer's")], b"{}");
    }
    let ended = place.run(&args);
    assert_eq!((ended.code, ended.count("unverified"), ended.count("dead")), (0, 0, 0), "{ended:?}");
    holds(&place, &text);
}

#[test]
fn runs_one_after_the_other_do_not_read_back_more_and_more() {
    let place = forgetful(ServerOptions::default());
    let mut raw = place.raw();
    let args = ["--input", "in", "--checkpoint", "c", "--quiet"];
    let read_from = || {
        let checkpoint: serde_json::Value = serde_json::from_str(&place.read("c")).expect("JSON");
        checkpoint["state"]["sinks"][0]["read_from"].as_u64()
    };
    for events_now in [10, 20, 30] {
        place.write("in", events(events_now));
        assert_eq!(place.run(&args).code, 0);
        assert_eq!(read_from(), Some(raw.stream_messages("ORDERS")), "all that was sent is settled");
        raw.publish("orders.other", &[], b"{}");
    }
    // A killed one leaves a doubt, which ends with what there is to read.
    place.write("in", events(20_000));
    let mut run = place.start(&args);
    run.until("the checkpoint moves", |_| place.position("c") > events(30).len() as u64);
    run.kill9();
    forget(&mut raw);
    assert_eq!(place.run(&args).code, 0);
    assert_eq!(read_from(), raw.stream_info("ORDERS")["state"]["last_seq"].as_u64());
    holds(&place, &events(20_000));
}

#[test]
fn many_events_of_another_input_of_the_pipeline_hold_nobody_up() {
    let place = forgetful(ServerOptions::default());
    let (ours, others) =
        (["--input", "a", "--checkpoint", "ca", "--quiet"], ["--input", "b", "--checkpoint", "cb", "--quiet"]);
    place.write("a", events(10));
    assert_eq!(place.run(&ours).code, 0);
    // More than ids are held.
    place.write("b", format!("{{}}\n{}", events(135_000)));
    place.run(&[&others[..], &["--format", "json"]].concat()).ends(0, [135_001, 135_001, 0, 0, 0, 0]);
    for count in [15, 20] {
        place.append("a", &events(count)[events(count - 5).len()..]);
        place.run(&ours).ends(0, [5, 5, 0, 0, 0, 0]);
    }
}

#[test]
fn what_was_stored_and_not_acknowledged_is_found_after_the_window() {
    let place = forgetful(ServerOptions::default());
    let proxy = Proxy::start(&place.server.address());
    let mut raw = place.raw();
    let args = ["--url", &proxy.url(), "--checkpoint", "c", "--input-id", "x"];
    let mut run = place.start(&args);
    run.write(events(3));
    run.until("a checkpoint of all", |_| place.path("c").exists() && place.position("c") == events(3).len() as u64);
    proxy.set(Direction::ToClient, HOLD);
    run.write(&events(600)[events(3).len()..]);
    run.until("all are stored", |_| raw.stream_messages("ORDERS") == 600);
    run.kill9();
    proxy.set(Direction::ToClient, Rules::default());
    forget(&mut raw);
    let again = place.pipe(&args, events(605));
    assert_eq!(again.ends(0, [602, 5, 597, 0, 0, 0]).count("unverified"), 0);
    holds(&place, &events(605));
}

#[test]
fn a_server_away_for_longer_than_the_window_stores_nothing_twice() {
    for is_killed in [true, false] {
        let mut place = forgetful(ServerOptions::default());
        let proxy = Proxy::start(&place.server.address());
        let mut raw = place.raw();
        let args = ["--url", &proxy.url(), "--checkpoint", "c", "--input-id", "x", "--batch-timeout", "2"];
        let mut run = place.start(&args);
        run.write(events(100));
        run.until("a checkpoint of all", |_| {
            place.path("c").exists() && place.position("c") == events(100).len() as u64
        });
        // A window full of events is stored, and its acknowledgements are swallowed.
        proxy.set(Direction::ToClient, HOLD);
        run.write(&events(2_100)[events(100).len()..]);
        run.until("all are stored", |_| raw.stream_messages("ORDERS") == 2_100);
        if is_killed {
            place.server.kill9();
            proxy.cut();
            proxy.set(Direction::ToClient, Rules::default());
            std::thread::sleep(Duration::from_nanos(2 * WINDOW));
            place.server.restart();
            raw = place.raw();
        } else {
            forget(&mut raw);
            place.server.stop();
            run.tells("connection lost");
            place.server.cont();
            proxy.cut();
            proxy.set(Direction::ToClient, Rules::default());
        }
        run.write(&events(2_300)[events(2_100).len()..]);
        run.until("the rest is committed", |_| place.position("c") == events(2_300).len() as u64);
        let ended = run.stop("TERM");
        assert_eq!((ended.code, ended.count("duplicate"), ended.count("unverified")), (0, 2_000, 0), "{ended:?}");
        holds(&place, &events(2_300));
    }
}

#[test]
fn without_permission_to_read_back_nothing_is_sent() {
    let rights = |deny: &str| {
        let permissions = format!("permissions: {{ publish: {{ deny: [{deny}] }} }}");
        format!("authorization {{ users: [{{ user: u, password: p, {permissions} }}] }}")
    };
    let options =
        ServerOptions { config: rights("\"x\""), credentials: Some("u:p".into()), ..ServerOptions::default() };
    let mut place = forgetful(options);
    place.write("in", events(20));
    let args = ["--input", "in", "--checkpoint", "c"];
    place.run(&args).ends(0, [20, 20, 0, 0, 0, 0]);
    let kept = place.read("c");
    // An older checkpoint, as from a backup: it says that the stream can hold what comes next.
    place.write("in", events(40));
    place.run(&args).ends(0, [20, 20, 0, 0, 0, 0]);
    place.write("c", kept);
    for (deny, needed) in [
        ("\"$JS.API.CONSUMER.CREATE.>\"", "$JS.API.CONSUMER.CREATE.ORDERS.*"),
        ("\"$JS.API.CONSUMER.MSG.NEXT.>\"", "$JS.API.CONSUMER.MSG.NEXT.ORDERS.*"),
    ] {
        place.server.reload(&rights(deny));
        let ended = place.run(&args);
        ended.fails(77, "permission", &[needed, "stored twice"]);
        assert_eq!((ended.count("stored"), ended.count("duplicate")), (0, 0), "{ended:?}");
    }
    place.server.reload(&rights("\"x\""));
    place.run(&args).ends(0, [20, 0, 20, 0, 0, 0]);
    place.write("in", events(40));
    place.holds_exactly("in");
}

#[test]
fn a_pipe_that_breaks_off_earlier_than_the_last_one_leaves_what_is_stored_behind_it_in_doubt() {
    let place = forgetful(ServerOptions::default());
    let mut raw = place.raw();
    let args = ["--checkpoint", "c", "--input-id", "x"];
    place.pipe(&args, events(5)).ends(0, [5, 5, 0, 0, 0, 0]);
    let kept = place.read("c");
    place.pipe(&args, events(50)).ends(0, [45, 45, 0, 0, 0, 0]);
    // As a crash before the next checkpoint leaves it.
    place.write("c", kept);
    forget(&mut raw);
    place.pipe(&args, events(20)).ends(0, [15, 0, 15, 0, 0, 0]);
    place.pipe(&args, events(60)).ends(0, [40, 10, 30, 0, 0, 0]);
    holds(&place, &events(60));
}
