//! Reads what natsink sent, with async-nats and serde, as a consumer does: it binds to a durable consumer, reads events, and
//! acks each. Prints each message as one JSON line.
//!
//! `natsink-interop URL STREAM CONSUMER COUNT native|debezium|cloudevents`

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use async_nats::jetstream;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest wait for a message.
const PATIENCE: Duration = Duration::from_secs(30);

/// A change event, with what a consumer needs to process it once.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "event_id")]
    id: Option<Value>,
    op: String,
    source: Source,
    after: Option<Value>,
}

#[derive(Deserialize)]
struct Source {
    table: Option<String>,
}

/// Debezium's envelope.
#[derive(Deserialize)]
struct Debezium {
    payload: Event,
}

/// A CloudEvent.
#[derive(Deserialize)]
struct CloudEvent {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    specversion: String,
    data: Change,
}

#[derive(Deserialize)]
struct Change {
    op: String,
    after: Option<Value>,
}

/// What a consumer makes of a payload; `None` where an event's `after` was sent alone.
fn read(envelope: &str, payload: &[u8]) -> Result<Option<Value>, Box<dyn Error + Send + Sync>> {
    let shown =
        |event: Event| json!({"id": event.id, "op": event.op, "table": event.source.table, "after": event.after});
    let whole: Value = serde_json::from_slice(payload)?;
    let is_event = ["op", "payload", "specversion"].iter().any(|name| whole.get(name).is_some());
    if !is_event {
        return Ok(None);
    }
    Ok(Some(match envelope {
        "debezium" => shown(serde_json::from_slice::<Debezium>(payload)?.payload),
        "cloudevents" => {
            let event: CloudEvent = serde_json::from_slice(payload)?;
            assert_eq!(event.specversion, "1.0");
            json!({"id": event.id, "op": event.data.op, "type": event.kind, "after": event.data.after})
        }
        _ => shown(serde_json::from_slice(payload)?),
    }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, stream, consumer, count, envelope] = words.as_slice() else {
        return Err("wanted: URL STREAM CONSUMER COUNT ENVELOPE".into());
    };
    let client = async_nats::connect(url).await?;
    let js = jetstream::new(client);

    let stream = js.get_stream(stream).await?;
    let consumer: jetstream::consumer::PullConsumer = stream.get_consumer(consumer).await?;

    let mut messages = consumer.messages().await?;
    for _ in 0..count.parse::<usize>()? {
        let msg = tokio::time::timeout(PATIENCE, messages.next()).await?.ok_or("the messages ended")??;
        let headers: BTreeMap<String, &str> = msg
            .headers
            .iter()
            .flat_map(|headers| headers.iter())
            .flat_map(|(name, values)| values.iter().map(|value| (name.to_string(), value.as_str())))
            .collect();
        let event = read(envelope, &msg.payload)?;
        let payload = std::str::from_utf8(&msg.payload)?;
        let subject = msg.subject.as_str();
        println!("{}", json!({"subject": subject, "headers": headers, "payload": payload, "event": event}));
        msg.ack().await.map_err(|error| error.to_string())?;
    }
    Ok(())
}
