//! The blocking driver: plain threads and the standard library, no runtime; clear text only.
//!
//! The same session as under the async driver, with the same outcomes. A client has a thread that writes and tells the
//! time, and one that reads; both end with its last handle. It answers the server's PINGs while its caller is busy with
//! something else. A server that demands TLS ends the connection with
//! [`TlsError::NotBuilt`](crate::connection::TlsError::NotBuilt).
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use natsink::blocking;
//! use natsink::jetstream::{Message, PublisherOptions};
//! use natsink::proto::{MsgId, Subject};
//!
//! let client = blocking::connect("nats://127.0.0.1:4222")?;
//! let publisher = client.publisher(PublisherOptions::stream("ORDERS"))?;
//! let message = Message::new(Subject::new("orders.created")?, b"{}").id(MsgId::new("order-17")?);
//! let ack = publisher.publish(&message)?; // waits for room in the window, and only for that
//! println!("{:?}", ack.wait());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod core_nats;
mod driver;
mod link;
mod park;
mod publisher;
#[cfg(feature = "sink")]
mod sink;
mod wire;

pub use client::{Client, connect};
pub use core_nats::Subscription;
pub use publisher::{Ack, Publisher};
#[cfg(feature = "sink")]
pub use sink::Sink;
