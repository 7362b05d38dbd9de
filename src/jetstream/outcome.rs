//! What becomes of a publish: exactly one outcome for each message, never silence.

use alloc::string::String;
use core::fmt;

use crate::proto::ServerError;

/// The one final answer to a publish.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The stream holds the message at this sequence.
    Stored {
        /// The message's sequence in the stream.
        seq: u64,
    },
    /// The stream already held a message with this id.
    Duplicate {
        /// The sequence of the stored message.
        seq: u64,
        /// Whether the stored message is known to be this one: sent before by this publisher, or read back and found equal.
        /// `false` when it could not be read back (purged, expired, or no permission to read).
        verified: bool,
    },
    /// The message will never be stored as it is.
    Rejected(Rejection),
    /// Sent perhaps, stored perhaps: the publisher closed, or its budget of time ran out, before an answer came.
    Unknown,
}

/// Why a message was rejected.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rejection {
    /// Headers and payload together are larger than the server or the stream takes, bytes.
    TooLarge {
        /// Headers and payload, bytes.
        size: usize,
        /// What the server's `max_payload` or the stream's `max_msg_size` allows, bytes.
        max: usize,
    },
    /// The stream does not capture the subject.
    NotCaptured {
        /// The subject of the message.
        subject: String,
        /// The stream.
        stream: String,
    },
    /// The user has no permission to publish to the subject.
    PermissionDenied {
        /// The subject of the message.
        subject: String,
    },
    /// Another message, with another subject or payload, already has this id.
    IdCollision {
        /// The sequence of that other message.
        seq: u64,
    },
    /// The ack names another stream than the one the publisher was told of.
    WrongStream {
        /// The stream in the ack.
        found: String,
    },
    /// The server closed the connection over this message, and again when it was sent alone.
    Violation(ServerError),
    /// The server refused the message.
    Refused {
        /// The HTTP-like status of the answer, such as 400.
        code: u16,
        /// JetStream's own error code, such as 10054.
        err_code: u16,
        /// The server's words, at most 256 bytes of them.
        description: String,
    },
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, max } => {
                write!(f, "message of {size} bytes is larger than the {max} bytes that server and stream allow")
            }
            Self::NotCaptured { subject, stream } => {
                write!(f, "stream {stream} does not capture subject {subject:?}")
            }
            Self::PermissionDenied { subject } => write!(f, "no permission to publish to {subject:?}"),
            Self::IdCollision { seq } => {
                write!(f, "id collision: the stream holds another message with this id, at sequence {seq}")
            }
            Self::WrongStream { found } => write!(f, "stored in stream {found:?}, which is not the stream named"),
            Self::Violation(error) => write!(f, "the server closes the connection over this message: {error}"),
            Self::Refused { code, err_code, description } => {
                write!(f, "refused by the server: {description} ({code}, {err_code})")
            }
        }
    }
}

impl core::error::Error for Rejection {}
