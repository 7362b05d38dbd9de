//! What the drivers with sockets share: handles, whose futures need no runtime, and the session behind its lock.

mod client;
mod core_nats;
mod entropy;
mod handle;
mod publisher;
mod shared;
mod subscription;

pub use client::Client;
pub use publisher::{Ack, Publisher};
pub use subscription::Subscription;

pub(super) use client::options;
pub(super) use shared::Shared;
