//! What a session tells of its link.

use alloc::string::String;
use core::fmt;

use crate::connection::{CloseReason, LinkError, PublishError, ServerAddr};
use crate::proto::encode::CONTROL_LINE_MAX;
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
        /// Where it leads.
        addr: ServerAddr,
        /// The server's name, where it was given one.
        server: Option<String>,
    },
    /// It was lost.
    Lost(LinkError),
    /// So many messages published to core NATS had not left for the link that is lost, and are lost with it. Of those that
    /// had left some may be lost too.
    Unsent(u64),
    /// A dial came to nothing.
    DialFailed(LinkError),
    /// The server complained.
    ServerError(ServerError),
    /// The server is about to shut down.
    LameDuck,
    /// The reader of a subscription is too slow: messages are dropped. Told once until it has nothing more to read.
    SlowConsumer {
        /// What the subscription listens to.
        subject: String,
        /// Messages it has missed so far, since it was made.
        dropped: u64,
    },
    /// So many notices before the next one were dropped, since they were not read.
    Missed(u64),
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
    /// The stream's name is none: empty, or with a dot, a wildcard, white space or a control character.
    StreamName,
    /// The prefix of JetStream's API is no subject.
    ApiPrefix(SubjectError),
    /// The limit on subscriptions is reached.
    TooManySubscriptions,
    /// The link takes nothing, and much waits for it already.
    NoRoom,
    /// Subject and queue group are so long that the server would close the link, and every later one.
    ControlLine {
        /// How long the line would be, bytes.
        len: usize,
    },
    /// The connection drains.
    Draining,
}

/// Why a request has no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RequestError {
    /// There was no link to ask over, or none with room, for all the patience.
    NoLink,
    /// It was not published.
    Publish(PublishError),
    /// The server refuses the question, or the subscription to its answer.
    Denied(ServerError),
    /// Nobody listens to the subject.
    NoResponders,
    /// No answer came in time.
    NoAnswer,
    /// It could not be asked.
    Session(SessionError),
}

impl From<PublishError> for RequestError {
    fn from(error: PublishError) -> Self {
        Self::Publish(error)
    }
}

impl From<SessionError> for RequestError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLink => f.write_str("there is no connection to ask over"),
            Self::Publish(error) => write!(f, "{error}"),
            Self::Denied(error) => write!(f, "the server says: {error}"),
            Self::NoResponders => f.write_str("nobody listens to what was asked"),
            Self::NoAnswer => f.write_str("no answer came in time"),
            Self::Session(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for RequestError {}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(reason) => write!(f, "{reason}"),
            Self::InboxPrefix(error) => write!(f, "the inbox prefix is not a subject: {error}"),
            Self::StreamName => f.write_str("the name of a stream is one token: no dots, wildcards or white space"),
            Self::ApiPrefix(error) => write!(f, "the prefix of JetStream's API is not a subject: {error}"),
            Self::NoRoom => f.write_str("the server takes nothing at this moment: subscribe again later"),
            Self::ControlLine { len } => write!(
                f,
                "subject and queue group make a control line of {len} bytes, and the server takes {CONTROL_LINE_MAX}"
            ),
            Self::Draining => f.write_str("the connection is being drained and takes nothing new"),
            Self::TooManySubscriptions => f.write_str("the connection has as many subscriptions as its limit allows"),
        }
    }
}

impl core::error::Error for SessionError {}
