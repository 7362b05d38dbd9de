//! Publishes the lines of stdin with the blocking driver, and waits for what becomes of each.
//!
//! `seq 10 | cargo run --no-default-features --features blocking --example blocking -- nats://127.0.0.1:4222 ORDERS orders.new`

use std::collections::VecDeque;
use std::error::Error;

use natsink::blocking::{self, Ack};
use natsink::jetstream::{Message, Outcome, PublisherOptions};
use natsink::proto::Subject;

/// Acks that are waited for at most, before the oldest is.
const ACKS_MAX: usize = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, stream, subject] = words.as_slice() else { return Err("wanted: URL STREAM SUBJECT".into()) };
    let client = blocking::connect(url)?;
    let publisher = client.publisher(PublisherOptions::stream(stream))?;
    let subject = Subject::new(subject)?;
    let mut acks: VecDeque<Ack> = VecDeque::new();
    for line in std::io::stdin().lines() {
        acks.push_back(publisher.publish(&Message::new(subject, line?.as_bytes()))?);
        if acks.len() > ACKS_MAX {
            acks.pop_front().map_or(Ok(()), stored)?;
        }
    }
    acks.into_iter().try_for_each(stored)?;
    println!("{} stored", publisher.statistics().stored);
    Ok(())
}

fn stored(ack: Ack) -> Result<(), Box<dyn Error>> {
    match ack.wait() {
        Outcome::Stored { .. } => Ok(()),
        other => Err(format!("not stored but {other:?}").into()),
    }
}
