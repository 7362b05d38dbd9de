//! Why a message was not taken, and why a publisher is over.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use super::{Rejection, StreamProblem};
use crate::connection::CloseReason;

/// Why a message was not taken. Nothing of it was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SubmitError {
    /// The window is full.
    Full,
    /// The message will never be stored as it is.
    Rejected(Rejection),
    /// The publisher is over.
    Closed(PublisherError),
}

/// Why a publisher is over. What it had not settled is `Unknown`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PublisherError {
    /// Its owner closed it.
    Closed,
    /// The connection is over.
    Connection(CloseReason),
    /// The stream cannot take its messages.
    Stream(StreamProblem),
    /// The first unsettled message stayed so for longer than `max_elapsed`.
    Exhausted {
        /// How long that was.
        elapsed: Duration,
        /// What stood in the way last.
        last: Option<Anomaly>,
    },
    /// The server refused a message for a reason that holds for all.
    Refused {
        /// JetStream's error code.
        err_code: u16,
        /// The server's words.
        description: String,
    },
    /// The user may not read back which ids the stream holds, which must be known before a message is sent again, or first.
    RecallDenied {
        /// The subject that the user needs permission to publish to.
        subject: String,
        /// The server's words.
        words: String,
    },
    /// The server will not let ids be read back.
    RecallRefused {
        /// JetStream's error code.
        err_code: u16,
        /// The server's words.
        description: String,
    },
    /// The user may not receive acks.
    InboxDenied {
        /// The server's words.
        words: String,
    },
}

/// Why a pass ended, or the reading back of ids paused. Nothing is lost by it: what is unsettled is sent again.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Anomaly {
    /// Nobody answered for the subject: no leader, no stream, or JetStream is off.
    NoResponders,
    /// The server refused a message for a passing reason.
    Refused {
        /// The HTTP-like status.
        code: u16,
        /// JetStream's error code.
        err_code: u16,
        /// The server's words.
        description: String,
    },
    /// No answer within `send_timeout`.
    Silence,
    /// Later messages were answered, the first unsettled was not.
    Overtaken,
    /// A question about what the stream holds was not answered, or not wholly.
    Untold,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResponders => f.write_str("no responders: the stream has no leader, is gone, or JetStream is off"),
            Self::Refused { code, err_code, description } => write!(f, "{description} ({code}, {err_code})"),
            Self::Silence => f.write_str("no acknowledgement within the send timeout"),
            Self::Overtaken => f.write_str("later messages were acknowledged, the first was not"),
            Self::Untold => f.write_str("a question about what the stream holds was not answered, or not wholly"),
        }
    }
}

impl fmt::Display for PublisherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the publisher is closed"),
            Self::Connection(reason) => write!(f, "{reason}"),
            Self::Stream(problem) => write!(f, "{problem}"),
            Self::Exhausted { elapsed, last } => {
                write!(f, "no progress for {} s", elapsed.as_secs())?;
                last.as_ref().map_or(Ok(()), |last| write!(f, ": {last}"))
            }
            Self::Refused { err_code, description } => write!(f, "the server refuses: {description} ({err_code})"),
            Self::RecallDenied { words, .. } => {
                write!(f, "what the stream holds of an earlier run cannot be read back: {words}")
            }
            Self::RecallRefused { err_code, description } => {
                write!(f, "what the stream holds of an earlier run cannot be read back: {description} ({err_code})")
            }
            Self::InboxDenied { words } => write!(f, "acknowledgements cannot be received: {words}"),
        }
    }
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the window is full"),
            Self::Rejected(rejection) => write!(f, "{rejection}"),
            Self::Closed(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Anomaly {}
impl core::error::Error for PublisherError {}
impl core::error::Error for SubmitError {}
