//! What moves bytes and tells the time: the one floor that touches sockets.

#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(any(feature = "tokio", feature = "blocking"))]
mod broken;
#[cfg(feature = "nkeys")]
pub mod credentials;
#[cfg(any(feature = "tokio", feature = "blocking"))]
#[cfg_attr(not(feature = "tokio"), allow(unreachable_pub, reason = "the async driver shows them"))]
mod handles;
#[cfg(any(feature = "tls", feature = "nkeys"))]
mod small_file;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(any(feature = "tokio", feature = "blocking"))]
mod transport;

#[cfg(feature = "tokio")]
pub use self::handles::{Ack, Client, Publisher, Subscription};
#[cfg(feature = "tokio")]
pub use self::tokio::connect;
