//! K01–K08 and K16–K18: answers to publishes that are forged, broken, late, double, or too many.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use natsink::jetstream::{Outcome, PublisherOptions, Rejection};

use super::case::Case;
use super::ops::Published;
use super::peer::{ORD, Peer};

/// Duplicates are believed, so that an answer is the end of it.
pub(crate) fn trusting() -> PublisherOptions {
    PublisherOptions { check_duplicates: false, ..PublisherOptions::default() }
}

/// These answers to a publish settle nothing and are counted; a good one then does.
pub(crate) fn prove_nothing(number: &str, answers: &[&[u8]]) {
    let much = answers.iter().map(|answer| answer.len()).sum::<usize>() > 1000;
    Case::new(number).coarse_if(much).play(|peer| {
        peer.greet();
        peer.add_ord_publisher(trusting());
        let published = peer.publish(1);
        for answer in answers {
            peer.answer(&published, answer);
        }
        peer.fence();
        assert!(!peer.is_settled(1), "one of these was believed");
        let counted = peer.stage.publisher_statistics();
        assert_eq!((counted.garbled, counted.anomalies), (answers.len() as u64, 0));
        assert!(peer.waiting().is_empty(), "nothing is sent again");
        stored(peer, &published);
    });
}

/// A publisher with three messages out, behind one that is stored.
pub(crate) fn three_out(peer: &mut Peer) -> [Published; 3] {
    peer.greet();
    peer.add_ord_publisher(trusting());
    let probe = peer.publish(0);
    peer.ack(&probe, 100);
    assert_eq!(peer.outcome(0), Outcome::Stored { seq: 100 });
    [1, 2, 3].map(|tag| peer.publish(tag))
}

/// Message 1 is acknowledged at last, and that is the end of it.
pub(crate) fn stored(peer: &mut Peer, published: &Published) {
    peer.ack(published, 101);
    assert_eq!(peer.outcome(1), Outcome::Stored { seq: 101 });
}

/// The server's refusal with this code.
pub(crate) fn refusal(err_code: u16, code: u16) -> String {
    format!(r#"{{"error":{{"code":{code},"err_code":{err_code},"description":"no"}},"stream":"ORD","seq":0}}"#)
}

#[test]
fn k01_acks_that_another_user_forges() {
    let inboxes = RefCell::new(BTreeSet::new());
    Case::new("K01").play(|peer| {
        peer.greet();
        peer.add_ord_publisher(trusting());
        let published = peer.publish(1);
        let inbox = published.reply.rsplit_once('.').expect("an inbox and a token").0;
        let random = inbox.strip_prefix("_INBOX.").expect("the prefix");
        assert!(random.len() >= 22, "22 of 62 characters are 130 bits: {random}");
        if !peer.is_in_memory() {
            assert!(inboxes.borrow_mut().insert(inbox.to_owned()), "the system's randomness stands in it");
        }
        // Whoever knows the prefix alone, or another token, proves nothing.
        let sid = peer.sid_of(&published.reply);
        let ack = r#"{"stream":"ORD","seq":105}"#;
        let other = format!("{inbox}.0000z00");
        for subject in ["_INBOX.1", inbox, &format!("{inbox}."), &format!("{inbox}.x"), &other] {
            peer.say(format!("MSG {subject} {sid} {}\r\n{ack}\r\n", ack.len()));
        }
        peer.fence();
        assert!(!peer.is_settled(1));
        peer.ack(&published, 101);
        peer.answer(&published, r#"{"stream":"EVIL","seq":1}"#);
        peer.fence();
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 101 });
    });
}

