//! One connection with its publishers and subscribers, composed: the one object that every driver drives.

mod commands;
mod core_nats;
mod drain;
mod draining;
mod flush;
mod flushing;
mod line;
mod machine;
mod notice;
mod seat;
mod subscriber;
#[cfg(feature = "tracing")]
mod telling;

pub use drain::DrainError;
pub use flush::{FlushError, FlushId};
pub use line::Ticket;
pub use machine::{PublisherId, Session};
pub use notice::{LinkNotice, LinkState, RequestError, SessionError};
pub use subscriber::{Received, SubscriptionEnd, SubscriptionLimits};
