//! I01–I06 and I15–I20: what a server says of itself, and what a client makes of it.

use std::collections::BTreeSet;

use natsink::connection::{CloseReason, LinkError, SERVERS_MAX};
use natsink::jetstream::{Message, Outcome, PublisherError, PublisherOptions, Rejection, StreamProblem, SubmitError};
use natsink::proto::{InfoError, ServerError, Subject};
use natsink::session::LinkNotice;
use serde_json::json;

use super::case::Case;
use super::peer::{INFO, Peer};

/// The INFO of a good server with these members in the place of its own.
pub(crate) fn info(members: &serde_json::Value) -> String {
    let mut info: serde_json::Value = serde_json::from_str(INFO).expect("JSON");
    for (name, value) in members.as_object().expect("members") {
        info[name] = value.clone();
    }
    info.to_string()
}

/// A first INFO with this JSON ends the dial for this reason, and nothing is said to whoever wrote it.
pub(crate) fn is_refused(number: &str, json: &str, error: &LinkError) {
    Case::new(number).coarse_if(json.len() > 1000).play(|peer| {
        peer.accept();
        peer.say(format!("INFO {json}\r\n"));
        assert_eq!(peer.said_until_lost(), b"", "{json:.200}");
        assert_eq!(peer.reason(), *error, "{json:.200}");
    });
}

#[test]
fn i01_info_that_is_no_json() {
    let nested = format!("{{\"a\":{}", "[".repeat(10_000));
    let bad = ["", "{", "[]", "null", "\"x\"", "{\"a\":1}}", "{'a':1}", "{\"a\":1,}", "{\"a\":\"\x01\"}", &nested];
    for json in bad {
        is_refused("I01", json, &LinkError::Info(InfoError::Json));
    }
    is_refused("I01", r#"{"headers":true,"headers":true}"#, &LinkError::Info(InfoError::DuplicateField));
    // The first one stands.
    Case::new("I01").play(|peer| {
        peer.greet();
        peer.add_publisher();
        for json in ["", "{", "[]", r#"{"max_payload":1,"max_payload":1}"#, r#"{"max_payload":-1}"#] {
            peer.say(format!("INFO {json}\r\n"));
        }
        peer.fence();
        assert_eq!(peer.stage.statistics().strays, 5, "they are counted");
        let published = peer.publish(1);
        peer.ack(&published, 7);
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 7 });
    });
}

