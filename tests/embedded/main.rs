//! The embedded sink against real servers: one outcome for each event, whatever happens meanwhile.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "../../examples/embedded_service.rs"]
#[allow(dead_code, reason = "its main is not called")]
mod embedded_service;
mod ends;
mod outcomes;
mod service;
#[path = "../support/mod.rs"]
mod support;

use std::future::Future;
use std::time::Duration;

use natsink::sink::{Event, Json, Op, Source};
use natsink::{Sink, SinkOptions};
use serde_json::{Value, json};
use support::{Server, ServerOptions, reader};
use tokio::time::timeout;

/// Long enough for anything that ends at all.
const DEADLINE: Duration = Duration::from_secs(60);

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("done within the deadline")
}

/// A server with the stream ORDERS on `orders.>`.
fn server() -> Server {
    let server = Server::start(ServerOptions::default());
    support::Raw::connect(&server.url()).create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
    server
}

fn options() -> SinkOptions {
    SinkOptions::stream("shop", "orders.${source.table}", "ORDERS").unwrap()
}

async fn sink(server: &Server) -> Sink {
    within(Sink::connect(&server.url(), options())).await.expect("a server")
}

/// An event that is told from others by its number.
fn event(number: u64) -> Event {
    let mut event = Event::new(Op::Create, Source::new("embedded", "shop", "customers"));
    event.after = Some(Json::from(number));
    event.position = Some(number);
    event
}

fn events(numbers: std::ops::Range<u64>) -> Vec<Event> {
    numbers.map(event).collect()
}

/// The numbers of the events that the stream holds, as nats-py reads them, in its order.
fn stored(server: &Server) -> Vec<u64> {
    let number = |message: Value| {
        let payload: Value = serde_json::from_str(message["payload"].as_str().expect("text")).expect("an event");
        payload["after"].as_u64().expect("a number")
    };
    reader::dump(&server.url(), "ORDERS").into_iter().map(number).collect()
}
