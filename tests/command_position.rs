//! Whose position a checkpoint holds, and when a run that ends early may say that it does.
#![cfg(feature = "cli")]

mod support;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use serde_json::json;
use support::command::{Place, events, until};

#[test]
fn the_position_of_one_stream_is_none_of_another() {
    let place = Place::new();
    place.create_stream(json!({"name": "OTHER", "subjects": ["other.>"]}));
    place.write("in", events(3));
    let args = ["--input", "in", "--checkpoint", "c"];
    place.run(&args).ends(0, [3, 3, 0, 0, 0, 0]);
    let other = ["--stream", "OTHER", "--subject", "other.events"];
    let ended = place.run(&[&args[..], &other].concat());
    ended.fails(75, "other_stream", &["stream ORDERS", "OTHER", "--from-start"]);
    assert_eq!(place.stored_in("OTHER"), []);
    place.run(&[&args[..], &other, &["--from-start"]].concat()).ends(0, [3, 3, 0, 0, 0, 0]);
}

#[test]
fn a_signal_before_the_server_answers_loses_no_position() {
    let place = Place::new();
    place.write("in", events(3));
    let args = ["--input", "in", "--checkpoint", "c"];
    let nowhere = ["--url", "nats://127.0.0.1:1"];
    let stopped = |args: &[&str]| {
        let mut run = place.start(args);
        run.tells("cannot connect");
        run.signal("TERM");
        run.end()
    };
    // Nothing holds the position yet.
    stopped(&[&args[..], &nowhere].concat()).fails(143, "signal", &["before anything was sent"]);
    place.run(&args).ends(0, [3, 3, 0, 0, 0, 0]);
    assert_eq!(stopped(&[&args[..], &nowhere].concat()).code, 0);
    // A position that is not this run's is none.
    stopped(&[&args[..], &nowhere, &["--from-start"]].concat()).fails(143, "signal", &["before anything was sent"]);
}

#[test]
fn a_signal_ends_the_doubt_about_a_fresh_start() {
    let place = Place::new();
    place.write("in", events(3));
    // Answers for JetStream, but for what was stored last.
    let mut api = place.raw();
    api.subscribe("api.>");
    api.flush();
    let args = ["--input", "in", "--checkpoint", "c", "--js-api-prefix", "api", "--send-timeout", "120"];
    let run = place.start(&args);
    loop {
        let asked = api.next();
        if asked.subject.contains("MSG.GET") {
            break;
        }
        let subject = asked.subject.replacen("api", "$JS.API", 1);
        let answer = place.raw().request(&subject, &[], &asked.payload);
        api.send(&asked.reply.expect("it is asked"), None, &[], &answer.payload);
    }
    run.stop("TERM").fails(143, "signal", &["before anything was sent"]);
    assert_eq!(place.stored(), []);
}

#[test]
fn what_was_read_before_the_input_failed_is_delivered_and_committed() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (mut ours, _) = listener.accept().expect("it connects");
    // What nobody reads makes of the end a reset.
    theirs.write_all(b"unread").expect("connected");
    // No commit is due before the end.
    place.write("c.yaml", "batch: { max_events: 100000, max_ms: 60000 }");
    let mut child = Command::new(env!("CARGO_BIN_EXE_natsink"))
        .current_dir(place.path("."))
        .args(["run", "--url", &place.server.url(), "--stream", "ORDERS", "--subject", "orders.events"])
        .args(["-c", "c.yaml", "--checkpoint", "c", "--input-id", "socket"])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command runs");
    let all = events(500);
    ours.write_all(all.as_bytes()).expect("connected");
    until("the first event", || !place.stored().is_empty());
    drop(ours);
    let code = child.wait().expect("it ends").code();
    assert_eq!(code, Some(66));
    let stored: usize = place.payloads().iter().map(|payload| payload.len() + 1).sum();
    assert_eq!(place.position("c"), stored as u64, "all that was stored is committed");
}
