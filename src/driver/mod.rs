//! What moves bytes and tells the time: the one floor that touches sockets.

#[cfg(feature = "nkeys")]
pub mod credentials;
#[cfg(feature = "tokio")]
mod handles;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(feature = "tokio")]
pub use self::handles::{Ack, Client, Publisher};
#[cfg(feature = "tokio")]
pub use self::tokio::connect;
