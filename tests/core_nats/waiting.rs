//! Those who wait: for a link, for room, and who wait no more.

use super::*;

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
