//! What a session tells of its link.

use alloc::string::String;
use core::fmt;

use crate::connection::{CloseReason, LinkError};
use crate::proto::{ServerError, SubjectError};

/// Where the link stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LinkState {
    /// A dial or a greeting is under way.
    Dialing,
    /// The link is up.
    Up,
    /// Between two dials.
    Resting,
    /// The connection is over.
    Closed(CloseReason),
}

/// What happened to the link.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LinkNotice {
    /// It is up.
    Up {
        /// The server's name for itself.
        server: String,
    },
    /// It was lost.
    Lost(LinkError),
    /// A dial came to nothing.
    DialFailed(LinkError),
    /// The server complained.
    ServerError(ServerError),
    /// The server is about to shut down.
    LameDuck,
    /// The connection is over.
    Closed(CloseReason),
}

/// Why a publisher or subscriber could not be added.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SessionError {
    /// The connection is over.
    Closed(CloseReason),
    /// The inbox prefix is no subject.
    InboxPrefix(SubjectError),
    /// The limit on subscriptions is reached.
    TooManySubscriptions,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(reason) => write!(f, "{reason}"),
            Self::InboxPrefix(error) => write!(f, "the inbox prefix is not a subject: {error}"),
            Self::TooManySubscriptions => f.write_str("the connection has as many subscriptions as its limit allows"),
        }
    }
}

impl core::error::Error for SessionError {}
