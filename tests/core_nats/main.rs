//! The library's core NATS against real servers, read and written by an independent client.

mod subscriptions;
#[path = "../support/mod.rs"]
mod support;
mod truth;
mod waiting;

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
