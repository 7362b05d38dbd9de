//! Servers that go, futures that are dropped, sinks that are closed.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use natsink::jetstream::PublisherError;
use natsink::{Delivered, SinkError};

use super::{event, events, server, sink, stored, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_between_batches_and_within_them_loses_doubles_and_turns_nothing() {
    const BATCH: u64 = 200;
    const BATCHES: u64 = 50;
    let mut server = server();
    let sink = sink(&server).await;
    let sending = tokio::spawn({
        let sink = sink.clone();
        async move {
            for batch in 0..BATCHES {
                let result = sink.send_batch(&events(batch * BATCH..(batch + 1) * BATCH)).await;
                assert!(result.is_delivered(), "{:?}", result.pending().collect::<Vec<_>>());
                assert_eq!(result.settled_len() as u64, BATCH);
            }
        }
    });
    for kill in 1..=3 {
        let publisher = sink.publisher().expect("a stream").clone();
        within(async {
            while publisher.statistics().stored < kill * BATCH * BATCHES / 5 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        server.kill9();
        server.restart();
    }
    within(sending).await.expect("all batches are delivered");
    assert_eq!(stored(&server), (0..BATCH * BATCHES).collect::<Vec<_>>());
    // The same events again, by somebody who does not know that they were sent.
    let again = super::sink(&server).await;
    let result = within(again.send_batch(&events(0..BATCH))).await;
    let is_duplicate = |outcome: &Result<_, _>| matches!(outcome, Ok(Delivered::Duplicate { verified: true, .. }));
    assert!(result.outcomes().iter().all(is_duplicate));
}

#[tokio::test]
async fn a_dropped_future_loses_and_doubles_nothing() {
    let mut server = server();
    let sink = sink(&server).await;
    server.kill9();
    let batch = events(0..20);
    {
        // Polled once: all of it is in the window, and nobody waits for it any more.
        let mut sending = pin!(sink.send_batch(&batch));
        assert!(sending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let mut one = pin!(sink.send(&batch[3]));
        assert!(one.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    server.restart();
    within(sink.flush()).await.unwrap();
    let result = within(sink.send_batch(&batch)).await;
    assert!(result.is_delivered());
    assert_eq!(stored(&server), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn closing_waits_for_what_was_taken_and_takes_nothing_more() {
    let mut server = server();
    let sink = sink(&server).await;
    server.kill9();
    let batch = events(0..50);
    let mut sending = pin!(sink.send_batch(&batch));
    let mut closing = pin!(sink.close());
    let mut context = Context::from_waker(Waker::noop());
    assert!(sending.as_mut().poll(&mut context).is_pending());
    assert!(closing.as_mut().poll(&mut context).is_pending(), "the server is away");
    let refused = within(sink.send(&event(99))).await;
    assert_eq!(refused, Err(SinkError::Closed(PublisherError::Closed)));
    server.restart();
    let (closed, result) = within(async { (closing.await, sending.await) }).await;
    closed.unwrap();
    assert!(result.is_delivered());
    assert_eq!(within(sink.close()).await, Ok(()), "it is closed already");
    let late = within(sink.send_batch(&events(60..62))).await;
    assert_eq!((late.pending().collect::<Vec<_>>(), late.settled_len()), (vec![0, 1], 0));
    assert_eq!(stored(&server), (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_sink_that_is_dropped_with_events_out_says_that_nobody_knows() {
    let mut server = server();
    let sink = sink(&server).await;
    server.kill9();
    let batch = events(0..3);
    let mut sending = pin!(sink.send_batch(&batch));
    assert!(matches!(sending.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    sink.publisher().expect("a stream").close();
    let result = within(sending).await;
    assert_eq!(result.outcomes(), [Err(SinkError::Unknown), Err(SinkError::Unknown), Err(SinkError::Unknown)]);
    assert_eq!(result.pending().count(), 3);
}
