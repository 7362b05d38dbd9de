//! T01–T10: handshakes that go wrong, and what is never said when they do.

use std::fs;
use std::time::Duration;

use natsink::connection::{CloseReason, LinkError, TlsError, TlsOptions};
use natsink::jetstream::Outcome;

use super::case::{Case, server_config};
use super::peer::{INFO, Peer};
use super::stage::Heard;
use super::support::{Authority, Identity};

/// A link that was good, so that what fails later is not final at once.
fn after_a_good_link(peer: &mut Peer) {
    peer.greet();
    peer.hang_up();
    peer.accept();
}

#[test]
fn t01_bytes_between_info_and_handshake() {
    for injected in ["MSG _INBOX.x 1 2\r\n{}\r\n", "PONG\r\n", "INFO {}\r\n", "-ERR 'Stale Connection'\r\n", "x"] {
        Case::new("T01").upgrading().play(|peer| {
            after_a_good_link(peer);
            peer.say(format!("INFO {INFO}\r\n{injected}"));
            let said = peer.said_until_lost();
            assert!(!contains(&said, b"CONNECT"), "{}", said.escape_ascii());
            match peer.reason() {
                LinkError::OutOfPlace(words) => assert_eq!(words, "bytes in clear before the TLS handshake"),
                // What comes with a later read than INFO is taken for the answer to the handshake.
                LinkError::Tls(TlsError::NotTls(_)) if !peer.is_in_memory() => {}
                other => panic!("{other:?}"),
            }
        });
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn t02_an_answer_that_is_no_tls() {
    let alert = b"\x15\x03\x03\x00\x02\x02\x28";
    for answer in
        [&b"PONG\r\n+OK\r\n-ERR 'x'\r\n"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", alert, b"\x16\x03\x03\xff\xff"]
    {
        Case::new("T02").upgrading().play(|peer| {
            after_a_good_link(peer);
            peer.say(format!("INFO {INFO}\r\n"));
            // The client's side of the handshake.
            let mut said = peer.wait("a handshake", |peer| match peer.stage.hear() {
                Heard::Bytes(bytes) => Some(bytes),
                _ => None,
            });
            peer.say(answer);
            said.extend(peer.said_until_lost());
            assert!(!contains(&said, b"CONNECT"), "nothing is said in clear after a handshake that failed");
            match peer.reason() {
                LinkError::Tls(TlsError::Refused(words)) if answer == alert => {
                    assert!(words.contains("HandshakeFailure"))
                }
                LinkError::Tls(TlsError::NotTls(_)) if answer != alert => {}
                other => panic!("{other:?}"),
            }
        });
    }
}

#[test]
fn t03_certificates_that_prove_nothing() {
    type Made = fn(&Authority) -> Identity;
    let cases: [(Made, &str, &str); 7] = [
        (|authority| authority.server_named(&["other.example"]), "localhost", "it is not for \"localhost\""),
        (|authority| authority.server_named(&[]), "localhost", "it is not for \"localhost\""),
        (|authority| authority.server_named(&["localhost"]), "127.0.0.1", "it is not for \"127.0.0.1\""),
        (Authority::server_expired, "localhost", "it expired"),
        (Authority::server_not_yet, "localhost", "it is not valid for another"),
        (Authority::server_self_signed, "localhost", "nobody in"),
        (Authority::server_for_clients_only, "localhost", "it is not for servers"),
    ];
    for (identity, name, words) in cases {
        let case = Case::new("T03").upgrading().identity(identity);
        case.with(|options| options.tls.server_name = Some(name.into())).play(|peer| {
            peer.accept();
            peer.say(format!("INFO {INFO}\r\n"));
            peer.stage.secure();
            assert_eq!(peer.said_until_lost(), b"");
            let reason = peer.closed();
            let CloseReason::Incompatible(LinkError::Tls(TlsError::Untrusted(why))) = &reason else {
                panic!("{reason:?}")
            };
            assert!(why.starts_with(words), "{why}");
        });
    }
}

#[test]
fn t04_clear_text_where_the_handshake_comes_first() {
    Case::new("T04").upgrading().with(|options| options.tls.first = true).play(|peer| {
        peer.accept();
        peer.say(format!("INFO {INFO}\r\n"));
        if peer.is_in_memory() {
            assert_eq!(peer.lost(), LinkError::OutOfPlace("bytes in clear before the TLS handshake"));
            return peer.ends_here();
        }
        let said = peer.said_until_lost();
        assert!(!contains(&said, b"CONNECT"));
        let reason = peer.closed();
        assert!(matches!(reason, CloseReason::Incompatible(LinkError::Tls(TlsError::NotTls(_)))), "{reason:?}");
    });
}

#[test]
fn t05_an_end_without_farewell_in_the_midst_of_a_message() {
    Case::new("T05").play(|peer| {
        peer.greet();
        peer.add_publisher();
        let published = peer.publish(1);
        let sid = peer.sid_of(&published.reply);
        peer.say(format!("MSG {} {sid} 24\r\n{{\"stream\":\"ORD\",\"seq\":7", published.reply));
        assert_eq!(peer.hang_up(), LinkError::Closed { hint: None });
        assert!(!peer.is_settled(1), "half an answer is none");
        peer.greet();
        let again = peer.published();
        assert_eq!((&again.headers, &again.payload), (&published.headers, &published.payload));
        peer.ack(&again, 8);
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 8 });
    });
}

#[test]
fn t06_a_handshake_that_never_ends() {
    let patience = |peer: &Peer| if peer.is_in_memory() { Duration::from_secs(10) } else { Duration::from_secs(1) };
    for stalls_behind_the_handshake in [false, true] {
        for timeout in [Duration::from_secs(10), Duration::from_secs(1)] {
            Case::new("T06").upgrading().coarse().with(|options| options.connect_timeout = timeout).play(|peer| {
                if patience(peer) != timeout {
                    return;
                }
                peer.accept();
                let started = peer.stage.now();
                peer.stage.pass(timeout / 4);
                peer.say(format!("INFO {INFO}\r\n"));
                if stalls_behind_the_handshake {
                    peer.stage.secure();
                    peer.connect();
                    peer.say("PING\r\n+OK\r\n");
                }
                peer.said_until_lost();
                assert_eq!(peer.reason(), LinkError::ConnectTimeout);
                let took = peer.stage.now() - started;
                let late = if peer.is_in_memory() { took > timeout } else { took > timeout * 4 };
                assert!(!late && took >= timeout * 3 / 4, "one deadline for all of it, not {took:?}");
            });
        }
    }
}

#[test]
fn t07_nothing_before_the_handshake_is_over() {
    Case::new("T07").play(|peer| {
        for _ in 0..3 {
            peer.greet();
            assert!(peer.stage.is_fresh());
            peer.hang_up();
        }
    });
}

#[test]
fn t08_roots_that_are_renewed() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ca_file = dir.path().join("roots.pem");
    let servers = [server_config(&old.server()), server_config(&new.server())];
    let trust = |authority: &Authority| fs::copy(authority.ca_file(), &ca_file).expect("a file of ours");
    trust(&old);
    Case::new("T08").trusting(&ca_file, servers[0].clone()).play(|peer| {
        peer.greet();
        peer.hang_up();
        peer.stage.become_another(servers[1].clone());
        peer.accept();
        assert!(matches!(peer.lost(), LinkError::Tls(TlsError::Untrusted(_))));
        trust(&new);
        peer.greet();
    });
}

