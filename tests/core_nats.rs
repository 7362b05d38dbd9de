//! The library's core NATS against real servers, read and written by an independent client.

mod support;

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use natsink::connection::{Backoff, CloseReason, ConnectionOptions, PublishError, ServerList};
use natsink::jetstream::{Message, Outcome, PublisherOptions};
use natsink::proto::{HeaderBlock, Pattern, ServerError, Subject, SubjectBuf};
use natsink::session::{
    DrainError, FlushError, LinkNotice, LinkState, RequestError, SubscriptionEnd, SubscriptionLimits,
};
use natsink::{Client, Subscription};
use serde_json::json;
use support::proxy::Rules;
use support::{Direction, Proxy, Raw, Server, ServerOptions};
use tokio::time::timeout;

/// Long enough for anything that ends at all.
const DEADLINE: Duration = Duration::from_secs(60);

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("done within the deadline")
}

fn plain() -> Server {
    Server::start(ServerOptions { jetstream: false, ..ServerOptions::default() })
}

async fn connect(url: &str) -> Client {
    within(natsink::connect(url)).await.expect("a server")
}

fn subject(text: &str) -> Subject<'_> {
    Subject::new(text).expect("a subject")
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a pattern")
}

/// Subscribes, and waits until the server knows.
async fn subscribe(client: &Client, text: &str) -> Subscription {
    let subscription = client.subscribe(pattern(text)).expect("an open connection");
    client.flush(DEADLINE).await.expect("a server that answers");
    subscription
}

async fn publish(client: &Client, to: &str, payload: &str) {
    within(client.publish(subject(to), None, None, payload.as_bytes())).await.expect("an open connection");
}

async fn next(subscription: &mut Subscription) -> Option<String> {
    let received = within(subscription.next()).await?;
    Some(String::from_utf8(received.payload.to_vec()).expect("text"))
}

/// Reads to the end.
async fn rest(subscription: &mut Subscription) -> Vec<String> {
    let mut all = vec![];
    while let Some(payload) = next(subscription).await {
        all.push(payload);
    }
    all
}

fn numbers(from: u32, to: u32) -> Vec<String> {
    (from..to).map(|number| number.to_string()).collect()
}

fn send_numbers(raw: &mut Raw, to: &str, from: u32, until: u32) {
    numbers(from, until).iter().for_each(|number| raw.send(to, None, &[], number.as_bytes()));
    raw.flush();
}

async fn up(client: &Client) {
    let mut state = client.link_state();
    while state != LinkState::Up {
        state = within(client.link_changed(&state)).await;
    }
}

async fn down(client: &Client) {
    let mut state = client.link_state();
    while state == LinkState::Up {
        state = within(client.link_changed(&state)).await;
    }
}

/// Polls a future once and drops it. It must not be ready.
async fn dropped_at_its_first_wait<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending(), "there is nothing to wait for");
        Poll::Ready(())
    })
    .await;
}

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
async fn a_flush_tells_the_truth_about_a_server_that_is_frozen_or_gone() {
    let mut server = plain();
    let client = connect(&server.url()).await;
    let mut numbers = subscribe(&client, "n").await;
    assert!(client.rtt(DEADLINE).await.expect("a server that answers") < DEADLINE);
    server.stop();
    publish(&client, "n", "1").await;
    assert_eq!(within(client.flush(Duration::from_millis(100))).await, Err(FlushError::NoAnswer));
    server.cont();
    client.flush(DEADLINE).await.expect("a server that answers again");
    assert_eq!(next(&mut numbers).await, Some("1".into()));

    server.stop();
    let flush = client.flush(DEADLINE);
    let (result, ()) = within(async {
        tokio::join!(flush, async {
            tokio::task::yield_now().await;
            server.kill9();
        })
    })
    .await;
    assert!(matches!(result, Err(FlushError::LinkLost(_))), "{result:?}");
    down(&client).await;
    assert_eq!(within(client.flush(DEADLINE)).await, Err(FlushError::NoLink));
}

