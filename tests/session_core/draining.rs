//! The orderly end of a session.

use super::*;

#[test]
fn a_drain_reads_settles_flushes_and_closes_in_this_order() {
    let (mut hand, publisher) = verified(stream());
    let news = plain(&mut hand, "news.*");
    hand.submit(publisher, "ord.1", "a", "x").unwrap();
    let sent = hand.written().remove(0);
    hand.session.begin_drain(hand.now + SECOND, hand.now);
    assert_eq!(lines(&mut hand), ["UNSUB 2", "PING"]);
    let refused = hand.session.subscribe(Pattern::new("a").unwrap(), None, SubscriptionLimits::default());
    assert_eq!(refused, Err(SessionError::Draining));
    assert_eq!(hand.session.add_publisher(stream(), hand.now), Err(SessionError::Draining));
    deliver(&mut hand, SID, "a question");
    hand.say(b"PONG\r\n");
    // The reader has not read: it may still answer.
    publish(&mut hand, "an.answer").unwrap();
    hand.submit(publisher, "ord.1", "b", "x").unwrap();
    assert_eq!(read(&mut hand, news), ["a question"]);
    assert_eq!(publish(&mut hand, "too.late"), Err(PublishError::Draining));
    assert!(matches!(hand.submit(publisher, "ord.1", "c", "x"), Err(SubmitError::Closed(_))));
    assert_eq!(lines(&mut hand), ["PUB an.answer 1"]);
    hand.answer(&sent, r#"{"stream":"ORD","seq":100}"#);
    let sent = hand.written().remove(0);
    assert_eq!(drained(&mut hand), Poll::Pending);
    hand.answer(&sent, r#"{"stream":"ORD","seq":101}"#);
    assert_eq!(lines(&mut hand), ["PING"], "has the server read the answer?");
    assert_eq!(drained(&mut hand), Poll::Pending);
    hand.say(b"PONG\r\n");
    assert_eq!(drained(&mut hand), Poll::Ready(Ok(())));
    assert_eq!(hand.session.link_state(), LinkState::Closed(CloseReason::Requested));
    assert_eq!(hand.outcomes(publisher), [Outcome::Stored { seq: 100 }, Outcome::Stored { seq: 101 }]);
    assert_eq!(publish(&mut hand, "too.late"), Err(PublishError::Closed(CloseReason::Requested)));
}

#[test]
fn a_drain_lets_requests_have_their_answers() {
    let mut hand = hand();
    let asked = hand.session.request(None, subject("who"), None, b"?").unwrap();
    let inbox = lines(&mut hand)[0].split(' ').nth(1).unwrap().to_owned();
    hand.session.begin_drain(hand.now + SECOND, hand.now);
    hand.say(format!("MSG {inbox} 2 2\r\nme\r\n").as_bytes());
    assert_eq!(drained(&mut hand), Poll::Pending);
    assert_eq!(read(&mut hand, asked), ["me"]);
    assert_eq!(lines(&mut hand), ["PING"]);
    hand.say(b"PONG\r\n");
    assert_eq!(drained(&mut hand), Poll::Ready(Ok(())));
}

#[test]
fn a_drain_whose_patience_is_over_says_what_is_left() {
    let (mut hand, publisher) = verified(stream());
    let news = plain(&mut hand, "news.*");
    hand.submit(publisher, "ord.1", "a", "x").unwrap();
    hand.session.begin_drain(hand.now + 3 * SECOND, hand.now);
    hand.session.begin_drain(hand.now + SECOND, hand.now);
    hand.written();
    deliver(&mut hand, SID, "unread");
    hand.say(b"PONG\r\n");
    assert_eq!(hand.session.poll_timeout(), Some(hand.now + SECOND));
    hand.now = hand.now + SECOND;
    hand.session.handle_timeout(hand.now);
    let unfinished = DrainError::Unfinished { unread: 1, in_flight: 1 };
    assert_eq!(drained(&mut hand), Poll::Ready(Err(unfinished)));
    assert_eq!(hand.outcomes(publisher), [Outcome::Unknown]);
    assert_eq!(read(&mut hand, news), ["unread"]);
    assert!(hand.session.poll_timeout().is_none());
}

#[test]
fn a_drain_that_loses_its_link_says_so_only_when_something_may_be_lost() {
    // What a publisher has in flight outlives links.
    let (mut hand, publisher) = verified(stream());
    hand.submit(publisher, "ord.1", "a", "x").unwrap();
    hand.session.begin_drain(hand.now + SECOND, hand.now);
    hand.written();
    lose(&mut hand);
    hand.connect();
    hand.verify_again();
    let sent = hand.written().remove(0);
    hand.answer(&sent, r#"{"stream":"ORD","seq":100}"#);
    assert_eq!(drained(&mut hand), Poll::Ready(Ok(())));
    // What was published to core NATS does not.
    let mut hand = super::hand();
    publish(&mut hand, "a").unwrap();
    hand.session.begin_drain(hand.now + SECOND, hand.now);
    hand.written();
    lose(&mut hand);
    assert_eq!(drained(&mut hand), Poll::Ready(Err(DrainError::LinkLost(lost()))));
    // Neither does what was on its way to a subscription.
    let mut hand = super::hand();
    plain(&mut hand, "news.*");
    hand.session.begin_drain(hand.now + SECOND, hand.now);
    lose(&mut hand);
    assert_eq!(drained(&mut hand), Poll::Ready(Err(DrainError::LinkLost(lost()))));
    // And an end that was not the drain's is an error.
    let (mut hand, publisher) = verified(stream());
    hand.submit(publisher, "ord.1", "a", "x").unwrap();
    hand.session.begin_drain(hand.now + SECOND, hand.now);
    hand.session.close(hand.now);
    assert_eq!(drained(&mut hand), Poll::Ready(Err(DrainError::Closed(CloseReason::Requested))));
}

#[test]
fn those_who_wait_for_room_are_told_of_a_drain() {
    let (mut hand, publisher) = verified(PublisherOptions { in_flight_max: 1, ..stream() });
    hand.submit(publisher, "ord.1", "a", "x").unwrap();
    let [submitter, writer, unasked] = [Count::new(), Count::new(), Count::new()];
    let waker = |count: &Arc<Count>| Waker::from(Arc::clone(count));
    let (mut to_submit, mut to_publish) = (None, None);
    hand.session.wait(publisher, &mut to_submit, &waker(&submitter));
    hand.session.wait_in_line(&mut to_publish, &waker(&writer));
    assert!(hand.session.poll_drain(&waker(&unasked)).is_pending());
    hand.session.begin_drain(hand.now + SECOND, hand.now);
    hand.wake_all();
    assert_eq!((submitter.woken(), writer.woken(), unasked.woken()), (1, 1, 0));
    let refused = hand.session.publish(to_publish, subject("a"), None, None, b"");
    assert_eq!(refused, Err(PublishError::Draining));
    assert!(hand.session.has_room(publisher, to_submit), "who waits for room alone is let go");
    hand.now = hand.now + SECOND;
    hand.session.handle_timeout(hand.now);
    hand.wake_all();
    assert_eq!(unasked.woken(), 1);
}

#[test]
fn a_drain_that_a_reader_finishes_wakes_all_who_wait() {
    let (mut hand, publisher) = verified(stream());
    let news = plain(&mut hand, "news.*");
    let outcomes = Count::new();
    let waker = Waker::from(Arc::clone(&outcomes));
    assert_eq!(hand.session.take_outcomes(publisher, &mut Vec::new(), Some(&waker)), 0);
    hand.session.begin_drain(hand.now + SECOND, hand.now);
    hand.written();
    deliver(&mut hand, SID, "the last");
    hand.say(b"PONG\r\n");
    hand.wake_all();
    assert_eq!(outcomes.woken(), 0);
    assert_eq!(read(&mut hand, news), ["the last"]);
    assert_eq!(drained(&mut hand), Poll::Ready(Ok(())));
    hand.wake_all();
    assert_eq!(outcomes.woken(), 1, "there will be no more outcomes");
}

#[test]
fn a_drain_is_over_once_the_last_publisher_is() {
    let (mut hand, publisher) = verified(stream());
    hand.submit(publisher, "ord.1", "a", "x").unwrap();
    hand.session.begin_drain(hand.now + SECOND, hand.now);
    lose(&mut hand);
    assert_eq!(drained(&mut hand), Poll::Pending);
    hand.session.remove_publisher(publisher);
    assert_eq!(drained(&mut hand), Poll::Ready(Ok(())));
}