#[test]
fn k02_acks_that_are_no_json() {
    let large = format!(r#"{{"pad":"{}","stream":"ORD","seq":101}}"#, "x".repeat(1_000_000));
    let nested = format!(r#"{{"stream":"ORD","seq":101,"a":{}"#, "[".repeat(10_000));
    prove_nothing("K02", &[b"{", b"[]", b"null", b"{}", br#"{"stream":"ORD","seq":101}x"#, b"\xff\xfe", b"+ACK"]);
    prove_nothing("K02", &[large.as_bytes(), nested.as_bytes()]);
    prove_nothing(
        "K02",
        &[
            br#"{"stream":"ORD","seq":101,"seq":102}"#,
            br#"{"stream":"X","stream":"ORD","seq":101}"#,
            br#"{"stream":"ORD","seq":101,"a":{"b":1,"b":2}}"#,
            br#"{"error":{"code":503,"code":400,"err_code":10054}}"#,
        ],
    );
}

#[test]
fn k03_acks_of_another_stream() {
    Case::new("K03").play(|peer| {
        peer.greet();
        peer.add_ord_publisher(trusting());
        let published = peer.publish(1);
        peer.answer(&published, r#"{"stream":"OTHER","seq":101}"#);
        assert_eq!(peer.outcome(1), Outcome::Rejected(Rejection::WrongStream { found: "OTHER".into() }));
    });
}

#[test]
fn k04_acks_without_a_sequence() {
    prove_nothing(
        "K04",
        &[br#"{"stream":"ORD","seq":0}"#, br#"{"stream":"ORD"}"#, br#"{"seq":0,"batch":"u","count":1}"#],
    );
}

#[test]
fn k05_acks_twice_late_and_for_nothing() {
    let impatient = PublisherOptions { send_timeout: Duration::from_millis(250), ..trusting() };
    Case::new("K05").play(|peer| {
        peer.greet();
        peer.add_ord_publisher(impatient.clone());
        let first = peer.publish(1);
        // Nothing comes in time, so it is sent again, under another token, once the stream was looked at.
        let second = peer.published_again();
        assert_eq!((&second.payload, &second.headers), (&first.payload, &first.headers));
        assert_ne!(second.reply, first.reply);
        peer.ack(&first, 101);
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 101 });
        peer.answer(&second, r#"{"stream":"ORD","seq":101,"duplicate": true}"#);
        peer.ack(&first, 101);
        peer.answer(&first, refusal(10054, 400));
        peer.answer_with(&second, "NATS/1.0 503\r\n\r\n", "");
        peer.fence();
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 101 });
        peer.submit(2);
        let mut published = peer.published_again();
        while published.payload != b"2" {
            // The first may have been sent a third time meanwhile.
            published = peer.published_again();
        }
        peer.ack(&published, 102);
        assert_eq!(peer.outcome(2), Outcome::Stored { seq: 102 });
    });
}

#[test]
fn k06_acks_out_of_order() {
    Case::new("K06").play(|peer| {
        let out = three_out(peer);
        for (published, seq) in out.iter().rev().zip([103, 102, 101]) {
            peer.ack(published, seq);
        }
        for tag in 1..=3 {
            assert_eq!(peer.outcome(tag), Outcome::Stored { seq: 100 + tag });
        }
        let counted = peer.stage.publisher_statistics();
        assert_eq!((counted.inversions, counted.anomalies, counted.replayed), (0, 0, 0));
    });
    // A refusal overtakes the ack of the first: all that is unsettled is sent again, in order.
    Case::new("K06").play(|peer| {
        let [first, _, third] = three_out(peer);
        peer.answer(&third, refusal(10158, 409));
        peer.ack(&first, 101);
        for tag in 2..=3 {
            let again = peer.published();
            assert_eq!(again.payload, tag.to_string().as_bytes(), "in order");
            peer.ack(&again, 100 + tag);
        }
        assert_eq!([1, 2, 3].map(|tag| peer.outcome(tag)), [101, 102, 103].map(|seq| Outcome::Stored { seq }));
    });
}

#[test]
fn k07_refusals_in_any_order_of_members() {
    for refusal in [
        r#"{"error":{"code":400,"err_code":10054,"description":"too large"},"stream":"ORD","seq":0}"#,
        r#"{"seq":0,"stream":"ORD","error":{"description":"too large","err_code":10054,"code":400}}"#,
        r#"{ "seq" : 5 , "error" : { "code" : 400, "err_code" : 10054, "description" : "too large" } }"#,
    ] {
        Case::new("K07").play(|peer| {
            peer.greet();
            peer.add_ord_publisher(trusting());
            let published = peer.publish(1);
            peer.answer(&published, refusal);
            let rejection = Rejection::Refused { code: 400, err_code: 10054, description: "too large".into() };
            assert_eq!(peer.outcome(1), Outcome::Rejected(rejection));
        });
    }
}

#[test]
fn k08_statuses() {
    for status in ["503", "503 No Responders", "429 Too Many Requests"] {
        Case::new("K08").play(|peer| {
            peer.greet();
            peer.add_ord_publisher(trusting());
            let published = peer.publish(1);
            peer.answer_with(&published, format!("NATS/1.0 {status}\r\n\r\n"), "");
            let mut again = peer.published();
            if again.subject.starts_with("$JS.") {
                // Nobody answered: the stream is looked at before anything is sent.
                peer.answer(&again, ORD);
                again = peer.published();
            }
            assert_eq!(again.headers, published.headers, "the same message again");
            peer.ack(&again, 101);
            assert_eq!(peer.outcome(1), Outcome::Stored { seq: 101 });
            assert_eq!(peer.stage.publisher_statistics().anomalies, 1);
        });
    }
    let statuses = ["404 No Messages", "408 Request Timeout", "409 Leadership Change", "100 Idle", "200 OK"];
    Case::new("K08").play(|peer| {
        peer.greet();
        peer.add_ord_publisher(trusting());
        let published = peer.publish(1);
        for status in statuses {
            peer.answer_with(&published, format!("NATS/1.0 {status}\r\n\r\n"), r#"{"stream":"ORD","seq":101}"#);
        }
        peer.fence();
        assert!(!peer.is_settled(1));
        assert_eq!(peer.stage.publisher_statistics().garbled, statuses.len() as u64);
        stored(peer, &published);
    });
}

#[test]
fn k16_acks_with_blanks_and_more_members() {
    let stored = |seq| Outcome::Stored { seq };
    let duplicate = |seq| Outcome::Duplicate { seq, verified: false };
    for (ack, outcome) in [
        (r#"{"stream":"ORD","seq":101,"duplicate": true}"#, duplicate(101)),
        (r#"{"stream":"ORD","seq":101,"duplicate":true}"#, duplicate(101)),
        (r#"{"stream":"ORD","seq":101,"duplicate":false}"#, stored(101)),
        (r#"{"stream":"ORD","seq":101,"domain":"hub","val":"5","new":{"a":[1]}}"#, stored(101)),
        (r#"{ "seq" : 101, "stream" : "O\u0052D" } "#, stored(101)),
        (r#"{"stream":"ORD","seq":18446744073709551615}"#, stored(u64::MAX)),
    ] {
        Case::new("K16").play(|peer| {
            peer.greet();
            peer.add_ord_publisher(trusting());
            let published = peer.publish(1);
            peer.answer(&published, ack);
            assert_eq!(peer.outcome(1), outcome, "{ack}");
        });
    }
}

#[test]
fn k17_a_flood_to_the_inbox() {
    let _alone = super::alone();
    Case::new("K17").coarse().play(|peer| {
        peer.greet();
        peer.add_ord_publisher(trusting());
        let published = peer.publish(1);
        let sid = peer.sid_of(&published.reply);
        let message = format!("MSG {} {sid} 1000\r\n{}\r\n", published.reply, "x".repeat(1000));
        let (flood, held) = (message.repeat(100), super::bytes_held());
        let rounds = if peer.is_in_memory() { 400 } else { 200 };
        for _ in 0..rounds {
            peer.say(&flood);
        }
        peer.fence();
        assert_eq!(peer.stage.publisher_statistics().garbled, rounds * 100);
        // Twenty to forty megabytes were said.
        assert!(super::bytes_held() < held + (8 << 20), "it is kept");
        stored(peer, &published);
    });
}

#[test]
fn k18_sequences_that_are_none() {
    let ack = |seq: &str| format!(r#"{{"stream":"ORD","seq":{seq}}}"#).into_bytes();
    let acks = ["-1", "1.0", "1e2", "18446744073709551616", "\"101\"", "null", "true", "[101]", "01", "+101"].map(ack);
    prove_nothing("K18", &acks.each_ref().map(|ack| &ack[..]));
    prove_nothing(
        "K18",
        &[br#"{"stream":"","seq":101}"#, br#"{"stream":7,"seq":101}"#, br#"{"stream":"ORD","seq":101,"duplicate":1}"#],
    );
}
