//! Why one event cannot be sent: the reason that a dead letter gives.

use alloc::string::String;
use core::fmt;

use crate::proto::{HeaderError, SubjectError};

/// Why one event cannot be sent. The events around it are not concerned.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EventError {
    /// The line is longer than a line may be, bytes.
    TooLong {
        /// Its length.
        len: u64,
        /// The most that a line may have.
        max: usize,
    },
    /// The line is not UTF-8 from this byte on.
    NotUtf8 {
        /// The offset of the first byte that is wrong.
        at: usize,
    },
    /// The line is not JSON.
    NotJson {
        /// What is wrong, and in which column.
        reason: String,
    },
    /// The line is JSON, but no object.
    NotAnObject,
    /// A member that natsink reads stands twice in its object, and readers differ in which one they take.
    Repeated {
        /// The path of the member.
        member: String,
    },
    /// The object is no change event.
    NotAnEvent {
        /// What it lacks.
        reason: &'static str,
    },
    /// No subject can be made.
    Subject(RouteError),
    /// No key can be made.
    Key(ValueError),
    /// No id can be made.
    Id(ValueError),
    /// `routing` is not what it must be.
    Routing {
        /// The member.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Nothing tells it from every other event: it has no whole source position, no position in an input and no `event_id`.
    NoIdentity,
    /// A member is not what it must be.
    Member {
        /// The path of the member.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// It cannot be put into its envelope.
    Envelope(ValueError),
    /// A header of the event cannot be sent.
    Header(HeaderError),
    /// The event asks for a header that steers the server.
    ControlHeader {
        /// The name of the header.
        name: String,
    },
}

/// Why an event has no subject.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RouteError {
    /// A value cannot stand in a subject.
    Value(ValueError),
    /// The whole is no subject.
    Subject(SubjectError),
    /// The subject belongs to the server or to an inbox: `$JS.`, `$SYS.`, `_INBOX.` and the prefixes in their place.
    Reserved {
        /// The subject.
        subject: String,
    },
}

/// Why a value cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ValueError {
    /// There is none, or it is null.
    Missing {
        /// The path of the value.
        path: String,
    },
    /// It is empty.
    Empty {
        /// The path of the value.
        path: String,
    },
    /// It is an object or an array.
    NotScalar {
        /// The path of the value.
        path: String,
    },
    /// It has a character that cannot stand there: it would end the token, the header or the line, or be a wildcard.
    Forbidden {
        /// The path of the value.
        path: String,
        /// The first such character.
        found: char,
    },
    /// It has an escape that stands for half a character.
    LoneSurrogate {
        /// The path of the value.
        path: String,
    },
    /// It is no moment: a number of milliseconds from 1970 on, within the years 0 to 9999.
    NotATime {
        /// The path of the value.
        path: String,
    },
}

impl From<RouteError> for EventError {
    fn from(error: RouteError) -> Self {
        Self::Subject(error)
    }
}

impl From<ValueError> for RouteError {
    fn from(error: ValueError) -> Self {
        Self::Value(error)
    }
}

impl From<HeaderError> for EventError {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "the line has {len} bytes, and max_line_bytes is {max}"),
            Self::NotUtf8 { at } => write!(f, "not UTF-8 from byte {at} of the line on"),
            Self::NotJson { reason } => write!(f, "not JSON: {reason}"),
            Self::NotAnObject => f.write_str("JSON, but not an object"),
            Self::Repeated { member } => write!(f, "{member:?} stands twice in its object"),
            Self::NotAnEvent { reason } => {
                write!(f, "not a change event: {reason}; for other JSON objects use the format json")
            }
            Self::Subject(error) => write!(f, "no subject: {error}"),
            Self::Key(error) => write!(f, "no key: {error}"),
            Self::Id(error) => write!(f, "no id: {error}"),
            Self::NoIdentity => f.write_str(
                "no id: the event has no whole source position, and neither a position in an input nor an event_id",
            ),
            Self::Envelope(error) => write!(f, "no envelope: {error}"),
            Self::Routing { member, expected } | Self::Member { member, expected } => {
                write!(f, "{member} must be {expected}")
            }
            Self::Header(error) => write!(f, "no headers: {error}"),
            Self::ControlHeader { name } => {
                write!(f, "the event may not set the header {name:?}: names that begin with Nats- steer the server")
            }
        }
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(error) => error.fmt(f),
            Self::Subject(error) => error.fmt(f),
            Self::Reserved { subject } => write!(f, "{subject:?} belongs to the server or to an inbox"),
        }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(f, "{path} is missing or null"),
            Self::Empty { path } => write!(f, "{path} is empty"),
            Self::NotScalar { path } => write!(f, "{path} is an object or an array"),
            Self::Forbidden { path, found } => write!(f, "{path} has {found:?}, which cannot stand there"),
            Self::NotATime { path } => {
                write!(f, "{path} is no whole number of milliseconds within the years 0 to 9999")
            }
            Self::LoneSurrogate { path } => write!(f, "{path} has an escape that stands for half a character"),
        }
    }
}

impl core::error::Error for EventError {}
impl core::error::Error for RouteError {}
impl core::error::Error for ValueError {}
