//! K20–K22: answers to the reading back of ids that are garbage, endless, or out of their order.

use natsink::jetstream::{Outcome, PublisherOptions};

use super::case::Case;
use super::ops::Published;
use super::peer::Peer;

/// A publisher that reads back what stands after this sequence of the 99 that there are, with message 1 to send; and its
/// question for a consumer.
fn reading(peer: &mut Peer, after: u64) -> Published {
    peer.greet();
    peer.add_ord_publisher(PublisherOptions { recall_after: Some(after), ..PublisherOptions::default() });
    peer.submit(1);
    created(peer)
}

fn created(peer: &mut Peer) -> Published {
    let create = peer.published();
    assert!(create.subject.starts_with("$JS.API.CONSUMER.CREATE.ORD.natsink-"), "{create:?}");
    create
}

fn name(create: &Published) -> &str {
    create.subject.rsplit_once('.').expect("a name at the end").1
}

/// Makes the consumer, and takes the question for messages.
fn make(peer: &mut Peer, create: &Published) -> Published {
    peer.answer(create, format!(r#"{{"name":"{}","config":{{}},"num_pending":99}}"#, name(create)));
    let pull = peer.published();
    assert_eq!(pull.subject, format!("$JS.API.CONSUMER.MSG.NEXT.ORD.{}", name(create)));
    pull
}

/// A message as a consumer delivers it: `reply` tells which.
fn deliver(peer: &mut Peer, pull: &Published, reply: &str, headers: &str) {
    let sid = peer.sid_of(&pull.reply);
    let block = format!("NATS/1.0\r\n{headers}\r\n");
    peer.say(format!("HMSG ord.1 {sid} {reply} {} {}\r\n{block}\r\n", block.len(), block.len()));
}

fn ack(create: &Published, seq: u64, number: u64) -> String {
    format!("$JS.ACK.ORD.{}.1.{seq}.{number}.1795597513828903506.7", name(create))
}

/// The last message is message 1, and is found to be the one that is to be sent.
fn found(peer: &mut Peer, create: &Published, pull: &Published, number: u64) {
    assert!(peer.waiting().is_empty() && !peer.is_settled(1), "it was not waited for the end");
    deliver(peer, pull, &ack(create, 99, number), "Nats-Msg-Id: 1\r\n");
    let next = [peer.published(), peer.published()];
    let get = next.iter().find(|published| published.subject == "$JS.API.STREAM.MSG.GET.ORD").expect("it is compared");
    assert!(next.iter().any(|published| published.subject.starts_with("$JS.API.CONSUMER.DELETE.ORD.")), "{next:?}");
    peer.answer(get, r#"{"message":{"subject":"ord.1","seq":99,"data":"MQ=="}}"#);
    assert_eq!(peer.outcome(1), Outcome::Duplicate { seq: 99, verified: true });
}

#[test]
fn k20_garbage_for_a_consumer() {
    Case::new("K20").play(|peer| {
        let create = reading(peer, 97);
        for garbage in ["", "{", "[]", "null", "{}", r#"{"name":7,"config":{}}"#, r#"{"num_pending":1}"#, "\u{1}"] {
            peer.answer(&create, garbage);
        }
        peer.fence();
        assert!(peer.waiting().is_empty(), "one of these was believed");
        let pull = make(peer, &create);
        let consumer = name(&create);
        for reply in [
            "x".to_owned(),
            "$JS.ACK.ORD".to_owned(),
            format!("$JS.ACK.OTHER.{consumer}.1.99.1.1.0"),
            "$JS.ACK.ORD.other.1.99.1.1.0".to_owned(),
            format!("$JS.ACK.ORD.{consumer}.1.99999999999999999999.1.1.0"),
            format!("$JS.ACK.ORD.{consumer}.1.-1.1.1.0"),
            format!("$JS.ACK.ORD.{consumer}.1.99.0.1.0"),
        ] {
            deliver(peer, &pull, &reply, "Nats-Msg-Id: 1\r\n");
        }
        peer.answer_with(&pull, "NATS/1.0 100 Idle Heartbeat\r\n\r\n", "");
        peer.answer(&pull, "{}");
        peer.fence();
        // Headers that cannot be read, and none: messages of others all the same.
        let sid = peer.sid_of(&pull.reply);
        peer.say(format!("HMSG ord.1 {sid} {} 8 8\r\nHTTP/1.0\r\n", ack(&create, 98, 1)));
        peer.fence();
        found(peer, &create, &pull, 2);
    });
}

#[test]
fn k21_ids_without_end() {
    let _alone = super::alone();
    Case::new("K21").coarse().play(|peer| {
        let create = reading(peer, 0);
        let pull = make(peer, &create);
        let held = super::bytes_held();
        for number in 1..=60 {
            let headers = format!("Nats-Msg-Id: {number}{}\r\n", "x".repeat(500_000));
            deliver(peer, &pull, &ack(&create, number, number), &headers);
        }
        peer.fence();
        // Thirty megabytes were said.
        assert!(super::bytes_held() < held + (8 << 20), "they are kept");
        // That there are more is for the leader to say, not for the consumer.
        found(peer, &create, &pull, 61);
    });
}

#[test]
fn k22_a_consumer_that_counts_wrongly() {
    for (seq, number) in [(98, 2), (98, u64::MAX), (50, 1), (97, 1)] {
        Case::new("K22").play(|peer| {
            let create = reading(peer, 97);
            let pull = make(peer, &create);
            deliver(peer, &pull, &ack(&create, seq, number), "Nats-Msg-Id: 1\r\n");
            let end = peer.published();
            assert_eq!(end.subject, format!("$JS.API.CONSUMER.DELETE.ORD.{}", name(&create)));
            let again = created(peer);
            assert_ne!(again.subject, create.subject);
            assert!(String::from_utf8_lossy(&again.payload).contains(r#""opt_start_seq":98"#), "{again:?}");
            // What the first one still says counts for nothing.
            deliver(peer, &pull, &ack(&create, 99, 1), "Nats-Msg-Id: 1\r\n");
            let pull = make(peer, &again);
            found(peer, &again, &pull, 1);
        });
    }
}
