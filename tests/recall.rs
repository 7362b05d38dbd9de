//! The library's publisher beyond a duplicate window of a second: against one server, and against a cluster of three.

mod support;

use std::time::Duration;

use natsink::connection::{ConnectionOptions, ServerList};
use natsink::jetstream::{Message, Outcome, PublisherError, PublisherOptions};
use natsink::proto::{MsgId, Subject};
use natsink::{Client, Publisher};
use serde_json::json;
use support::{Cluster, Raw, Server, ServerOptions};
use tokio::time::timeout;

/// Long enough for an election.
const DEADLINE: Duration = Duration::from_secs(60);
/// The duplicate window, nanoseconds.
const WINDOW: u64 = 1_000_000_000;

async fn client(urls: &str) -> Client {
    let servers = ServerList::parse(urls).expect("servers").servers;
    Client::connect(ConnectionOptions::new(servers)).await.expect("a server")
}

/// Publishes messages with these numbers, and gives the outcome of each.
async fn publish(publisher: &Publisher, numbers: std::ops::Range<u64>) -> Vec<Outcome> {
    let mut acks = Vec::new();
    for number in numbers {
        let (id, payload) = (format!("id-{number}"), format!("payload {number}"));
        let message = Message::new(Subject::new("orders.new").expect("a subject"), &*payload);
        acks.push(publisher.publish(&message.id(MsgId::new(&id).expect("an id"))).await.expect("it is taken"));
    }
    let mut outcomes = Vec::new();
    for ack in acks {
        outcomes.push(timeout(DEADLINE, ack).await.expect("in time"));
    }
    outcomes
}

fn recalling(after: u64) -> PublisherOptions {
    PublisherOptions { recall_after: Some(after), acked_seq: after, ..PublisherOptions::stream("ORDERS") }
}

/// Waits until the stream takes an id a second time.
fn forget(raw: &mut Raw) {
    let id = [("Nats-Msg-Id", "a probe")];
    raw.publish("orders.probe", &id, b"first");
    let deadline = std::time::Instant::now() + DEADLINE;
    while raw.publish("orders.probe", &id, b"again").get("duplicate").is_some() {
        assert!(std::time::Instant::now() < deadline, "the window never ends");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All numbers are stored, once each, in order.
fn holds(raw: &mut Raw, count: u64) {
    let stored = raw.stored("ORDERS");
    let ids = stored.iter().filter_map(|message| message.id()?.strip_prefix("id-")?.parse::<u64>().ok());
    assert!(ids.eq(0..count), "lost, twice, or out of order");
}

fn count(outcomes: &[Outcome], of: impl Fn(&Outcome) -> bool) -> usize {
    outcomes.iter().filter(|outcome| of(outcome)).count()
}

const fn is_found(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Duplicate { verified: true, .. })
}

#[tokio::test]
async fn a_publisher_that_comes_later_finds_what_is_there() {
    let server = Server::start(ServerOptions::default());
    let mut raw = Raw::connect(&server.url());
    raw.create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"], "duplicate_window": WINDOW}));
    let first = client(&server.url()).await;
    let publisher = first.publisher(PublisherOptions::stream("ORDERS")).expect("an open connection");
    assert!(publish(&publisher, 0..1000).await.iter().all(|outcome| matches!(outcome, Outcome::Stored { .. })));
    first.close();
    forget(&mut raw);
    let second = client(&server.url()).await;
    let publisher = second.publisher(recalling(0)).expect("an open connection");
    let outcomes = publish(&publisher, 0..1010).await;
    assert_eq!(count(&outcomes, is_found), 1000);
    holds(&mut raw, 1010);
    // Without the sequence nothing is read back: that is what the window ends for.
    forget(&mut raw);
    let trusting = second.publisher(PublisherOptions::stream("ORDERS")).expect("an open connection");
    let outcomes = publish(&trusting, 0..1).await;
    assert!(matches!(outcomes[..], [Outcome::Stored { .. }]), "{outcomes:?}");
}

#[tokio::test]
async fn a_stream_that_can_have_no_more_consumers_stops_the_publisher() {
    let server = Server::start(ServerOptions::default());
    let mut raw = Raw::connect(&server.url());
    let config = json!({"name": "ORDERS", "subjects": ["orders.>"], "duplicate_window": WINDOW, "max_consumers": 1});
    raw.create_stream(config);
    let client = client(&server.url()).await;
    let publisher = client.publisher(PublisherOptions::stream("ORDERS")).expect("an open connection");
    publish(&publisher, 0..5).await;
    let durable = json!({"name": "other", "durable_name": "other"});
    raw.api("CONSUMER.CREATE.ORDERS.other", &json!({"stream_name": "ORDERS", "config": durable}));
    let publisher = client.publisher(recalling(0)).expect("an open connection");
    assert_eq!(publish(&publisher, 0..1).await, [Outcome::Unknown]);
    let failure = publisher.failure();
    assert!(matches!(failure, Some(PublisherError::RecallRefused { err_code: 10026, .. })), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_leader_is_lost_for_longer_than_the_window_stores_nothing_twice() {
    let mut cluster = Cluster::start();
    cluster.create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"], "duplicate_window": WINDOW}));
    let first = client(&cluster.url()).await;
    let publisher = first.publisher(PublisherOptions::stream("ORDERS")).expect("an open connection");
    let early = publish(&publisher, 0..500).await;
    assert_eq!(count(&early, |outcome| matches!(outcome, Outcome::Stored { .. })), 500);
    // The election alone takes longer than the window.
    let leader = cluster.leader("ORDERS");
    let feeding = {
        let publisher = publisher.clone();
        tokio::spawn(async move { publish(&publisher, 500..6000).await })
    };
    tokio::task::block_in_place(|| cluster.kill9(leader));
    let outcomes = timeout(DEADLINE, feeding).await.expect("in time").expect("no panic");
    let is_there =
        |outcome: &Outcome| matches!(outcome, Outcome::Stored { .. } | Outcome::Duplicate { verified: true, .. });
    assert_eq!(count(&outcomes, is_there), 5500, "{:?}", outcomes.iter().find(|outcome| !is_there(outcome)));
    first.close();
    // Another client goes on, with the server back that knows nothing of what it missed.
    tokio::task::block_in_place(|| cluster.restart(leader));
    let mut raw = cluster.raw("ORDERS");
    forget(&mut raw);
    let second = client(&cluster.url()).await;
    let publisher = second.publisher(recalling(0)).expect("an open connection");
    let outcomes = publish(&publisher, 0..6010).await;
    assert_eq!(count(&outcomes, is_found), 6000);
    let stored = raw.stored("ORDERS");
    let mut ids: Vec<u64> =
        stored.iter().filter_map(|message| message.id()?.strip_prefix("id-")?.parse().ok()).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..6010), "lost, or twice");
}
