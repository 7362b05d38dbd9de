//! What moves bytes and tells the time: the one floor that touches sockets.

mod tokio;

pub use self::tokio::{Ack, Client, Publisher, connect};
