//! A session driven by hand, answer by answer: what no server does on demand, and what must hold all the same.

mod support;

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use natsink::connection::{ConnectionOptions, LinkError, ServerUrl};
use natsink::jetstream::{Outcome, PublisherOptions, Rejection, SubmitError};
use natsink::proto::Subject;
use natsink::rng::Entropy;
use natsink::session::{Session, SessionError};
use natsink::time::Instant;
use support::hand::{Count, Hand, Written, info, stream, verified};

#[test]
fn a_question_that_finds_no_room_sets_no_timer_that_is_over() {
    let (mut hand, publisher) = Hand::new(PublisherOptions::default());
    // More than the outbox has room for, and a socket that takes nothing.
    hand.submit(publisher, "ord.1", "a", &"x".repeat(200 << 10)).unwrap();
    hand.session.add_publisher(stream(), hand.now).unwrap();
    for _ in 0..5 {
        let at = hand.session.poll_timeout().unwrap();
        if at > hand.now {
            let asked = hand.written();
            assert_eq!(asked[1].subject, "$JS.API.STREAM.INFO.ORD", "asked once there is room");
            return;
        }
        hand.session.handle_timeout(hand.now);
    }
    panic!("a timer that is never over keeps its driver awake for ever");
}

#[test]
fn a_link_on_which_nothing_is_answered_is_given_up_after_the_batch_timeout() {
    let (mut hand, publisher) = verified(stream());
    hand.submit(publisher, "ord.1", "a", "silence").unwrap();
    let written = hand.pass(Duration::from_secs(29));
    assert!(written.len() > 2, "sent again at each send timeout: {written:?}");
    assert!(hand.session.statistics().connects == 1 && hand.lost().is_empty());
    hand.pass(Duration::from_secs(2));
    assert_eq!(hand.lost(), [LinkError::NoProgress]);
}

#[test]
fn a_server_that_talks_and_answers_nothing_is_given_up_after_the_batch_timeout() {
    let (mut hand, publisher) = verified(stream());
    hand.submit(publisher, "ord.1", "a", "silence").unwrap();
    hand.written();
    let end = hand.now + Duration::from_secs(31);
    while hand.now < end {
        // No PONG ever says whether the message was read.
        hand.now = hand.now + Duration::from_millis(500);
        hand.session.handle_timeout(hand.now);
        hand.written();
        hand.say(b"PING\r\n+OK\r\n");
    }
    assert_eq!(hand.lost(), [LinkError::NoProgress]);
}

#[test]
fn a_link_on_which_the_stream_cannot_be_looked_at_is_given_up_after_the_batch_timeout() {
    let (mut hand, _) = Hand::new(stream());
    hand.pass(Duration::from_secs(29));
    assert_eq!(hand.lost(), []);
    hand.pass(Duration::from_secs(2));
    assert_eq!(hand.lost(), [LinkError::NoProgress]);
}

#[test]
fn any_answer_keeps_a_link() {
    let (mut hand, publisher) = verified(stream());
    hand.submit(publisher, "ord.1", "a", "no leader").unwrap();
    for _ in 0..60 {
        for asked in hand.pass(Duration::from_secs(1)) {
            match asked.subject.as_str() {
                "ord.1" => hand.no_responders(&asked),
                _ => hand.answer(&asked, &info("ord.>")),
            }
        }
    }
    assert_eq!(hand.lost(), []);
    assert_eq!(hand.session.publisher(publisher).unwrap().failure(), None);
}

#[test]
fn what_was_taken_before_the_look_and_is_not_captured_is_rejected() {
    let (mut hand, publisher) = Hand::new(stream());
    hand.submit(publisher, "other.1", "a", "early").unwrap();
    hand.submit(publisher, "ord.1", "b", "early").unwrap();
    hand.verify("ord.>");
    let outcomes = hand.outcomes(publisher);
    assert!(
        matches!(&outcomes[..], [Outcome::Rejected(Rejection::NotCaptured { subject, .. })] if subject == "other.1"),
        "{outcomes:?}"
    );
    assert_eq!(hand.written()[0].subject, "ord.1");
}

