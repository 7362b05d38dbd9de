//! The async driver: one task moves the bytes, cheap handles talk to the session under a short lock.

mod client;
#[cfg(feature = "sink")]
mod sink;
mod socket;
mod task;

pub use client::connect;
