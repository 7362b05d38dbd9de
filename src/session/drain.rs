//! How far the orderly end of a session has come, and how it can fail.

use core::fmt;

use crate::connection::{CloseReason, LinkError};
use crate::time::Instant;

/// Why a drained session is not known to have lost nothing. It is closed all the same.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DrainError {
    /// The patience was over first.
    Unfinished {
        /// Subscriptions and requests that had not ended, and messages that their readers had not read.
        unread: usize,
        /// Messages of publishers that were not settled: they are `Unknown`.
        in_flight: usize,
    },
    /// A link was lost meanwhile, and with it may be messages to or from core NATS.
    LinkLost(LinkError),
    /// The connection was over first.
    Closed(CloseReason),
}

/// How far it has come.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) until: Instant,
    pub(super) stage: Stage,
    /// The first link that was lost, and perhaps messages with it.
    pub(super) lost: Option<LinkError>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Subscriptions give what they still have, and their readers may publish answers.
    Reading,
    /// Nothing new is taken; what was published is settled, and the server reads it.
    Settling,
    Over(Result<(), DrainError>),
}

impl fmt::Display for DrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished { unread, in_flight } => write!(
                f,
                "the patience was over with {unread} messages and subscriptions unread and {in_flight} publishes unsettled"
            ),
            Self::LinkLost(cause) => {
                write!(f, "the connection was lost while draining, and perhaps messages with it: {cause}")
            }
            Self::Closed(reason) => write!(f, "the connection was over before it was drained: {reason}"),
        }
    }
}

impl core::error::Error for DrainError {}
