//! natsink: a publisher and sink for NATS JetStream that loses nothing, sends nothing twice and keeps the order.
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

#[cfg(feature = "tokio")]
pub mod driver;

#[cfg(feature = "cli")]
pub mod config;
#[cfg(feature = "cli")]
pub mod io;

#[cfg(feature = "tokio")]
pub use driver::{Ack, Client, Publisher, connect};

#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sim;
