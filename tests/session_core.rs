//! Core NATS in a session driven by hand: flushes, limits and ends of subscriptions, notices, the orderly end.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod support;

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use natsink::connection::{CloseReason, LinkError, PublishError, Sid};
use natsink::jetstream::{Outcome, PublisherOptions, SubmitError};
use natsink::proto::{HeaderBlock, Pattern, ServerError, Subject, SubjectBuf};
use natsink::session::{
    DrainError, FlushError, FlushId, LinkNotice, LinkState, RequestError, SessionError, SubscriptionEnd,
    SubscriptionLimits,
};
use support::hand::{Count, Hand, stream, verified};

const SECOND: Duration = Duration::from_secs(1);
/// What the first subscription beside the publisher's inbox is called on the wire.
const SID: u64 = 2;

/// A session whose only subscription is a publisher's inbox.
fn hand() -> Hand {
    let (mut hand, _) = Hand::new(PublisherOptions::default());
    hand.written();
    hand
}

fn subject(text: &str) -> Subject<'_> {
    Subject::new(text).unwrap()
}

/// The control lines written since this was last asked.
fn lines(hand: &mut Hand) -> Vec<String> {
    hand.written_lines()
}

fn subscribe(hand: &mut Hand, pattern: &str, queue: Option<&str>, limits: SubscriptionLimits) -> Sid {
    let queue: Option<SubjectBuf> = queue.map(|queue| subject(queue).to_buf());
    hand.session.subscribe(Pattern::new(pattern).unwrap(), queue, limits).unwrap()
}

fn plain(hand: &mut Hand, pattern: &str) -> Sid {
    subscribe(hand, pattern, None, SubscriptionLimits::default())
}

fn deliver(hand: &mut Hand, sid: u64, payload: &str) {
    hand.say(format!("MSG news.1 {sid} {}\r\n{payload}\r\n", payload.len()).as_bytes());
}

fn read(hand: &mut Hand, sid: Sid) -> Vec<String> {
    std::iter::from_fn(|| hand.session.next_received(sid, Waker::noop()))
        .map(|received| String::from_utf8(received.payload.to_vec()).unwrap())
        .collect()
}

fn lose(hand: &mut Hand) {
    hand.session.handle_disconnected(hand.epoch, LinkError::Closed { hint: None }, hand.now);
}

fn lost() -> LinkError {
    LinkError::Closed { hint: None }
}

fn publish(hand: &mut Hand, to: &str) -> Result<(), PublishError> {
    hand.session.publish(None, subject(to), None, None, b"x")
}

fn begin_flush(hand: &mut Hand) -> FlushId {
    hand.session.begin_flush(hand.now).unwrap()
}

fn flushed(hand: &mut Hand, id: FlushId) -> Poll<Result<Duration, FlushError>> {
    hand.session.poll_flush(id, Waker::noop())
}

fn drained(hand: &mut Hand) -> Poll<Result<(), DrainError>> {
    hand.session.poll_drain(Waker::noop())
}

