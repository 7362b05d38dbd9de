//! Subscriptions and requests: groups, bounds, slow readers, refusals, and the ends of handles.

use super::*;

#[tokio::test]
async fn a_queue_group_shares_what_everybody_else_gets_whole() {
    let server = plain();
    let (one, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let queue = || -> SubjectBuf { subject("group").to_buf() };
    let mut members = [&one, &one, &other].map(|client| client.queue_subscribe(pattern("n.*"), queue()).expect("open"));
    let mut alone = one.subscribe(pattern("n.*")).expect("open");
    one.flush(DEADLINE).await.expect("a server that answers");
    other.flush(DEADLINE).await.expect("a server that answers");
    send_numbers(&mut Raw::connect(&server.url()), "n.1", 0, 300);
    members.iter().for_each(Subscription::drain);
    alone.drain();
    assert_eq!(rest(&mut alone).await, numbers(0, 300));
    let mut shared = vec![];
    for member in &mut members {
        let part = rest(member).await;
        assert!(!part.is_empty(), "a member that gets nothing");
        shared.extend(part);
    }
    shared.sort_by_key(|number| number.parse::<u32>().expect("a number"));
    assert_eq!(shared, numbers(0, 300));
}

#[tokio::test]
async fn a_bounded_subscription_gets_exactly_so_many_across_a_restart_too() {
    let mut server = plain();
    let client = connect(&server.url()).await;
    let mut bounded = subscribe(&client, "n").await;
    bounded.unsubscribe_after(5);
    client.flush(DEADLINE).await.expect("a server that answers");
    send_numbers(&mut Raw::connect(&server.url()), "n", 0, 2);
    assert_eq!((next(&mut bounded).await, next(&mut bounded).await), (Some("0".into()), Some("1".into())));
    server.restart();
    down(&client).await;
    up(&client).await;
    client.flush(DEADLINE).await.expect("a server that answers");
    send_numbers(&mut Raw::connect(&server.url()), "n", 2, 20);
    assert_eq!(rest(&mut bounded).await, numbers(2, 5));
    assert_eq!(bounded.end(), Some(SubscriptionEnd::Complete));
    client.flush(DEADLINE).await.expect("a server that answers");
    assert_eq!(client.statistics().strays, 0, "the server had sent no more");
}

#[tokio::test]
async fn a_slow_reader_is_counted_and_told_of() {
    let server = plain();
    let client = connect(&server.url()).await;
    let slow = client.subscribe_with(pattern("n"), None, SubscriptionLimits::messages(10)).expect("open");
    let mut quick = subscribe(&client, "n").await;
    drop(client.link_notices());
    send_numbers(&mut Raw::connect(&server.url()), "n", 0, 100);
    quick.drain();
    assert_eq!(rest(&mut quick).await, numbers(0, 100));
    assert_eq!((slow.dropped(), quick.dropped()), (90, 0));
    let told: Vec<LinkNotice> = client.link_notices().collect();
    assert_eq!(told, [LinkNotice::SlowConsumer { subject: "n".into(), dropped: 1 }]);
    let mut slow = slow;
    slow.drain();
    assert_eq!(rest(&mut slow).await, numbers(0, 10));
}

#[tokio::test]
async fn requests_are_answered_refused_or_not_heard() {
    let server = plain();
    let client = connect(&server.url()).await;
    let unheard = within(client.request(subject("who"), b"?", DEADLINE)).await;
    assert_eq!(unheard, Err(RequestError::NoResponders));
    let mut raw = Raw::connect(&server.url());
    raw.subscribe("who");
    raw.flush();
    let responder = std::thread::spawn(move || {
        let question = raw.next();
        raw.send(question.reply.as_deref().expect("an inbox"), None, &[("b", "2"), ("b", "3")], b"me");
        raw.send(question.reply.as_deref().expect("an inbox"), None, &[], b"me too");
        raw.flush();
        (raw, question)
    });
    let mut headers = HeaderBlock::new();
    headers.push("a", "1").expect("a header");
    let answer =
        within(client.request_with_headers(subject("who"), Some(&headers), b"?", DEADLINE)).await.expect("one");
    assert_eq!((&answer.payload[..], answer.status), (&b"me"[..], None));
    let pairs: Vec<_> = answer.headers().expect("headers").iter().collect();
    assert_eq!(pairs, [(&b"b"[..], &b"2"[..]), (b"b", b"3")]);
    let (_raw, question) = responder.join().expect("an answer");
    assert_eq!((question.header("a"), &question.payload[..]), (Some("1"), &b"?"[..]));
    // It is heard, and nobody answers.
    let silent = within(client.request(subject("who"), b"?", Duration::from_millis(50))).await;
    assert_eq!(silent, Err(RequestError::NoAnswer));
    assert_eq!(client.statistics().strays, 0, "the server sends one answer and no more");
}

#[tokio::test]
async fn a_subscriber_can_answer_what_it_is_asked() {
    let server = plain();
    let client = connect(&server.url()).await;
    let mut questions = subscribe(&client, "double").await;
    let responder = {
        let client = client.clone();
        tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                let reply = std::str::from_utf8(question.reply.as_ref().expect("an inbox")).expect("text");
                let payload = [&question.payload[..], &question.payload[..]].concat();
                client.publish(subject(reply), None, None, &payload).await.expect("an open connection");
            }
        })
    };
    for number in 0..100 {
        let answer = within(client.request(subject("double"), number.to_string().as_bytes(), DEADLINE)).await;
        assert_eq!(&answer.expect("an answer").payload[..], format!("{number}{number}").as_bytes());
    }
    within(client.drain(DEADLINE)).await.expect("nothing is lost");
    within(responder).await.expect("it ended");
}

