//! What is said to be read is read: flushes, drains, notices.

use super::*;

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