fn notices(hand: &mut Hand) -> Vec<LinkNotice> {
    std::iter::from_fn(|| hand.session.poll_notice()).collect()
}

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
fn what_remains_of_a_bounded_subscription_is_announced_on_the_next_link() {
    let mut hand = hand();
    let news = subscribe(&mut hand, "news.*", Some("group"), SubscriptionLimits::default());
    deliver(&mut hand, SID, "1");
    hand.session.unsubscribe_after(news, 5);
    assert_eq!(lines(&mut hand), ["SUB news.* group 2", "UNSUB 2 5"]);
    deliver(&mut hand, SID, "2");
    lose(&mut hand);
    hand.connect();
    assert_eq!(lines(&mut hand)[1..], ["SUB news.* group 2", "UNSUB 2 3"]);
    deliver(&mut hand, SID, "3");
    // The server counts from the SUB of this link on.
    hand.session.unsubscribe_after(news, 6);
    assert_eq!(lines(&mut hand), ["UNSUB 2 4"]);
    for payload in ["4", "5", "6", "7"] {
        deliver(&mut hand, SID, payload);
    }
    assert_eq!(hand.session.subscription_end(news), None, "some wait to be read");
    assert_eq!(read(&mut hand, news), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(hand.session.subscription_end(news), Some(SubscriptionEnd::Complete));
    lose(&mut hand);
    hand.now = hand.now + 10 * SECOND;
    hand.connect();
    assert_eq!(lines(&mut hand).len(), 1, "only the publisher's inbox is made again");
}

#[test]
fn a_bound_that_is_reached_already_ends_a_subscription_at_once() {
    let mut hand = hand();
    let news = plain(&mut hand, "news.*");
    deliver(&mut hand, SID, "1");
    deliver(&mut hand, SID, "2");
    hand.session.unsubscribe_after(news, 2);
    assert_eq!(lines(&mut hand), ["SUB news.* 2", "UNSUB 2"]);
    deliver(&mut hand, SID, "3");
    assert_eq!(read(&mut hand, news), ["1", "2"]);
    assert_eq!(hand.session.subscription_end(news), Some(SubscriptionEnd::Complete));
}

#[test]
fn a_drained_subscription_gives_what_came_before_the_pong_and_ends() {
    let mut hand = hand();
    let news = plain(&mut hand, "news.*");
    hand.session.drain_subscription(news, hand.now);
    hand.session.drain_subscription(news, hand.now);
    let written = lines(&mut hand);
    assert_eq!(written[..2], ["SUB news.* 2", "UNSUB 2"]);
    assert_eq!(written.last().unwrap(), "PING");
    deliver(&mut hand, SID, "on its way");
    assert_eq!(hand.session.subscription_end(news), None);
    hand.say(b"PONG\r\n");
    deliver(&mut hand, SID, "too late");
    assert_eq!(read(&mut hand, news), ["on its way"]);
    assert_eq!(hand.session.subscription_end(news), Some(SubscriptionEnd::Drained));
    hand.session.unsubscribe(news);
    assert!(lines(&mut hand).is_empty(), "the server knows");
}

#[test]
fn a_link_that_is_lost_ends_a_subscription_that_was_being_drained() {
    let mut hand = hand();
    let news = plain(&mut hand, "news.*");
    hand.session.drain_subscription(news, hand.now);
    hand.written();
    lose(&mut hand);
    assert_eq!(hand.session.subscription_end(news), Some(SubscriptionEnd::LinkLost(lost())));
    let other = plain(&mut hand, "news.*");
    hand.session.drain_subscription(other, hand.now);
    assert_eq!(hand.session.subscription_end(other), Some(SubscriptionEnd::Drained), "nothing was on its way");
    hand.connect();
    assert_eq!(lines(&mut hand).len(), 1);
}

#[test]
fn a_slow_reader_costs_no_more_than_its_limits_and_is_told_of_once() {
    let mut hand = hand();
    let few = subscribe(&mut hand, "news.*", None, SubscriptionLimits { messages_max: 2, bytes_max: 1 << 20 });
    let small = subscribe(&mut hand, "news.*", None, SubscriptionLimits { messages_max: 100, bytes_max: 30 });
    notices(&mut hand);
    for sid in [SID, SID + 1] {
        for _ in 0..5 {
            deliver(&mut hand, sid, "0123456789");
        }
    }
    let slow = |dropped| LinkNotice::SlowConsumer { subject: "news.*".into(), dropped };
    assert_eq!(notices(&mut hand), [slow(1), slow(1)]);
    assert_eq!((hand.session.dropped(few), hand.session.dropped(small)), (3, 4));
    assert_eq!((read(&mut hand, few).len(), read(&mut hand, small).len()), (2, 1));
    // Read to its end, it may become slow again.
    for _ in 0..3 {
        deliver(&mut hand, SID, "x");
    }
    assert_eq!(notices(&mut hand), [slow(4)]);
    // A message that is larger than the limit is kept alone.
    deliver(&mut hand, SID + 1, &"x".repeat(100));
    assert_eq!(read(&mut hand, small).len(), 1);
}

#[test]
fn a_message_keeps_its_headers() {
    let mut hand = hand();
    let news = plain(&mut hand, "news.*");
    let block = "NATS/1.0 100 Idle Heartbeat\r\na: 1\r\na: 2\r\nB:3\r\n\r\n";
    let (headers, all) = (block.len(), block.len() + 2);
    hand.say(format!("HMSG news.1 2 to.me {headers} {all}\r\n{block}hi\r\nMSG news.2 2 0\r\n\r\n").as_bytes());
    let received = hand.session.next_received(news, Waker::noop()).unwrap();
    assert_eq!((&received.subject[..], received.reply.as_deref()), (&b"news.1"[..], Some(&b"to.me"[..])));
    assert_eq!((received.status, received.description()), (Some(100), Some(&b"Idle Heartbeat"[..])));
    let pairs: Vec<_> = received.headers().unwrap().iter().collect();
    assert_eq!(pairs, [(&b"a"[..], &b"1"[..]), (b"a", b"2"), (b"B", b"3")]);
    assert_eq!(&received.payload[..], b"hi");
    let received = hand.session.next_received(news, Waker::noop()).unwrap();
    assert!(received.headers().is_none() && received.reply.is_none() && received.payload.is_empty());
    assert_eq!((received.status, received.description()), (None, None));
}

#[test]
fn a_refused_subscription_ends_with_the_servers_words_and_is_not_made_again() {
    let mut hand = hand();
    let open = plain(&mut hand, "news.secret");
    let group = subscribe(&mut hand, "news.secret", Some("group"), SubscriptionLimits::default());
    notices(&mut hand);
    hand.say(b"-ERR 'Permissions Violation for Subscription to \"news.secret\" using queue \"group\"'\r\n");
    let error =
        ServerError::PermissionsViolationForSubscription { subject: "news.secret".into(), queue: Some("group".into()) };
    assert_eq!(hand.session.subscription_end(group), Some(SubscriptionEnd::Denied(error.clone())));
    assert_eq!(hand.session.subscription_end(open), None);
    assert_eq!(notices(&mut hand), [LinkNotice::ServerError(error)]);
    lose(&mut hand);
    hand.connect();
    assert_eq!(lines(&mut hand)[1..], ["SUB news.secret 2"]);
}

#[test]
fn a_request_has_one_answer_and_leaves_nothing_behind() {
    let mut hand = hand();
    let mut headers = HeaderBlock::new();
    headers.push("a", "1").unwrap();
    let asked = hand.session.request(None, subject("who"), Some(&headers), b"?").unwrap();
    let written = lines(&mut hand);
    let inbox = written[0].split(' ').nth(1).unwrap().to_owned();
    assert_eq!(written, [format!("SUB {inbox} 2"), "UNSUB 2 1".into(), format!("HPUB who {inbox} 18 19")]);
    for payload in ["me", "no, me"] {
        hand.say(format!("MSG {inbox} 2 {}\r\n{payload}\r\n", payload.len()).as_bytes());
    }
    assert_eq!(read(&mut hand, asked), ["me"]);
    assert_eq!(hand.session.statistics().strays, 1);
    hand.session.unsubscribe(asked);
    assert!(lines(&mut hand).is_empty(), "the server knows");
    // Refused questions and refused inboxes are told to those who ask.
    for words in ["Publish to \"who\"", "Publish with Reply of \"INBOX\"", "Subscription to \"INBOX\""] {
        let asked = hand.session.request(None, subject("who"), None, b"?").unwrap();
        let other = hand.session.request(None, subject("what"), None, b"?").unwrap();
        let inbox = lines(&mut hand)[0].split(' ').nth(1).unwrap().to_owned();
        hand.say(format!("-ERR 'Permissions Violation for {}'\r\n", words.replace("INBOX", &inbox)).as_bytes());
        let end = hand.session.subscription_end(asked);
        assert!(matches!(end, Some(SubscriptionEnd::Denied(_))), "{words}: {end:?}");
        assert_eq!(hand.session.subscription_end(other), None);
        hand.written();
    }
}

#[test]
fn nothing_is_kept_for_a_later_link() {
    let mut hand = hand();
    publish(&mut hand, "sent").unwrap();
    hand.written();
    for _ in 0..3 {
        publish(&mut hand, "lost").unwrap();
    }
    notices(&mut hand);
    lose(&mut hand);
    assert_eq!(notices(&mut hand), [LinkNotice::Lost(lost()), LinkNotice::Unsent(3)]);
    assert_eq!(publish(&mut hand, "refused"), Err(PublishError::NoLink));
    let asked = hand.session.request(None, subject("refused"), None, b"");
    assert_eq!(asked, Err(RequestError::Publish(PublishError::NoLink)));
    hand.connect();
    publish(&mut hand, "after").unwrap();
    let written = lines(&mut hand);
    assert!(written.len() == 2 && written[1] == "PUB after 1", "{written:?}");
}

#[test]
fn publishers_that_fill_the_outbox_leave_room_for_others_and_others_have_a_bound() {
    let (mut hand, publisher) = verified(stream());
    hand.submit(publisher, "ord.1", "probe", "x").unwrap();
    let probe = hand.written().remove(0);
    hand.answer(&probe, r#"{"stream":"ORD","seq":100}"#);
    let large = "x".repeat(7000);
    for number in 0..30 {
        hand.submit(publisher, "ord.1", &format!("id-{number}"), &large).unwrap();
    }
    let payload = [b'y'; 1000];
    let mut published = 0;
    while hand.session.publish(None, subject("a"), None, None, &payload).is_ok() {
        published += 1;
        assert!(published < 200, "no bound");
    }
    assert!(published > 100, "{published}");
    assert_eq!(hand.session.publish(None, subject("a"), None, None, &payload), Err(PublishError::NoRoom));
    hand.written();
    assert_eq!(hand.session.publish(None, subject("a"), None, None, &payload), Ok(()));
}

#[test]
fn those_who_wait_to_publish_are_woken_one_after_the_other_when_it_is_worth_it() {
    let mut hand = hand();
    lose(&mut hand);
    let [first, second] = [Count::new(), Count::new()];
    let mut tickets = [None, None];
    for (count, ticket) in [&first, &second].into_iter().zip(&mut tickets) {
        hand.session.wait_in_line(ticket, &Waker::from(Arc::clone(count)));
    }
    hand.connect();
    hand.wake_all();
    assert_eq!(first.woken(), 1, "there is a link");
    assert_eq!(second.woken(), 0, "it is not its turn");
    let publish = |hand: &mut Hand, ticket| hand.session.publish(ticket, subject("a"), None, None, b"");
    assert_eq!(publish(&mut hand, tickets[1]), Err(PublishError::NoRoom));
    assert_eq!(publish(&mut hand, None), Err(PublishError::NoRoom));
    // The first gives up.
    hand.session.leave_line(tickets[0].unwrap());
    hand.wake_all();
    assert_eq!(second.woken(), 1);
    assert_eq!(publish(&mut hand, tickets[1]), Ok(()));
    let before = second.woken();
    hand.written();
    hand.wake_all();
    assert!(second.woken() > before, "there is room again");
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
fn a_message_that_the_server_would_not_take_is_refused_with_the_reason() {
    let mut hand = hand();
    let mut headers = HeaderBlock::new();
    headers.push("a", "1").unwrap();
    let mut publish = |len: usize| hand.session.publish(None, subject("a"), None, Some(&headers), &vec![b'x'; len]);
    // NATS/1.0, one line, a blank one.
    assert_eq!(publish((1 << 20) - 18), Ok(()));
    assert_eq!(publish((1 << 20) - 17), Err(PublishError::TooLarge { size: (1 << 20) + 1, max: 1 << 20 }));
    let long = "x".repeat(4000);
    let refused = hand.session.publish(None, subject(&long), Some(subject(&long)), None, b"");
    assert_eq!(refused, Err(PublishError::ControlLine { len: 8003 }));
}

#[test]
fn notices_that_were_missed_are_counted_and_told_first() {
    let mut hand = hand();
    notices(&mut hand);
    for _ in 0..70 {
        hand.say(b"-ERR 'Invalid Subject'\r\n");
    }
    let told = notices(&mut hand);
    assert_eq!((told.len(), &told[0]), (65, &LinkNotice::Missed(6)));
    assert!(told[1..].iter().all(|notice| *notice == LinkNotice::ServerError(ServerError::InvalidSubject)));
    hand.say(b"-ERR 'Invalid Subject'\r\n");
    assert_eq!(notices(&mut hand).len(), 1);
}

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
    let mut hand = self::hand();
    publish(&mut hand, "a").unwrap();
    hand.session.begin_drain(hand.now + SECOND, hand.now);
    hand.written();
    lose(&mut hand);
    assert_eq!(drained(&mut hand), Poll::Ready(Err(DrainError::LinkLost(lost()))));
    // Neither does what was on its way to a subscription.
    let mut hand = self::hand();
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
