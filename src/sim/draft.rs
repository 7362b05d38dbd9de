//! Messages that a world publishes, and what became of each.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::jetstream::Outcome;
use crate::session::PublisherId;

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its subject.
    pub subject: String,
    /// Its id.
    pub id: String,
    /// Its payload.
    pub payload: Bytes,
    /// Whether it is handed over without a copy.
    pub shared: bool,
}

/// A message that was submitted, or refused at once.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Through whom.
    pub publisher: PublisherId,
    /// What.
    pub draft: Draft,
    /// All outcomes that came for it: there must be exactly one in the end.
    pub outcomes: Vec<Outcome>,
}

impl Draft {
    /// Message `number`, with a payload of at least `len` bytes that no other number has.
    pub fn numbered(number: usize, len: usize) -> Self {
        let mut payload = Vec::from(format!("m{number}"));
        payload.resize(payload.len().max(len), b'.');
        Self {
            subject: format!("ord.{}", number % 3),
            id: format!("id-{number}"),
            payload: Bytes::from(payload),
            shared: len >= 8 << 10,
        }
    }

    /// The number of a message that [`Draft::numbered`] made.
    pub fn number(id: &str) -> Option<usize> {
        id.strip_prefix("id-")?.parse().ok()
    }
}