#[test]
fn t09_a_key_file_that_is_none() {
    const CANARY: &str = "canaryMIGHAgEAMBMGByqGSM49";
    let authority = Authority::new("authority");
    let client = authority.client("client");
    let whole = fs::read_to_string(&client.key).expect("a file of ours");
    let contents = [
        CANARY.to_owned(),
        format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"),
        format!("-----BEGIN {CANARY}-----\nMIGH\n-----END PRIVATE KEY-----\n"),
        whole.replace("-----END", CANARY),
        format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{CANARY}\n-----END ENCRYPTED PRIVATE KEY-----\n"),
        CANARY.repeat(10_000),
        String::new(),
    ];
    let path = |path: &std::path::Path| Some(path.to_str().expect("text").to_owned());
    for content in contents {
        fs::write(&client.key, &content).expect("a file of ours");
        let tls = TlsOptions { cert_file: path(&client.cert), key_file: path(&client.key), ..TlsOptions::default() };
        let reason = || {
            Case::new("T09").upgrading().with(|options| {
                let ca_file = options.tls.ca_file.take();
                options.tls = TlsOptions { ca_file, ..tls.clone() };
            })
        };
        reason().play(|peer| {
            peer.accept();
            peer.say(format!("INFO {INFO}\r\n"));
            let reason = peer.closed();
            let shown = format!("{reason} {reason:?}");
            assert!(shown.contains(client.key.to_str().expect("text")), "{shown}");
            assert!(!shown.contains("canary") && !shown.contains("MIG"), "{shown}");
            assert!(matches!(reason, CloseReason::Incompatible(LinkError::Tls(TlsError::Files(_)))), "{reason:?}");
        });
    }
}

#[test]
fn t10_a_silent_end_after_a_clear_connect() {
    Case::new("T10").play(|peer| {
        peer.accept();
        peer.say(format!("INFO {INFO}\r\n"));
        peer.connect();
        let LinkError::Closed { hint: Some(hint) } = peer.hang_up() else { panic!("the end of a link without a word") };
        assert!(hint.contains("it may demand TLS"), "{hint}");
    });
}
