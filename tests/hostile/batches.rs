//! K09–K15 and K19: answers that are meant for publishers of batches, to one that sends each message by itself.

use natsink::jetstream::{Outcome, Rejection};

use super::acks::{prove_nothing, refusal, stored, three_out, trusting};
use super::case::Case;

#[test]
fn k09_acks_of_no_bytes() {
    prove_nothing("K09", &[b"", b""]);
}

#[test]
fn k10_flow_acks() {
    prove_nothing(
        "K10",
        &[
            br#"{"type":"ack","seq":0,"msgs":10}"#,
            br#"{"type":"ack","seq":3,"msgs":0}"#,
            br#"{"type":"ack","seq":18446744073709551615,"msgs":65536}"#,
        ],
    );
}

#[test]
fn k11_gaps_and_errors_of_batches() {
    prove_nothing(
        "K11",
        &[
            br#"{"type":"gap","last_seq":3,"seq":2}"#,
            br#"{"type":"err","seq":2}"#,
            br#"{"type":"err","seq":2,"error":null}"#,
            br#"{"type":"err","seq":2,"error":{}}"#,
        ],
    );
}

#[test]
fn k12_a_batch_that_nobody_knows() {
    // Behind its ack it says nothing; before, it is a refusal like any that is not known: tried three times.
    Case::new("K12").play(|peer| {
        peer.greet();
        peer.add_ord_publisher(trusting());
        let settled = peer.publish(1);
        peer.ack(&settled, 101);
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 101 });
        peer.answer(&settled, refusal(10208, 400));
        peer.fence();
        let mut published = peer.publish(2);
        for sent in 1..=3 {
            assert!(!peer.is_settled(2));
            peer.answer(&published, refusal(10208, 400));
            if sent < 3 {
                published = peer.published();
            }
        }
        let rejection = Rejection::Refused { code: 400, err_code: 10208, description: "no".into() };
        assert_eq!(peer.outcome(2), Outcome::Rejected(rejection));
    });
}

#[test]
fn k13_a_refusal_and_an_ack_for_one_message() {
    // For good, and then not: the first word counts.
    Case::new("K13").play(|peer| {
        peer.greet();
        peer.add_ord_publisher(trusting());
        let published = peer.publish(1);
        peer.answer(&published, refusal(10054, 400));
        peer.ack(&published, 101);
        peer.fence();
        assert!(matches!(peer.outcome(1), Outcome::Rejected(Rejection::Refused { err_code: 10054, .. })));
    });
    // For now, and then stored after all: an ack of any sending is proof.
    Case::new("K13").play(|peer| {
        peer.greet();
        peer.add_ord_publisher(trusting());
        let published = peer.publish(1);
        peer.answer(&published, refusal(10077, 503));
        stored(peer, &published);
        let told: Vec<_> = peer.stage.publisher_notices();
        assert!(format!("{told:?}").contains("10077"), "{told:?}");
    });
}

#[test]
fn k14_acks_of_another_batch() {
    Case::new("K14").play(|peer| {
        peer.greet();
        peer.add_ord_publisher(trusting());
        let published = peer.publish(1);
        let (sid, ack) = (peer.sid_of(&published.reply), r#"{"stream":"ORD","seq":101,"batch":"u0","count":1}"#);
        let root = published.reply.rsplit_once('.').expect("an inbox and a token").0;
        for tail in ["u0.3.fail.1.0.$FI", "u0", "00000000", "\x7f\x7f\x7f\x7f\x7f\x7f\x7f"] {
            peer.say(format!("MSG {root}.{tail} {sid} {}\r\n{ack}\r\n", ack.len()));
        }
        peer.fence();
        assert!(!peer.is_settled(1));
        assert_eq!(peer.stage.publisher_statistics().garbled, 4);
        stored(peer, &published);
    });
}

/// An ack says what it says of the message whose token it bears, and nothing of another, whatever it counts.
fn settles_one_alone(number: &str, ack: &str) {
    Case::new(number).play(|peer| {
        let [first, second, third] = three_out(peer);
        peer.answer(&third, ack);
        assert_eq!(peer.outcome(3), Outcome::Stored { seq: 103 });
        peer.fence();
        assert!(!peer.is_settled(1) && !peer.is_settled(2));
        peer.ack(&first, 101);
        peer.ack(&second, 102);
        assert_eq!([1, 2].map(|tag| peer.outcome(tag)), [101, 102].map(|seq| Outcome::Stored { seq }));
        assert_eq!(peer.stage.publisher_statistics().stored, 4);
    });
}

#[test]
fn k15_an_ack_that_covers_others() {
    settles_one_alone("K15", r#"{"stream":"ORD","seq":103,"batch":"u1","count":3}"#);
    prove_nothing("K15", &[br#"{"stream":"ORD","seq":0,"batch":"u1","count":3}"#]);
}

#[test]
fn k19_counts_that_are_no_counts() {
    settles_one_alone("K19", r#"{"stream":"ORD","seq":103,"batch":"u6","count":6}"#);
    settles_one_alone("K19", r#"{"stream":"ORD","seq":103,"batch":"u6","count":18446744073709551615}"#);
}
