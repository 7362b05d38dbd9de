//! One connection with its publishers and subscribers, composed: the one object that every driver drives.

mod commands;
mod machine;
mod notice;
mod seat;
mod subscriber;
#[cfg(feature = "tracing")]
mod telling;

pub use machine::{PublisherId, Session};
pub use notice::{LinkNotice, LinkState, RequestError, SessionError};
pub use seat::Ticket;
pub use subscriber::Received;