#[test]
fn a_passing_error_is_no_verdict_on_a_duplicate() {
    for error in [
        r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#,
        r#"{"error":{"code":429,"err_code":10167,"description":"too many requests"}}"#,
    ] {
        let (mut hand, publisher) = verified(stream());
        hand.submit(publisher, "ord.1", "a", "mine").unwrap();
        let sent = hand.written().remove(0);
        hand.answer(&sent, r#"{"stream":"ORD","seq":3,"duplicate": true}"#);
        let asked = hand.written().remove(0);
        hand.answer(&asked, error);
        assert_eq!(hand.outcomes(publisher), [], "{error}");
        let mut patience = 100;
        while hand.outcomes_so_far(publisher).is_empty() {
            patience -= 1;
            assert!(patience > 0, "it is not asked again: {error}");
            for asked in hand.pass(Duration::from_millis(100)) {
                match asked.subject.as_str() {
                    "$JS.API.STREAM.INFO.ORD" => hand.answer(&asked, &info("ord.>")),
                    "$JS.API.STREAM.MSG.GET.ORD" => {
                        hand.answer(&asked, r#"{"message":{"subject":"ord.1","seq":3,"data":"b3RoZXI="}}"#);
                    }
                    other => panic!("{other}"),
                }
            }
        }
        assert_eq!(hand.seen, [Outcome::Rejected(Rejection::IdCollision { seq: 3 })]);
    }
}

#[test]
fn a_passing_error_is_no_verdict_on_a_stream() {
    let (mut hand, publisher) = Hand::new(stream());
    let asked = hand.written().remove(0);
    hand.answer(&asked, r#"{"error":{"code":429,"err_code":10167,"description":"too many requests"}}"#);
    assert_eq!(hand.session.publisher(publisher).unwrap().failure(), None);
    let again = hand.pass(Duration::from_secs(1));
    hand.answer(&again[0], &info("ord.>"));
    assert!(hand.session.publisher(publisher).unwrap().is_verified());
}

#[test]
fn one_id_for_two_messages_is_a_collision_after_a_reconnect_too() {
    let (mut hand, publisher) = verified(stream());
    hand.submit(publisher, "ord.1", "a", "first").unwrap();
    let probe = hand.written().remove(0);
    hand.answer(&probe, r#"{"stream":"ORD","seq":10}"#);
    hand.submit(publisher, "ord.1", "b", "one").unwrap();
    hand.submit(publisher, "ord.1", "b", "two").unwrap();
    assert_eq!(hand.written().len(), 2);
    hand.session.handle_disconnected(hand.epoch, LinkError::Closed { hint: None }, hand.now);
    hand.connect();
    hand.verify("ord.>");
    let one = hand.written().remove(0);
    hand.answer(&one, r#"{"stream":"ORD","seq":11,"duplicate": true}"#);
    let two = hand.written().remove(0);
    assert_eq!(two.payload, b"two");
    hand.answer(&two, r#"{"stream":"ORD","seq":11,"duplicate": true}"#);
    let asked = hand.written().remove(0);
    assert_eq!(asked.subject, "$JS.API.STREAM.MSG.GET.ORD");
    hand.answer(&asked, r#"{"message":{"subject":"ord.1","seq":11,"data":"b25l"}}"#);
    let outcomes = hand.outcomes(publisher);
    assert_eq!(outcomes[1], Outcome::Duplicate { seq: 11, verified: true });
    assert_eq!(outcomes[2], Outcome::Rejected(Rejection::IdCollision { seq: 11 }));
}

#[test]
fn names_that_are_no_tokens_make_no_publisher() {
    let addr = ServerUrl::parse("nats://h").unwrap().addr;
    let mut session = Session::new(ConnectionOptions::new(vec![addr]), &Entropy::new([7; 32]));
    for name in ["", "a b", "a.b", "a*", ">", "S\r\nNats-Rollup: all"] {
        let refused = session.add_publisher(PublisherOptions::stream(name), Instant::ZERO);
        assert!(matches!(refused, Err(SessionError::StreamName)), "{name:?}: {refused:?}");
    }
}

#[test]
fn acks_of_two_streams_may_overtake_each_other() {
    let (mut hand, publisher) = Hand::new(PublisherOptions::default());
    hand.submit(publisher, "a.1", "a", "probe").unwrap();
    let probe = hand.written().remove(0);
    hand.answer(&probe, r#"{"stream":"A","seq":10}"#);
    hand.submit(publisher, "a.1", "b", "slow stream").unwrap();
    hand.submit(publisher, "b.1", "c", "fast stream").unwrap();
    let written = hand.written();
    hand.answer(&written[1], r#"{"stream":"B","seq":1}"#);
    assert!(hand.pass(Duration::from_secs(4)).is_empty(), "sent again before the send timeout");
    hand.answer(&written[0], r#"{"stream":"A","seq":11}"#);
    assert_eq!(hand.outcomes(publisher).len(), 3);
}

#[test]
fn a_message_is_never_held_against_another_stream() {
    let (mut hand, publisher) = Hand::new(PublisherOptions::default());
    hand.submit(publisher, "a.1", "a", "probe").unwrap();
    let probe = hand.written().remove(0);
    hand.answer(&probe, r#"{"stream":"A","seq":10}"#);
    hand.submit(publisher, "a.1", "b", "b").unwrap();
    hand.submit(publisher, "b.1", "c", "c").unwrap();
    let written = hand.written();
    let ack = |sent: &Written, stream: &str| {
        let payload = format!(r#"{{"stream":"{stream}","seq":3,"duplicate": true}}"#);
        format!("MSG {} 1 {}\r\n{payload}\r\n", sent.reply, payload.len())
    };
    // Both answers come with one read.
    let both = ack(&written[0], "A") + &ack(&written[1], "B");
    hand.say(both.as_bytes());
    for asked in hand.written() {
        assert_eq!(asked.subject, "$JS.API.STREAM.MSG.GET.A");
        hand.answer(&asked, r#"{"message":{"subject":"a.1","seq":3,"data":"Yg=="}}"#);
    }
    let outcomes = hand.outcomes(publisher);
    assert!(outcomes.contains(&Outcome::Duplicate { seq: 3, verified: true }), "{outcomes:?}");
    assert!(outcomes.contains(&Outcome::Duplicate { seq: 3, verified: false }), "{outcomes:?}");
}

#[test]
fn all_readers_of_outcomes_are_woken() {
    let (mut hand, publisher) = verified(stream());
    let counts = [Count::new(), Count::new()];
    for count in &counts {
        let waker = Waker::from(Arc::clone(count));
        assert_eq!(hand.session.take_outcomes(publisher, &mut Vec::new(), Some(&waker)), 0);
    }
    hand.submit(publisher, "ord.1", "a", "one").unwrap();
    let sent = hand.written().remove(0);
    hand.answer(&sent, r#"{"stream":"ORD","seq":100}"#);
    hand.wake_all();
    // The second one may have been dropped: were the first not woken, nobody would read.
    assert_eq!(counts.map(|count| count.woken()), [1, 1]);
}

#[test]
fn who_watches_is_woken_by_a_dial_and_by_the_end_of_a_publisher() {
    let (mut hand, publisher) = verified(stream());
    hand.session.handle_disconnected(hand.epoch, LinkError::Closed { hint: None }, hand.now);
    hand.wake_all();
    let count = Count::new();
    let waker = Waker::from(Arc::clone(&count));
    hand.session.watch(&waker);
    hand.session.handle_timeout(hand.now);
    hand.wake_all();
    assert_eq!(count.woken(), 1, "dialing");
    hand.session.watch(&waker);
    hand.session.close_publisher(publisher);
    hand.wake_all();
    assert_eq!(count.woken(), 2, "closed");
}

#[test]
fn nothing_is_published_over_which_the_server_would_close_the_link() {
    let (mut hand, _) = verified(stream());
    let long = "x".repeat(4000);
    let (short, long) = (Subject::new("a").unwrap(), Subject::new(&long).unwrap());
    assert!(hand.session.publish(None, short, Some(short), None, &[b'x'; 1 << 20]).is_ok());
    assert_eq!(hand.written().len(), 1);
    assert!(hand.session.publish(None, short, None, None, &[b'x'; (1 << 20) + 1]).is_err());
    assert!(hand.session.publish(None, long, Some(short), None, b"").is_ok());
    assert!(hand.session.publish(None, long, Some(long), None, b"").is_err());
    assert_eq!(hand.written().len(), 1);
}

#[test]
fn room_is_room_for_the_message_that_was_refused() {
    let (mut hand, publisher) = verified(PublisherOptions { in_flight_bytes_max: 1000, ..stream() });
    hand.submit(publisher, "ord.1", "a", &"x".repeat(500)).unwrap();
    let probe = hand.written().remove(0);
    assert!(hand.session.has_room(publisher, None));
    let large = "y".repeat(800);
    assert_eq!(hand.submit(publisher, "ord.1", "b", &large), Err(SubmitError::Full));
    // Who waits for room and tries again would otherwise turn in a circle.
    assert!(!hand.session.has_room(publisher, None));
    hand.submit(publisher, "ord.1", "c", "small").unwrap();
    assert!(hand.session.has_room(publisher, None), "there is room for a small one");
    assert_eq!(hand.submit(publisher, "ord.1", "b", &large), Err(SubmitError::Full));
    hand.answer(&probe, r#"{"stream":"ORD","seq":100}"#);
    assert!(hand.session.has_room(publisher, None));
    hand.submit(publisher, "ord.1", "b", &large).unwrap();
}