#[tokio::test]
async fn a_flush_does_not_speak_for_the_link_before() {
    let mut server = plain();
    let client = connect(&server.url()).await;
    publish(&client, "n", "read").await;
    client.flush(DEADLINE).await.expect("a server that answers");
    server.restart();
    down(&client).await;
    up(&client).await;
    assert_eq!(client.flush(DEADLINE).await, Ok(()), "all was read before the link was lost");
    server.stop();
    publish(&client, "n", "never read").await;
    server.kill9();
    down(&client).await;
    server.restart();
    up(&client).await;
    assert_eq!(client.clone().flush(DEADLINE).await, Ok(()), "nothing was published through this handle");
    assert!(client.rtt(DEADLINE).await.is_ok(), "the time is that of this link");
    let lost = client.flush(DEADLINE).await;
    assert!(matches!(lost, Err(FlushError::LinkLost(_))), "{lost:?}");
    assert_eq!(client.flush(DEADLINE).await, Ok(()), "that was told");
    // A flush that is given up, or not answered, has proven nothing.
    server.stop();
    publish(&client, "n", "never read").await;
    dropped_at_its_first_wait(client.flush(DEADLINE)).await;
    assert_eq!(client.flush(Duration::from_millis(50)).await, Err(FlushError::NoAnswer));
    server.kill9();
    down(&client).await;
    server.restart();
    up(&client).await;
    let lost = client.flush(DEADLINE).await;
    assert!(matches!(lost, Err(FlushError::LinkLost(_))), "{lost:?}");
}

/// Publishes numbers in batches, breaks links between some of them and their flush, and gives those that a flush has
/// confirmed.
async fn publish_and_confirm(client: Client, proxy: Arc<Proxy>, task: u32) -> Vec<String> {
    let mut confirmed = vec![];
    for batch in 0..40 {
        let payloads: Vec<String> = (0..20).map(|number| format!("{task} {}", batch * 20 + number)).collect();
        for payload in &payloads {
            publish(&client, "n", payload).await;
        }
        if batch % 8 == 2 * task {
            proxy.cut();
        }
        if within(client.flush(DEADLINE)).await == Ok(()) {
            confirmed.extend(payloads);
        }
    }
    confirmed
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_flush_has_confirmed_has_arrived_whatever_becomes_of_links() {
    let server = plain();
    let proxy = Arc::new(Proxy::start(&server.address()));
    let mut raw = Raw::connect(&server.url());
    raw.subscribe("n");
    raw.flush();
    let listener = std::thread::spawn(move || {
        let payloads = std::iter::from_fn(|| String::from_utf8(raw.next().payload).ok());
        payloads.take_while(|payload| payload != "end").collect::<Vec<_>>()
    });
    let mut options = ConnectionOptions::new(ServerList::parse(&proxy.url()).expect("a URL").servers);
    options.backoff = Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(10) };
    let client = within(Client::connect(options)).await.expect("a server");
    let tasks: Vec<_> =
        (0..4).map(|task| tokio::spawn(publish_and_confirm(client.clone(), Arc::clone(&proxy), task))).collect();
    let mut confirmed = vec![];
    for task in tasks {
        confirmed.extend(within(task).await.expect("it ended"));
    }
    assert!(client.statistics().connects > 5, "links were lost");
    let mut raw = Raw::connect(&server.url());
    raw.send("n", None, &[], b"end");
    raw.flush();
    let arrived = listener.join().expect("it ended");
    let mut last = [None; 4];
    for payload in &arrived {
        let (task, number) = payload.split_once(' ').expect("two numbers");
        let (task, number) = (task.parse::<usize>().expect("a number"), number.parse::<u32>().ok());
        assert!(number > last[task], "{payload} after {last:?}: twice or late");
        last[task] = number;
    }
    let arrived: HashSet<_> = arrived.into_iter().collect();
    let missing: Vec<_> = confirmed.iter().filter(|payload| !arrived.contains(*payload)).collect();
    assert!(missing.is_empty(), "confirmed and not there: {missing:?}");
    assert!(confirmed.len() > 500, "{}", confirmed.len());
}

