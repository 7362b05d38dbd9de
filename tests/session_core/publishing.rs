//! Publishes that wait, are refused, or are lost with their link.

use super::*;

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
