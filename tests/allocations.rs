//! The publish path allocates nothing per message: counted through the public publisher, against a real server.

mod support;

use std::alloc::System;
use std::collections::VecDeque;
use std::fmt::Write as _;

use natsink::jetstream::{Message, Outcome, PublisherOptions};
use natsink::proto::{HeaderBlock, MsgId, Subject};
use natsink::{Ack, Publisher};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{Raw, Server, ServerOptions};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a whole run of thousands of messages may allocate: a buffer that grows once more, never one for each message.
const ALLOCATIONS_MAX: usize = 20;

struct Feed {
    publisher: Publisher,
    headers: HeaderBlock,
    id: String,
    number: u64,
    acks: VecDeque<Ack>,
    outcomes: Vec<(u64, Outcome)>,
}

impl Feed {
    async fn publish(&mut self) {
        self.id.clear();
        write!(self.id, "id-{}", self.number).expect("right");
        self.number += 1;
        self.headers.clear();
        self.headers.push("df-key", &self.id).expect("right");
        let id = MsgId::new(&self.id).expect("right");
        let message =
            Message::new(Subject::new("orders.new").expect("right"), &[b'x'; 128]).id(id).headers(&self.headers);
        let ack = self.publisher.publish(&message).await.expect("right");
        self.acks.push_back(ack);
    }

    async fn settle(&mut self, left: usize) {
        while self.acks.len() > left {
            let outcome = self.acks.pop_front().expect("right").await;
            assert!(matches!(outcome, Outcome::Stored { .. }), "{outcome:?}");
        }
    }

    async fn one_by_one(&mut self, count: usize) {
        for _ in 0..count {
            self.publish().await;
            self.settle(0).await;
        }
    }

    async fn pipelined(&mut self, count: usize) {
        for _ in 0..count {
            self.publish().await;
            if self.acks.len() == 2000 {
                self.settle(1000).await;
            }
        }
        self.settle(0).await;
    }

    async fn detached(&mut self, count: usize) {
        for _ in 0..count {
            self.publish().await;
            self.acks.clear();
        }
        self.publisher.settled().await;
    }

    async fn tagged(&mut self, count: u64) {
        for tag in 0..count {
            self.id.clear();
            write!(self.id, "tag-{}", self.number).expect("right");
            self.number += 1;
            let id = MsgId::new(&self.id).expect("right");
            let message = Message::new(Subject::new("orders.new").expect("right"), &[b'x'; 128]).id(id);
            self.publisher.send(tag, &message).await.expect("right");
            if tag % 1000 == 999 {
                self.outcomes.clear();
                self.publisher.outcomes(&mut self.outcomes).await.expect("right");
            }
        }
        self.publisher.settled().await;
        self.outcomes.clear();
        self.publisher.try_outcomes(&mut self.outcomes);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn publishing_allocates_nothing_per_message() {
    let server = Server::start(ServerOptions::default());
    Raw::connect(&server.url()).create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"], "storage": "memory"}));
    let client = natsink::connect(&server.url()).await.expect("right");
    let publisher = client.publisher(PublisherOptions::stream("ORDERS")).expect("right");
    publisher.verified().await.expect("right");
    let mut feed = Feed {
        publisher,
        headers: HeaderBlock::new(),
        id: String::with_capacity(64),
        number: 0,
        acks: VecDeque::with_capacity(20_000),
        outcomes: Vec::with_capacity(20_000),
    };
    // The window and its buffers grow to their size first.
    feed.detached(20_000).await;
    feed.pipelined(20_000).await;
    feed.tagged(20_000).await;
    feed.one_by_one(100).await;

    let mut counted = Vec::new();
    let region = Region::new(ALLOCATOR);
    feed.one_by_one(2000).await;
    counted.push(("one by one", region.change()));
    let region = Region::new(ALLOCATOR);
    feed.pipelined(20_000).await;
    counted.push(("pipelined", region.change()));
    let region = Region::new(ALLOCATOR);
    feed.detached(20_000).await;
    counted.push(("detached", region.change()));
    let region = Region::new(ALLOCATOR);
    feed.tagged(20_000).await;
    counted.push(("tagged", region.change()));
    for (what, stats) in counted {
        let allocations = stats.allocations + stats.reallocations;
        assert!(allocations <= ALLOCATIONS_MAX, "{what}: {allocations} allocations, {stats:?}");
    }
}
