//! Why a link ended, and why a connection is over: each sorted by whose fault it is.

use alloc::string::String;
use core::fmt;

use super::{AuthError, TlsError};
use crate::proto::{InfoError, ParseError, ServerError};

/// Why one link ended. The connection goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LinkError {
    /// The transport failed: name lookup, dialling, reading or writing; in the system's words.
    Transport(String),
    /// The server closed the socket. `hint` says what that usually means at this point.
    Closed {
        /// What such an end usually means, where it means something.
        hint: Option<&'static str>,
    },
    /// The server broke the protocol.
    Protocol(ParseError),
    /// The server's first INFO cannot be read.
    Info(InfoError),
    /// The server sent an op out of place.
    OutOfPlace(&'static str),
    /// The server said why it closes.
    Refused(ServerError),
    /// TLS is demanded, and the server does not offer it.
    TlsUnavailable,
    /// There is no TLS on this link.
    Tls(TlsError),
    /// There are no credentials for this link.
    Credentials(AuthError),
    /// The server lacks something a client of today needs.
    Unsupported(&'static str),
    /// The dial took longer than `connect_timeout`.
    ConnectTimeout,
    /// The server gave no sign of life.
    Silent,
    /// The socket took nothing for as long as `write_timeout`.
    WriteStalled,
    /// The server is about to shut down, and another was to be had.
    LameDuck,
    /// Another link was asked for.
    Requested,
    /// A publisher saw no progress for so long that it asked for another link.
    NoProgress,
}

/// Why a connection is over. Nothing reopens it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// Its owner closed it.
    Requested,
    /// The servers refuse the credentials.
    AuthRefused(LinkError),
    /// There is no TLS with these servers, or they lack what is needed.
    Incompatible(LinkError),
    /// No server could be reached at the start.
    Unreachable(LinkError),
}

impl LinkError {
    /// Whether the server refused the credentials, in words, or there are none. That they did not come in time says
    /// nothing of them.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_auth() && *error != ServerError::AuthenticationTimeout,
            Self::Credentials(_) => true,
            _ => false,
        }
    }

    /// Whether dialling again cannot help unless somebody changes something.
    pub(crate) fn is_incompatible(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::TlsUnavailable | Self::Unsupported(_))
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(words) => f.write_str(words),
            Self::Closed { hint: None } => f.write_str("the server closed the connection"),
            Self::Closed { hint: Some(hint) } => write!(f, "the server closed the connection without a word: {hint}"),
            Self::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Self::Info(error) => write!(f, "the server's INFO cannot be read: {error}"),
            Self::OutOfPlace(op) => {
                write!(f, "the server broke the protocol: {op} out of place; is this a NATS server?")
            }
            Self::Refused(error) => write!(f, "the server says: {error}"),
            Self::TlsUnavailable => f.write_str("TLS is demanded, and the server does not offer it"),
            Self::Tls(error) => write!(f, "{error}"),
            Self::Credentials(error) => write!(f, "no credentials: {error}"),
            Self::Unsupported(what) => write!(f, "the server does not support {what}"),
            Self::ConnectTimeout => f.write_str("no connection within the connect timeout"),
            Self::Silent => f.write_str("the server gives no sign of life"),
            Self::WriteStalled => f.write_str("the server takes nothing that is written to it"),
            Self::LameDuck => f.write_str("the server is about to shut down"),
            Self::Requested => f.write_str("another connection was asked for"),
            Self::NoProgress => f.write_str("no publish was acknowledged within the batch timeout"),
        }
    }
}

impl core::error::Error for LinkError {}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("closed"),
            Self::AuthRefused(error) => write!(f, "credentials refused: {error}"),
            Self::Incompatible(error) => write!(f, "cannot talk to this server: {error}"),
            Self::Unreachable(error) => write!(f, "no server could be reached: {error}"),
        }
    }
}

impl core::error::Error for CloseReason {}
