//! Subscriptions and requests: bounds, limits, ends.

use super::*;

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
fn who_subscribes_and_unsubscribes_while_the_link_takes_nothing_does_not_fill_the_memory() {
    let mut hand = hand();
    let mut count = 0;
    let refused = loop {
        match hand.session.subscribe(Pattern::new("news.*").unwrap(), None, SubscriptionLimits::default()) {
            Ok(sid) => hand.session.unsubscribe(sid),
            Err(refused) => break refused,
        }
        count += 1;
        assert!(count < 1_000_000, "no bound");
    };
    assert_eq!(refused, SessionError::NoRoom);
    assert!(count > 100_000, "all that there may be fit in: {count}");
    hand.written();
    plain(&mut hand, "news.*");
}

#[test]
fn nothing_is_subscribed_over_which_the_server_would_close_every_link() {
    let mut hand = hand();
    let long = "x".repeat(4000);
    let of = |len: usize| Some(subject(&long[..len]).to_buf());
    let mut subscribe =
        |queue| hand.session.subscribe(Pattern::new(&*long).unwrap(), queue, SubscriptionLimits::default());
    assert!(subscribe(None).is_ok());
    assert!(subscribe(of(50)).is_ok());
    assert!(matches!(subscribe(of(100)), Err(SessionError::ControlLine { len: 4122 })));
    assert!(hand.written_lines().iter().all(|line| line.len() <= 4096));
}
