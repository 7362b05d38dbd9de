//! What moves bytes and tells the time: the one floor that touches sockets.

#[cfg(feature = "nkeys")]
pub mod credentials;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(feature = "tokio")]
pub use self::tokio::{Ack, Client, Publisher, connect};