#[tokio::test]
async fn a_drain_loses_nothing_that_was_published_or_received() {
    let server = Server::start(ServerOptions::default());
    let mut raw = Raw::connect(&server.url());
    raw.create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
    let mut listener = Raw::connect(&server.url());
    listener.subscribe("core");
    listener.flush();
    let client = connect(&server.url()).await;
    let publisher = client.publisher(PublisherOptions::stream("ORDERS")).expect("open");
    let mut news = subscribe(&client, "news").await;
    let mut acks = vec![];
    for number in numbers(0, 500) {
        raw.send("news", None, &[], number.as_bytes());
        publish(&client, "core", &number).await;
        let message = Message::new(subject("orders.new"), number.as_str());
        acks.push(within(publisher.publish(&message)).await.expect("open"));
    }
    raw.flush();
    let reader = tokio::spawn(async move { (rest(&mut news).await, news.end()) });
    within(client.drain(DEADLINE)).await.expect("nothing is lost");
    assert_eq!(client.link_state(), LinkState::Closed(CloseReason::Requested));
    assert_eq!(within(reader).await.expect("it ended"), (numbers(0, 500), Some(SubscriptionEnd::Drained)));
    for ack in acks {
        assert!(matches!(within(ack).await, Outcome::Stored { .. }));
    }
    assert_eq!(raw.stream_messages("ORDERS"), 500);
    for number in numbers(0, 500) {
        assert_eq!(listener.next().payload, number.as_bytes());
    }
}

#[tokio::test]
async fn a_drain_ends_with_the_patience() {
    let server = plain();
    let client = connect(&server.url()).await;
    let unread = subscribe(&client, "n").await;
    send_numbers(&mut Raw::connect(&server.url()), "n", 0, 3);
    let unfinished = DrainError::Unfinished { unread: 3, in_flight: 0 };
    assert_eq!(within(client.drain(Duration::from_millis(300))).await, Err(unfinished));
    assert_eq!(unread.end(), None, "it can still be read");
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
async fn publishes_wait_out_a_restart_and_subscriptions_are_there_before_them() {
    let mut server = plain();
    let client = connect(&server.url()).await;
    let mut mine = subscribe(&client, "n.*").await;
    server.kill9();
    down(&client).await;
    let refused = client.try_publish(subject("n.1"), None, None, b"refused");
    assert_eq!(refused, Err(PublishError::NoLink));
    let waiting: Vec<_> = numbers(0, 20)
        .into_iter()
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move { publish(&client, "n.1", &number).await })
        })
        .collect();
    tokio::task::yield_now().await;
    server.restart();
    for publish in waiting {
        within(publish).await.expect("it is published");
    }
    mine.drain();
    assert_eq!(rest(&mut mine).await, numbers(0, 20), "in the order in which they waited");
}

