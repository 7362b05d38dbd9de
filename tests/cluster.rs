//! The library's publisher against a real cluster of three, whose servers come and go while it publishes.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use natsink::connection::{ConnectionOptions, ServerList};
use natsink::jetstream::{Message, Outcome, PublisherOptions, PublisherStatistics};
use natsink::proto::{MsgId, Subject};
use natsink::session::LinkNotice;
use natsink::{Ack, Client, Publisher};
use serde_json::json;
use support::Cluster;
use tokio::time::timeout;

/// Messages published around each fault, as fast as they go; behind them come more, slowly, until the fault is over.
const BATCH: u64 = 7_500;
/// How many of them are stored before the fault.
const BEFORE: u64 = 1_500;
/// Between two of the slow ones, and between two looks at how far the others are.
const PACE: Duration = Duration::from_millis(1);
/// Long enough for a batch, with an election in it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A publisher into the stream ORDERS of a cluster, and what it was told of each message.
struct Load {
    client: Client,
    publisher: Publisher,
    /// The name of the server that it was connected to last.
    server: String,
    /// The sequence of each message, in the order of publishing, as the publisher gave it.
    acked: Vec<u64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shaken_cluster_loses_doubles_and_silently_turns_nothing() {
    let mut cluster = Cluster::start();
    cluster.create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
    let mut load = Load::start(&cluster).await;

    for index in 0..3 {
        load.through("a server restarted", || cluster.sigterm(index)).await;
        cluster.restart(index);
    }
    for _ in 0..3 {
        load.through("the leader stepped down", || _ = cluster.step_down("ORDERS")).await;
    }
    let leader = cluster.leader("ORDERS");
    load.through("the leader killed", || cluster.kill9(leader)).await;
    cluster.restart(leader);
    let connected = cluster.index_of(&load.server);
    let lame = || {
        cluster.lame_duck(connected);
        cluster.wait_end(connected);
    };
    load.through("the connected server a lame duck", lame).await;
    assert_ne!(cluster.index_of(&load.server), connected);
    cluster.restart(connected);

    let statistics = load.publisher.statistics();
    assert!(statistics.replayed > 0, "no fault was felt: {statistics:?}");
    load.verify(&cluster);
}

impl Load {
    async fn start(cluster: &Cluster) -> Self {
        let servers = ServerList::parse(&cluster.url()).expect("three servers").servers;
        let client = Client::connect(ConnectionOptions::new(servers)).await.expect("a cluster");
        let publisher = client.publisher(PublisherOptions::stream("ORDERS")).expect("an open connection");
        publisher.verified().await.expect("the stream is there");
        Self { client, publisher, server: String::new(), acked: Vec::new() }
    }

    /// Publishes a batch, with this happening on the way, and waits until all of it is settled.
    async fn through(&mut self, what: &str, fault: impl FnOnce()) {
        self.hear();
        let (before, began) = (self.publisher.statistics(), Instant::now());
        let over = Arc::new(AtomicBool::new(false));
        let feeding = tokio::spawn(feed(self.publisher.clone(), self.acked.len() as u64, Arc::clone(&over)));
        let stored = |statistics: PublisherStatistics| statistics.stored + statistics.duplicates;
        while stored(self.publisher.statistics()) < stored(before) + BEFORE {
            assert!(began.elapsed() < DEADLINE, "{what}: {:?}", self.publisher.statistics());
            tokio::time::sleep(PACE).await;
        }
        tokio::task::block_in_place(fault);
        over.store(true, Ordering::Relaxed);
        let acks = timeout(DEADLINE, feeding).await.expect("all in the window in time").expect("a feed does not panic");
        for ack in acks {
            match timeout(DEADLINE, ack).await.expect("settled in time") {
                Outcome::Stored { seq } | Outcome::Duplicate { seq, verified: true } => self.acked.push(seq),
                other => panic!("{what}: {other:?}"),
            }
        }
        self.hear();
        let after = self.publisher.statistics();
        println!(
            "{what}: {} ms, {} anomalies, {} replayed, {} duplicate, {} inversions, connects {}",
            began.elapsed().as_millis(),
            after.anomalies - before.anomalies,
            after.replayed - before.replayed,
            after.duplicates - before.duplicates,
            after.inversions - before.inversions,
            self.client.statistics().connects,
        );
    }

    /// Notes where the link leads.
    fn hear(&mut self) {
        for notice in self.client.link_notices() {
            if let LinkNotice::Up { server: Some(server), .. } = notice {
                self.server = server;
            }
        }
    }

    /// Reads everything back by other means, and holds it against what was published and what the publisher said of it.
    fn verify(&self, cluster: &Cluster) {
        let stored = cluster.raw("ORDERS").stored("ORDERS");
        let mut found: BTreeMap<&str, u64> = BTreeMap::new();
        for message in &stored {
            let id = message.id().expect("every message was sent with an id");
            assert_eq!(found.insert(id, message.seq), None, "{id} is there twice");
            let number = id.strip_prefix("id-").and_then(|number| number.parse().ok()).expect("an id of ours");
            assert_eq!(message.payload, payload(number).as_bytes(), "{id} is another message");
        }
        let sequence_of =
            |number: u64| *found.get(&*format!("id-{number}")).unwrap_or_else(|| panic!("lost: {number}"));
        let sequences: Vec<u64> = (0..self.acked.len() as u64).map(sequence_of).collect();
        assert_eq!(stored.len(), sequences.len());
        assert_eq!(sequences, self.acked, "an ack told another sequence than the stream has");
        let (mut highest, mut inversions) = (0, 0);
        for seq in sequences {
            inversions += u64::from(seq < highest);
            highest = highest.max(seq);
        }
        println!("{} messages, 0 lost, 0 duplicated, {inversions} inversions", stored.len());
        assert_eq!(self.publisher.statistics().inversions, inversions, "an inversion that nobody admits");
    }
}

async fn feed(publisher: Publisher, from: u64, over: Arc<AtomicBool>) -> Vec<Ack> {
    let mut acks = Vec::new();
    while acks.len() as u64 <= BATCH || !over.load(Ordering::Relaxed) {
        if acks.len() as u64 >= BATCH {
            tokio::time::sleep(PACE).await;
        }
        acks.push(publish(&publisher, from + acks.len() as u64).await);
    }
    acks
}

async fn publish(publisher: &Publisher, number: u64) -> Ack {
    let (id, payload) = (format!("id-{number}"), payload(number));
    let subject = Subject::new("orders.new").expect("a subject");
    let message = Message::new(subject, &*payload).id(MsgId::new(&id).expect("an id"));
    publisher.publish(&message).await.expect("a message that can be stored")
}

fn payload(number: u64) -> String {
    format!("{{\"order\":{number:08},\"text\":\"{}\"}}", "x".repeat(90))
}
