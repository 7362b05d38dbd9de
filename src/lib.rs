//! natsink delivers events into NATS JetStream: nothing lost, nothing twice, nothing out of order.
//!
//! It speaks the NATS wire protocol by its own hand, under a publisher that gives every message exactly one
//! [`Outcome`](jetstream::Outcome), under a sink that turns lines of events into messages and outcomes into a position
//! from which a restart can go on.
//!
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use natsink::jetstream::{Message, Outcome, PublisherOptions};
//! use natsink::proto::{MsgId, Subject};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = natsink::connect("nats://127.0.0.1:4222").await?;
//! let publisher = client.publisher(PublisherOptions::stream("ORDERS"))?;
//! let subject = Subject::new("orders.created")?;
//! let message = Message::new(subject, br#"{"order":17}"#).id(MsgId::new("order-17")?);
//! let ack = publisher.publish(&message).await?; // waits for room in the window, and only for that
//! match ack.await {
//!     Outcome::Stored { seq } | Outcome::Duplicate { seq, .. } => println!("in the stream at {seq}"),
//!     Outcome::Rejected(why) => println!("never to be stored: {why}"),
//!     Outcome::Unknown => println!("the publisher was closed first"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The house
//!
//! The product is a handful of state machines: bytes and time in, bytes and wishes out. They touch no socket, no clock,
//! no file and no entropy, so the same code runs under tokio, under a test on virtual time, and without `std`. Imports
//! point only downwards:
//!
//! | floor | what it is |
//! |---|---|
//! | [`time`], [`rng`] | moments in microseconds, and randomness that is handed in |
//! | [`proto`] | bytes and ops: parser, encoder, subjects, headers |
//! | [`connection`] | one logical connection over many sockets |
//! | [`jetstream`] | publishes that outlive links: the window, the `ordered` lane, outcomes |
//! | [`session`] | one connection composed with its publishers and subscribers |
//! | `sink` | records in, watermark out |
//! | `driver` | sockets and tasks: `Client`, `Publisher`, `Ack` |
//! | `io`, `config` | files, and what was written in a configuration; for the command |
//!
//! # Driving a session by hand
//!
//! A driver repeats five steps: tell facts, do what is asked for, carry bytes off, tell the time, sleep.
//!
//! ```
//! use natsink::connection::{Action, ConnectionOptions, ServerList, Transmit};
//! use natsink::rng::Entropy;
//! use natsink::session::Session;
//! use natsink::time::Instant;
//!
//! let servers = ServerList::parse("nats://127.0.0.1:4222")?.servers;
//! let mut session = Session::new(ConnectionOptions::new(servers), &Entropy::new([7; 32]));
//! let mut now = Instant::ZERO;
//!
//! // Time: the first dial is due at once.
//! assert_eq!(session.poll_timeout(), Some(now));
//! session.handle_timeout(now);
//! // Wishes: whom to dial.
//! let Some(Action::Dial { epoch, .. }) = session.poll_action() else { panic!("a dial is wanted") };
//! // Facts: the socket is there, and its first bytes.
//! session.handle_connected(epoch, now);
//! session.handle_input(epoch, b"INFO {\"headers\":true,\"max_payload\":1048576} \r\n", now);
//! // Bytes: CONNECT and PING are owed to the socket.
//! let mut transmit = Transmit::new();
//! assert!(session.poll_transmit(epoch, &mut transmit, now));
//! let mut slices = [&[][..]; 4];
//! let filled = transmit.slices(&mut slices);
//! assert!(slices[..filled].concat().starts_with(b"CONNECT {"));
//! # now = Instant::from_micros(1);
//! # let _ = now;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `tokio` (default) | the async driver: `Client`, `Publisher` |
//! | `blocking` | the driver on plain threads: `blocking::Client`, `blocking::Publisher`; clear text only, no runtime |
//! | `tls` (default) | TLS for the async driver: `TlsOptions` are kept, and `tls::check` |
//! | `nkeys` (default) | `credentials`: creds files, nkeys, JWTs, callbacks |
//! | `tracing` | what becomes of links and publishers, told to the `tracing` crate |
//! | `sink` (default) | the sink's machine: templates, event ids, the pipeline; with a driver the embedded `Sink` |
//! | `cli` | the command `natsink`, and the floors that it needs |
//! | `sim` | a model server and virtual time, for tests; no part of the promise |
//!
//! Without any of them the crate is its `no_std` + `alloc` core.
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod connection;
pub mod jetstream;
pub mod proto;
pub mod rng;
pub mod session;
pub mod time;
mod wakers;

#[cfg(feature = "sink")]
pub mod sink;

#[cfg(any(feature = "tokio", feature = "blocking", feature = "nkeys"))]
pub mod driver;

#[cfg(feature = "cli")]
pub mod config;
#[cfg(feature = "cli")]
pub mod io;

#[cfg(all(feature = "tokio", feature = "sink"))]
pub use driver::Sink;
#[cfg(feature = "blocking")]
pub use driver::blocking;
#[cfg(feature = "nkeys")]
pub use driver::credentials;
#[cfg(feature = "tls")]
pub use driver::tls;
#[cfg(feature = "tokio")]
pub use driver::{Ack, Client, Publisher, Subscription, connect};
#[cfg(all(any(feature = "tokio", feature = "blocking"), feature = "sink"))]
pub use driver::{BatchResult, Delivered, SinkError, SinkOpenError, SinkOptions};

#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sim;