#[tokio::test]
async fn what_the_user_may_not_do_is_told_to_whom_it_concerns() {
    let server = Server::start(ServerOptions {
        jetstream: false,
        config: r#"authorization { users: [
            { user: ann, password: secret, permissions: {
                publish: { deny: "closed.>" }, subscribe: { deny: "closed.>" } } }
        ] }"#
            .into(),
        credentials: Some("ann:secret".into()),
        ..ServerOptions::default()
    });
    let client = connect(&server.url()).await;
    let mut open = subscribe(&client, "open.*").await;
    let mut closed = subscribe(&client, "closed.*").await;
    assert_eq!(next(&mut closed).await, None);
    let refused = ServerError::PermissionsViolationForSubscription { subject: "closed.*".into(), queue: None };
    assert_eq!(closed.end(), Some(SubscriptionEnd::Denied(refused.clone())));
    publish(&client, "closed.1", "x").await;
    publish(&client, "open.1", "y").await;
    assert_eq!(next(&mut open).await, Some("y".into()));
    let told: Vec<LinkNotice> = client.link_notices().skip(1).collect();
    let unpublished = ServerError::PermissionsViolationForPublish { subject: "closed.1".into() };
    assert_eq!(told, [refused, unpublished.clone()].map(LinkNotice::ServerError));
    let unasked = within(client.request(subject("closed.1"), b"?", DEADLINE)).await;
    assert_eq!(unasked, Err(RequestError::Denied(unpublished)));
}

#[tokio::test]
async fn a_handle_that_is_dropped_is_unsubscribed() {
    let server = Server::start(ServerOptions { jetstream: false, monitor: true, ..ServerOptions::default() });
    let client = connect(&server.url()).await;
    let count = || server.monitored("/connz").expect("a page")["connections"][0]["subscriptions"].as_u64();
    let subscriptions = [subscribe(&client, "a").await, subscribe(&client, "b").await, subscribe(&client, "c").await];
    assert_eq!(count(), Some(3));
    let [a, b, c] = subscriptions;
    drop(a);
    b.unsubscribe();
    client.flush(DEADLINE).await.expect("a server that answers");
    assert_eq!(count(), Some(1));
    // It keeps the connection open.
    drop(client);
    let mut c = c;
    send_numbers(&mut Raw::connect(&server.url()), "c", 0, 1);
    assert_eq!(next(&mut c).await, Some("0".into()));
}
