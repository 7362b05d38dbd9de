//! The library's publisher in scripts/bench: publishes so many messages with ids, each with an ack of its own.
//!
//! Prints one JSON line with `messages` and `seconds`.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt::Write;
use std::time::Instant;

use natsink::Ack;
use natsink::jetstream::{Message, Outcome, PublisherOptions};
use natsink::proto::{MsgId, Subject};

struct Options {
    url: String,
    stream: String,
    subject: String,
    messages: u64,
    size: usize,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        url: String::from("nats://127.0.0.1:4222"),
        stream: String::from("BENCH"),
        subject: String::from("bench"),
        messages: 100_000,
        size: 128,
    };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--url" => options.url = value,
            "--stream" => options.stream = value,
            "--subject" => options.subject = value,
            "--messages" => options.messages = value.parse()?,
            "--size" => options.size = value.parse()?,
            _ => return Err(format!("no option {name}").into()),
        }
    }
    Ok(options)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let client = natsink::connect(&options.url).await?;
    let publisher = client.publisher(PublisherOptions::stream(&options.stream))?;
    publisher.verified().await?;
    let payload = vec![b'x'; options.size];
    let subject = Subject::new(&options.subject)?;
    let mut id = String::new();
    let run = client.run_id();
    let mut acks: VecDeque<Ack> = VecDeque::new();
    let start = Instant::now();
    for number in 0..options.messages {
        id.clear();
        write!(id, "{run}-{number}")?;
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
