//! What moves bytes and tells the time: the one floor that touches sockets.

#[cfg(feature = "tokio")]
mod broken;
#[cfg(feature = "nkeys")]
pub mod credentials;
#[cfg(feature = "tokio")]
mod handles;
#[cfg(any(feature = "tls", feature = "nkeys"))]
mod small_file;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(feature = "tokio")]
pub use self::handles::{Ack, Client, Publisher, Subscription};
#[cfg(feature = "tokio")]
pub use self::tokio::connect;
