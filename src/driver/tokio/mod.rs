//! The async driver: one task moves the bytes, cheap handles talk to the session under a short lock.

mod client;
mod handle;
mod publisher;
mod shared;
mod socket;
mod task;

pub use client::{Client, connect};
pub use publisher::{Ack, Publisher};
