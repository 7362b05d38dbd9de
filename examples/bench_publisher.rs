//! The library's publisher in scripts/bench: publishes so many messages with ids, each with an ack of its own.
//!
//! Prints one JSON line with `messages` and `seconds`.

mod bench_options;

use std::collections::VecDeque;
use std::error::Error;
use std::fmt::Write;
use std::time::Instant;

use bench_options::{ID_ROOT, options};
use natsink::connection::{ConnectionOptions, ServerList};
use natsink::jetstream::{Message, Outcome, PublisherOptions};
use natsink::proto::{MsgId, Subject};
use natsink::{Ack, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let mut connection = ConnectionOptions::new(ServerList::parse(&options.url)?.servers);
    connection.tls.ca_file = options.ca;
    let client = Client::connect(connection).await?;
    let publisher = client.publisher(PublisherOptions::stream(&options.stream))?;
    publisher.verified().await?;
    let payload = vec![b'x'; options.size];
    let subject = Subject::new(&options.subject)?;
    let mut id = String::from(ID_ROOT);
    let mut acks: VecDeque<Ack> = VecDeque::new();
    let start = Instant::now();
    for number in 0..options.messages {
        id.truncate(ID_ROOT.len());
        write!(id, "{number}")?;
        let message = Message::new(subject, &payload[..]).id(MsgId::new(&id)?);
        if acks.len() == 4096 {
            for ack in acks.drain(..1024) {
                expect_stored(ack.await)?;
            }
        }
        acks.push_back(publisher.publish(&message).await?);
    }
    for ack in acks {
        expect_stored(ack.await)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{{\"messages\":{},\"seconds\":{seconds}}}", options.messages);
    Ok(())
}

fn expect_stored(outcome: Outcome) -> Result<(), Box<dyn Error>> {
    match outcome {
        Outcome::Stored { .. } => Ok(()),
        other => Err(format!("a message was not stored but {other:?}").into()),
    }
}