#[test]
fn i02_fields_of_another_type_or_size() {
    for (member, name) in [
        (r#""max_payload":-1"#, "max_payload"),
        (r#""max_payload":"1048576""#, "max_payload"),
        (r#""max_payload":1.5"#, "max_payload"),
        (r#""max_payload":18446744073709551616"#, "max_payload"),
        (r#""headers":1"#, "headers"),
        (r#""tls_required":"no""#, "tls_required"),
        (r#""proto":256"#, "proto"),
        (r#""client_id":-5"#, "client_id"),
        (r#""server_name":[]"#, "server_name"),
        (r#""connect_urls":"a:1""#, "connect_urls"),
        (r#""nonce":5"#, "nonce"),
    ] {
        let others = if name == "headers" { "" } else { r#""headers":true,"# };
        is_refused("I02", &format!("{{{others}{member}}}"), &LinkError::Info(InfoError::Field(name)));
    }
    // A number that no JSON reader can hold.
    is_refused("I02", r#"{"headers":true,"max_payload":1e400}"#, &LinkError::Info(InfoError::Json));
}

#[test]
fn i03_unknown_fields_and_blanks() {
    Case::new("I03").play(|peer| {
        peer.greet_with(&info(&json!({"xkey": "X", "new": {"deep": [1, {"headers": false}]}, "nothing": null})));
        peer.fence();
    });
    Case::new("I03").play(|peer| {
        peer.greet_with(&format!(" \t{INFO}  \t"));
    });
}

/// Dials after a link that told of these servers: to whom they went.
fn dialled_after(peer: &mut Peer, urls: &[String], dials: usize) -> BTreeSet<String> {
    peer.greet_with(&info(&json!({ "connect_urls": urls })));
    peer.hang_up();
    peer.dials(dials)
}

fn own() -> BTreeSet<String> {
    BTreeSet::from(["nats://localhost:4222".to_owned()])
}

#[test]
fn i04_ten_thousand_other_servers() {
    let urls: Vec<String> = (0..10_000).map(|i| format!("127.1.{}.{}:1", i / 250, i % 250)).collect();
    Case::new("I04").coarse().play(|peer| {
        if !peer.is_in_memory() {
            // Those told of refuse, one after the other; the good one is found among them.
            peer.greet_with(&info(&json!({ "connect_urls": urls })));
            peer.hang_up();
            return;
        }
        let dialled = dialled_after(peer, &urls, 400);
        assert_eq!(dialled.len(), SERVERS_MAX);
        assert!(dialled.contains("nats://localhost:4222"), "its own server is not pushed out");
    });
    let much = json!({ "headers": true, "connect_urls": vec!["a:1"; 300_000] }).to_string();
    let cap = natsink::connection::Limits::default().info_max;
    is_refused("I04", &much, &LinkError::Protocol(natsink::proto::ParseError::LineTooLong { max: cap }));
}

#[test]
fn i05_servers_that_are_no_addresses() {
    let urls = [
        "nats://127.0.0.2:1",
        "user:pass@127.0.0.2:1",
        "u@127.0.0.2:1",
        "127.0.0.2:1/path",
        "127.0.0.2:1?x",
        "127.0.0.2\n:1",
        "127.0.0.2:1\r\nPUB x 0",
        "127.0.0.2:0",
        "127.0.0.2:70000",
        "127.0.0.2:+1",
        "127.0.0.2:",
        "127.0.0.2",
        "::2",
        "::2:1",
        "[::2]",
        "[x]:1",
        ":1",
        "..:1",
        "a b:1",
        "b\u{fc}cher:1",
        "",
        "\u{0}:1",
    ];
    let mut urls = urls.map(str::to_owned).to_vec();
    urls.push("127.0.0.3:1".into());
    Case::new("I05").play(|peer| {
        if !peer.is_in_memory() {
            peer.greet_with(&info(&json!({ "connect_urls": urls })));
            peer.hang_up();
            return;
        }
        let mut expected = own();
        expected.insert("nats://127.0.0.3:1".into());
        assert_eq!(dialled_after(peer, &urls, 12), expected);
    });
    let mixed = json!({ "headers": true, "connect_urls": [5, null, ["a:1"], {"a:1": "a:1"}] });
    Case::new("I05").play(|peer| {
        peer.greet_with(&mixed.to_string());
    });
}

#[test]
fn i06_servers_where_they_should_not_be() {
    let urls = ["169.254.169.254:80", "127.0.0.1:1", "10.0.0.1:22", "192.168.1.1:4222", "[::1]:1"].map(str::to_owned);
    // A library's user decides; the command always ignores them.
    let case = Case::new("I06").with(|options| options.ignore_discovered = true);
    case.play(|peer| assert_eq!(only_port(&dialled_after(peer, &urls, 12)).len(), 1));
    let case = Case::new("I06");
    case.play(|peer| {
        if peer.is_in_memory() {
            assert_eq!(dialled_after(peer, &urls, 20).len(), 1 + urls.len());
        }
    });
    #[cfg(feature = "cli")]
    super::command::dials_its_own_server_alone();
}

/// The hosts, where the ports depend on the stage.
pub(crate) fn only_port(dialled: &BTreeSet<String>) -> BTreeSet<&str> {
    let hosts = dialled.iter().map(|url| url.trim_start_matches("nats://").split(':').next().expect("a host"));
    let hosts: BTreeSet<&str> = hosts.collect();
    assert!(hosts.contains("localhost"));
    hosts
}

#[test]
fn i15_a_payload_limit_that_shrinks_without_a_word() {
    Case::new("I15").play(|peer| {
        peer.greet();
        peer.add_publisher();
        for tag in 1..=3 {
            peer.submit(tag);
        }
        let violation = LinkError::Refused(ServerError::MaximumPayloadViolation);
        let mut violations = 0;
        let mut acked = BTreeSet::new();
        // The server takes all but message 2, and closes over that one whenever it sees it.
        while acked.len() < 2 {
            let published = peer.published();
            if published.payload == b"2" {
                violations += 1;
                assert!(violations < 5, "it is sent again and again");
                peer.say("-ERR 'Maximum Payload Violation'\r\n");
                assert_eq!(peer.lost(), violation);
                peer.greet();
            } else if acked.insert(published.payload.clone()) {
                peer.ack(&published, 100 + acked.len() as u64);
            }
        }
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 101 });
        assert_eq!(peer.outcome(2), Outcome::Rejected(Rejection::Violation(ServerError::MaximumPayloadViolation)));
        assert_eq!(peer.outcome(3), Outcome::Stored { seq: 102 });
    });
}

#[test]
fn i16_a_payload_limit_of_nothing() {
    for max in [0, 1] {
        Case::new("I16").play(|peer| {
            peer.greet_with(&info(&json!({ "max_payload": max })));
            peer.add_publisher();
            let message = Message::new(Subject::new("ord.1").expect("a subject"), b"ab");
            let refused = peer.stage.submit(1, &message).expect_err("more than the server takes");
            assert!(matches!(refused, SubmitError::Rejected(Rejection::TooLarge { max: limit, .. }) if limit == max));
            peer.fence();
            assert!(peer.waiting().is_empty(), "nothing of it was sent");
            peer.hang_up();
            peer.greet();
        });
    }
}

#[test]
fn i17_a_thousand_announcements_of_the_end() {
    let lame = format!("INFO {}\r\n", info(&json!({"ldm": true})));
    Case::new("I17").coarse().play(|peer| {
        peer.greet();
        peer.new_notices();
        peer.say(lame.repeat(1000));
        peer.fence();
        assert_eq!(peer.new_notices(), [LinkNotice::LameDuck], "said once, and there is no other server to go to");
    });
    // With another server it is left, once. An address that refuses is as good as any.
    let other = info(&json!({"ldm": true, "connect_urls": ["127.0.0.3:1"]}));
    Case::new("I17").coarse().play(|peer| {
        peer.greet();
        peer.new_notices();
        peer.say(format!("INFO {other}\r\n").repeat(1000));
        assert_eq!(peer.lost(), LinkError::LameDuck);
        if peer.is_in_memory() {
            peer.accept();
            assert_eq!(peer.stage.dialled().host, "127.0.0.3");
            peer.hang_up();
        } else {
            // The one that was left is left alone for ten seconds.
            peer.ends_here();
        }
    });
}

#[test]
fn i18_servers_that_lack_something() {
    for (lacks, what) in [(json!({"headers": false}), "headers"), (json!({"proto": 0}), "protocol 1")] {
        Case::new("I18").play(|peer| {
            peer.accept();
            peer.say(format!("INFO {}\r\n", info(&lacks)));
            assert_eq!(peer.said_until_lost(), b"");
            assert_eq!(peer.closed(), CloseReason::Incompatible(LinkError::Unsupported(what)));
        });
    }
    Case::new("I18").play(|peer| {
        peer.greet_with(&info(&json!({"jetstream": false})));
        peer.stage.add_publisher(PublisherOptions::stream("ORD"));
        for _ in 0..3 {
            let look = peer.published();
            peer.answer_with(&look, "NATS/1.0 503\r\n\r\n", "");
        }
        let problem = PublisherError::Stream(StreamProblem::NoJetStream { server: true });
        peer.wait("the publisher to be over", |peer| peer.stage.failure().filter(|failure| *failure == problem));
    });
}

#[test]
fn i19_another_server_in_the_midst_of_a_link() {
    Case::new("I19").play(|peer| {
        peer.greet();
        peer.new_notices();
        peer.say(format!("INFO {}\r\n", info(&json!({"server_id": "OTHER", "server_name": "other", "client_id": 7}))));
        peer.fence();
        assert_eq!(peer.new_notices(), []);
        assert_eq!(peer.stage.statistics().connects, 1);
    });
}

#[test]
fn i20_names_made_for_a_terminal() {
    Case::new("I20").play(|peer| {
        peer.greet_with(&info(&json!({"server_name": "\u{1b}[2Ja\r\nb\u{202e}\u{7f}", "server_id": "S"})));
        let notices = peer.new_notices();
        let [LinkNotice::Up { server: Some(name), .. }] = &notices[..] else { panic!("{notices:?}") };
        assert_eq!(name, "\\u{1b}[2Ja\\r\\nb\u{202e}\\u{7f}");
    });
}
