//! One logical connection over many sockets, as a machine without sockets, clock or entropy.

mod address;
mod auth;
mod core_nats;
mod creds;
mod error;
mod event;
mod inbox;
mod link;
mod machine;
mod options;
mod outbox;
mod reading;
mod secret;
mod servers;
mod subscriptions;
#[cfg(feature = "tracing")]
mod telling;
mod tls;

pub use address::{AddressError, HOST_LEN_MAX, PORT_DEFAULT, SERVERS_MAX, ServerAddr, ServerList, ServerUrl, UserInfo};
pub use auth::{Auth, AuthError, Authenticator, Challenge, Credentials};
pub use core_nats::PublishError;
pub use creds::{CREDS_LEN_MAX, Creds, CredsError};
pub use error::{CloseReason, LinkError};
pub use event::{Action, Delivery, Epoch, Event};
pub use machine::{Connection, Statistics};
pub(crate) use options::PATIENCE_DOUBLINGS_MAX;
pub use options::{Backoff, ConnectionOptions, Limits};
pub use outbox::{Outbox, Transmit};
pub use secret::Secret;
pub use subscriptions::Sid;
pub use tls::{TlsError, TlsOptions};