#[tokio::test]
async fn notices_are_complete_and_each_is_given_once() {
    let mut server = plain();
    let client = connect(&server.url()).await;
    server.restart();
    down(&client).await;
    up(&client).await;
    client.close();
    let mut told = vec![];
    while let Some(notice) = within(client.next_link_notice()).await {
        told.push(notice);
    }
    told.retain(|notice| !matches!(notice, LinkNotice::DialFailed(_)));
    assert!(
        matches!(
            &told[..],
            [
                LinkNotice::Up { .. },
                LinkNotice::Lost(_),
                LinkNotice::Up { .. },
                LinkNotice::Closed(CloseReason::Requested)
            ]
        ),
        "{told:?}"
    );
    // Of two readers one gets the notice, and both get the end.
    let client = connect(&server.url()).await;
    drop(client.link_notices());
    let readers = [client.clone(), client.clone()].map(|client| {
        tokio::spawn(async move {
            let mut told = 0;
            while client.next_link_notice().await.is_some() {
                told += 1;
            }
            told
        })
    });
    tokio::task::yield_now().await;
    client.close();
    let mut told = 0;
    for reader in readers {
        told += within(reader).await.expect("it ended");
    }
    assert_eq!(told, 1);
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
async fn a_future_that_is_dropped_while_it_waits_loses_and_repeats_nothing() {
    let mut server = plain();
    let client = connect(&server.url()).await;
    let mut mine = subscribe(&client, "n").await;
    // Reading.
    dropped_at_its_first_wait(mine.next()).await;
    publish(&client, "n", "0").await;
    client.flush(DEADLINE).await.expect("a server that answers");
    assert_eq!(next(&mut mine).await, Some("0".into()));
    dropped_at_its_first_wait(mine.next()).await;
    // Flushing: the PONG that still comes answers nobody else.
    for _ in 0..3 {
        dropped_at_its_first_wait(client.flush(DEADLINE)).await;
    }
    client.flush(DEADLINE).await.expect("a server that answers");
    // Asking: nothing is left of a question that was asked.
    let mut raw = Raw::connect(&server.url());
    raw.subscribe("who");
    raw.flush();
    dropped_at_its_first_wait(client.request(subject("who"), b"?", DEADLINE)).await;
    client.flush(DEADLINE).await.expect("a server that answers");
    let question = raw.next();
    raw.send(question.reply.as_deref().expect("an inbox"), None, &[], b"too late");
    raw.flush();
    client.flush(DEADLINE).await.expect("a server that answers");
    assert_eq!(client.statistics().strays, 0, "the inbox is gone before the answer");
    // Looking for notices.
    drop(client.link_notices());
    dropped_at_its_first_wait(client.next_link_notice()).await;
    // Publishing and asking while there is no link.
    server.kill9();
    down(&client).await;
    assert!(matches!(within(client.next_link_notice()).await, Some(LinkNotice::Lost(_))));
    dropped_at_its_first_wait(client.publish(subject("n"), None, None, b"never")).await;
    dropped_at_its_first_wait(client.request(subject("n"), b"never", DEADLINE)).await;
    {
        let mut first = pin!(client.publish(subject("n"), None, None, b"never"));
        let mut second = pin!(client.publish(subject("n"), None, None, b"1"));
        poll_fn(|cx| {
            assert!(first.as_mut().poll(cx).is_pending() && second.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        server.restart();
        up(&client).await;
        // The first was woken, and does not take its turn: the second gets it when the first goes away.
        let refused = client.try_publish(subject("n"), None, None, b"never");
        assert_eq!(refused, Err(PublishError::NoRoom), "others wait");
        first.set(client.publish(subject("n"), None, None, b"never"));
        within(second).await.expect("a link");
    }
    publish(&client, "n", "2").await;
    mine.drain();
    assert_eq!(rest(&mut mine).await, ["1", "2"]);
    // Draining goes on.
    publish(&client, "n", "is it read?").await;
    dropped_at_its_first_wait(client.drain(DEADLINE)).await;
    assert_eq!(within(client.drain(DEADLINE)).await, Ok(()));
}

#[tokio::test]
async fn publishes_wait_for_room_and_are_served_in_turn() {
    let server = plain();
    let proxy = Proxy::start(&server.address());
    let mut raw = Raw::connect(&server.url());
    raw.subscribe("n");
    raw.flush();
    let mut options = ConnectionOptions::new(ServerList::parse(&proxy.url()).expect("a URL").servers);
    options.limits.outbox_max = 16 << 10;
    let client = within(Client::connect(options)).await.expect("a server");
    proxy.set(Direction::ToServer, Rules { hold: true, ..Rules::default() });
    // More than all the buffers on the way hold.
    let publishing = {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..3000 {
                publish(&client, "n", &format!("{number} {}", "x".repeat(10_000))).await;
            }
        })
    };
    // What is published here while there is room is empty, and not counted below.
    let full = async {
        while client.try_publish(subject("n"), None, None, b"").err() != Some(PublishError::NoRoom) {
            tokio::task::yield_now().await;
        }
    };
    within(full).await;
    assert!(!publishing.is_finished(), "nothing was in the way");
    proxy.set(Direction::ToServer, Rules::default());
    let reading = tokio::task::spawn_blocking(move || {
        let mut next = 0;
        while next < 3000 {
            let received = raw.next();
            if !received.payload.is_empty() {
                assert!(received.payload.starts_with(format!("{next} ").as_bytes()), "{next}");
                next += 1;
            }
        }
    });
    within(publishing).await.expect("all published");
    within(reading).await.expect("all read, in order");
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
