//! What the server refuses: credentials, subjects, messages, and the way they are carried.

use std::time::Duration;

use serde_json::json;

use super::agree::{Shown, agree, agree_exactly};
use super::support::command::{Place, events};
use super::support::{Authority, Proxy, ServerOptions};

/// At once, on a machine with other things to do.
const AT_ONCE: Duration = Duration::from_secs(4);

#[test]
fn authentication_failure() {
    let mut place = Place::without_stream(ServerOptions::with_user("ann", "right"));
    place.create_stream(json!({}));
    let wrong = place.server.url().replace("right", "wrong");
    let refused = place.pipe(&["--url", &wrong], events(1));
    refused.fails(77, "auth", &["credentials refused", "Authorization Violation"]);
    assert!(refused.took < AT_ONCE && !refused.told.contains("wrong"), "{refused:?}");
    // Later it is tried again for a while: servers refuse good users too, for a moment.
    place.configure("source: { type: stdin, input_id: x }\ncheckpoint: { path: c }", "id: s, retry: { auth_secs: 2 }");
    let mut shown = Shown::start(&place, &["-c", "natsink.yaml"]);
    shown.run.write(events(2));
    shown.delivers(2);
    shown.run.until("two are committed", |_| place.position("c") == events(2).len() as u64);
    place.server.reload("authorization { user: bob, password: p }");
    shown.run.write(&events(3)[events(2).len()..]);
    shown.run.tells("Authorization Violation");
    shown.is_ready(false);
    let over = shown.run.end();
    over.fails(77, "auth", &["credentials refused"]).ends(77, [3, 2, 0, 0, 1, 0]);
    place.server.reload("authorization { user: ann, password: right }");
    let ended = place.pipe(&["-c", "natsink.yaml"], events(3));
    ended.ends(0, [1, 1, 0, 0, 0, 0]);
    agree_exactly(&place.server.url(), &[&over, &ended], &events(3));
}

#[test]
fn permission_denied_for_a_subject() {
    let users = r#"authorization { users: [
        { user: all, password: p }
        { user: ann, password: p, permissions: { publish: { deny: "orders.denied" } } }
    ] }"#;
    let options = ServerOptions { config: users.into(), credentials: Some("all:p".into()), ..ServerOptions::default() };
    let place = Place::without_stream(options);
    place.create_stream(json!({}));
    let url = place.server.url().replace("all:p", "ann:p");
    let input = "{\"to\":\"a\"}\n{\"to\":\"denied\"}\n{\"to\":\"b\"}\n";
    let args = ["--url", &url, "--format", "json", "--subject", "orders.${to}", "--input-id", "x"];
    let stopped = place.pipe(&args, input);
    stopped.fails(77, "permission", &["orders.denied", "line 2", "no permission"]);
    assert!(stopped.took < AT_ONCE, "by the server's word, not by a timeout: {stopped:?}");
    let passed = place.pipe(&[&args[..], &["--dead-letter", "dead"]].concat(), input);
    assert_eq!((passed.code, passed.count("dead"), passed.count("pending")), (0, 1, 0), "{passed:?}");
    assert_eq!(place.letters("dead")[0]["subject"], "orders.denied");
    let mut stored = agree(&place.server.url(), &[&stopped, &passed]);
    stored.sort_unstable();
    assert_eq!(stored, ["{\"to\":\"a\"}", "{\"to\":\"b\"}"]);
}

#[test]
fn message_too_large() {
    // What the server takes, headers counted.
    let place = Place::without_stream(ServerOptions { max_payload: Some(1000), ..ServerOptions::default() });
    place.create_stream(json!({}));
    let line = |len: usize| "x".repeat(len) + "\n";
    let args = ["--format", "lines", "--dead-letter", "dead", "--header", "x-env=prod"];
    let (small, large) = (line(500), line(990));
    let mut shown = Shown::start(&place, &args);
    shown.run.write(format!("{small}{large}{small}"));
    let ended = shown.ends_with(2);
    ended.ends(0, [3, 2, 0, 1, 0, 0]);
    assert_eq!(ended.count("reconnects"), 0, "the server never saw it");
    let letters = place.letters("dead");
    assert_eq!((letters.len(), letters[0]["payload"].as_str().map(str::len)), (1, Some(990)));
    agree_exactly(&place.server.url(), &[&ended], &(small.clone() + &small));
    let stopped = place.pipe(&["--format", "lines"], format!("{small}{large}{small}"));
    stopped.fails(65, "event", &["line 2, byte 501", "larger than the 1000 bytes"]);
    // What the stream takes.
    let place = Place::without_stream(ServerOptions::default());
    place.create_stream(json!({"max_msg_size": 700}));
    let mut shown = Shown::start(&place, &args[..4]);
    shown.run.write(format!("{small}{large}{small}"));
    shown.delivers(2);
    // And what it takes no more, which is known from its refusal alone.
    let config = json!({"name": "ORDERS", "subjects": ["orders.>"], "max_msg_size": 400});
    assert!(place.raw().api("STREAM.UPDATE.ORDERS", &config)["error"].is_null());
    let smaller = line(100);
    shown.run.write(format!("{small}{smaller}"));
    let ended = shown.ends_with(3);
    ended.ends(0, [5, 3, 0, 2, 0, 0]);
    let reason = place.letters("dead").last().map(|letter| letter["reason"].to_string()).expect("a letter");
    assert!(reason.contains("10054"), "{reason}");
    agree_exactly(&place.server.url(), &[&ended], &[small.as_str(), &small, &smaller].concat());
}

#[test]
fn tls_errors() {
    let authority = Authority::new("roots");
    let strangers = Authority::new("strangers");
    let (ca, stranger) = (authority.ca_file(), strangers.ca_file());
    let mut place = Place::without_stream(ServerOptions::with_tls(&authority.server(), ""));
    let proxy = Proxy::start(&place.server.address());
    let run = |place: &Place, ca: &std::path::Path| {
        place.pipe(&["--tls-ca", ca.to_str().unwrap(), "--url", &proxy.url()], events(1))
    };
    // One dial for the first, none for the second.
    for (ca, code) in [(stranger.as_path(), 77), (std::path::Path::new("absent.pem"), 78)] {
        let ended = run(&place, ca);
        ended.fails(code, "tls", &[]);
        assert_eq!(proxy.accepted(), 1, "without another try: {ended:?}");
        assert!(ended.took < AT_ONCE, "{ended:?}");
    }
    // Never in clear text, whatever the server offers.
    place.server.restart_with("");
    place.create_stream(json!({}));
    run(&place, &ca).fails(77, "tls", &["TLS is demanded"]);
    assert!(place.stored().is_empty());
}
