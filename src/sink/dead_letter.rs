//! An event that will never be stored, with all that is known of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::error::EventError;
use super::mapper::Mapped;
use crate::jetstream::Rejection;

/// An event that will never be stored as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event's tag.
    pub tag: u64,
    /// The offset of its first byte in the input.
    pub position: u64,
    /// The number of its line, counted from 1.
    pub number: u64,
    /// Its subject, where one could be made.
    pub subject: Option<String>,
    /// Its id, where one could be made.
    pub id: Option<String>,
    /// Why.
    pub reason: Reason,
    /// How often it was handed to the publisher.
    pub attempts: u32,
    /// Its bytes as they were read, without line feed; of a line that is too long the first 64 KiB.
    pub payload: Bytes,
    /// What the payload lacks of a line that is too long.
    pub whole: Option<Whole>,
    /// The rest of the message that was to be sent, where one could be made.
    pub unsent: Option<Unsent>,
}

/// What a message has besides the subject, the id and the bytes of its event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unsent {
    /// Its headers, names and values, in order; the id is not among them.
    pub headers: Vec<(String, String)>,
    /// Its payload, where that is not the event's bytes as they were read.
    pub payload: Option<Bytes>,
}

/// What is known of a line that was too long to keep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Whole {
    /// Its bytes, without line feed.
    pub len: u64,
    /// The SHA-256 of all of them.
    pub sha256: [u8; 32],
}

impl Unsent {
    /// What the message of this line has besides it.
    pub(super) fn of(message: &Mapped<'_>, line: &[u8]) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let payload = message.payload();
        Self {
            headers: headers.map(|(name, value)| (name.into(), value.into())).collect(),
            payload: (payload != line).then(|| Bytes::copy_from_slice(payload)),
        }
    }
}

/// Why an event will never be stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// It cannot be sent.
    Event(EventError),
    /// It was refused.
    Rejected(Rejection),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(error) => error.fmt(f),
            Self::Rejected(rejection) => rejection.fmt(f),
        }
    }
}

impl core::error::Error for Reason {}

impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} (position {}", self.number, self.position)?;
        if let Some(subject) = &self.subject {
            write!(f, ", subject {subject}")?;
        }
        if let Some(id) = &self.id {
            write!(f, ", id {id}")?;
        }
        write!(f, "): {}", self.reason)
    }
}
