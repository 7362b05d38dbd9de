//! What the drivers with sockets share: handles, whose futures need no runtime, and the session behind its lock.

mod client;
mod core_nats;
mod entropy;
mod handle;
mod publisher;
mod shared;
#[cfg(feature = "sink")]
mod sink;
#[cfg(feature = "sink")]
mod sink_options;
#[cfg(feature = "sink")]
mod sink_outcome;
mod subscription;

pub use client::Client;
pub use publisher::{Ack, Publisher};
#[cfg(feature = "sink")]
pub use sink::Sink;
#[cfg(feature = "sink")]
pub use sink_options::{SinkOpenError, SinkOptions};
#[cfg(feature = "sink")]
pub use sink_outcome::{BatchResult, Delivered, SinkError};
pub use subscription::Subscription;

pub(super) use client::options;
pub(super) use shared::Shared;
