//! Flushes, and what a lost link takes along.

use super::*;

#[test]
fn a_flush_is_answered_by_the_pong_to_its_ping_and_tells_how_long_it_took() {
    let mut hand = hand();
    publish(&mut hand, "a").unwrap();
    let flush = begin_flush(&mut hand);
    hand.now = hand.now + SECOND;
    assert_eq!(lines(&mut hand), ["PUB a 1", "PING"]);
    assert_eq!(flushed(&mut hand, flush), Poll::Pending);
    hand.now = hand.now + Duration::from_millis(7);
    hand.say(b"PONG\r\n");
    // The second in which it waited to leave is not the server's.
    assert_eq!(flushed(&mut hand, flush), Poll::Ready(Ok(Duration::from_millis(7))));
}

#[test]
fn pongs_to_nothing_answer_no_flush() {
    let mut hand = hand();
    hand.say(b"PONG\r\nPONG\r\n");
    publish(&mut hand, "a").unwrap();
    let flush = begin_flush(&mut hand);
    // The PING has not left: this cannot be its answer.
    hand.say(b"PONG\r\n");
    assert_eq!(flushed(&mut hand, flush), Poll::Pending);
    assert_eq!(hand.session.statistics().strays, 3);
    hand.written();
    assert_eq!(flushed(&mut hand, flush), Poll::Pending);
    hand.say(b"PONG\r\n");
    assert!(matches!(flushed(&mut hand, flush), Poll::Ready(Ok(_))));
}

#[test]
fn a_flush_ends_with_its_link() {
    let mut hand = hand();
    let flush = begin_flush(&mut hand);
    hand.written();
    lose(&mut hand);
    assert_eq!(hand.session.begin_flush(hand.now), Err(FlushError::NoLink));
    hand.connect();
    hand.say(b"PONG\r\n");
    assert_eq!(flushed(&mut hand, flush), Poll::Ready(Err(FlushError::LinkLost(lost()))));
    let flush = begin_flush(&mut hand);
    hand.written();
    hand.say(b"PONG\r\n");
    assert!(matches!(flushed(&mut hand, flush), Poll::Ready(Ok(_))), "the next link answers for itself");
    let flush = begin_flush(&mut hand);
    hand.session.close(hand.now);
    assert_eq!(flushed(&mut hand, flush), Poll::Ready(Err(FlushError::Closed(CloseReason::Requested))));
    assert_eq!(hand.session.begin_flush(hand.now), Err(FlushError::Closed(CloseReason::Requested)));
}

#[test]
fn a_link_that_is_lost_with_what_nobody_is_known_to_have_read_is_a_loss() {
    let mut hand = hand();
    lose(&mut hand);
    assert_eq!(hand.session.losses(), 0, "nothing was published");
    hand.connect();
    publish(&mut hand, "a").unwrap();
    // A sign of life proves it as well.
    hand.pass(11 * SECOND);
    lose(&mut hand);
    assert_eq!(hand.session.losses(), 0);
    hand.connect();
    publish(&mut hand, "a").unwrap();
    hand.written();
    lose(&mut hand);
    assert_eq!((hand.session.losses(), hand.session.last_loss()), (1, Some(&lost())));
}

#[test]
fn any_number_of_flushes_is_answered_in_turn() {
    let mut hand = hand();
    let mut flushes = vec![];
    for _ in 0..1500 {
        publish(&mut hand, "a").unwrap();
        flushes.push(begin_flush(&mut hand));
    }
    // Nothing was written in between: the same PING serves.
    flushes.push(begin_flush(&mut hand));
    let pings = |lines: &[String]| lines.iter().filter(|line| *line == "PING").count();
    let written = lines(&mut hand);
    assert_eq!(pings(&written), 1024, "PINGs have their limit");
    hand.say("PONG\r\n".repeat(1024).as_bytes());
    assert_eq!(flushed(&mut hand, flushes[1023]), Poll::Ready(Ok(Duration::ZERO)));
    assert_eq!(flushed(&mut hand, flushes[1024]), Poll::Pending);
    let written = lines(&mut hand);
    assert_eq!(pings(&written), 1, "one for all who could not ask before");
    hand.say(b"PONG\r\n");
    for flush in &flushes[1024..] {
        assert_eq!(flushed(&mut hand, *flush), Poll::Ready(Ok(Duration::ZERO)));
    }
}

#[test]
fn a_link_is_not_left_before_the_server_has_read_what_was_published() {
    let mut hand = hand();
    publish(&mut hand, "a").unwrap();
    hand.session.reconnect(hand.now);
    assert_eq!(lines(&mut hand), ["PUB a 1", "PING"]);
    assert_eq!(publish(&mut hand, "b"), Err(PublishError::NoLink), "it waits for the next link");
    assert_eq!(hand.lost(), []);
    hand.say(b"PONG\r\n");
    assert_eq!(hand.lost(), [LinkError::Requested]);
}
