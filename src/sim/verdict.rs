//! What the model server is told to do with a publish.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use super::stream::Refusal;
use crate::time::Instant;

/// What becomes of one publish into a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Stored, or found to be there, and answered.
    Store,
    /// Nobody is there to take it: 503 at once.
    Refuse503,
    /// Swallowed without a word.
    Drop,
    /// Stored at once, answered late.
    StoreLateAck(Late),
    /// Not stored, and 503 comes late.
    Late503(Late),
    /// Answered with an error.
    Refuse(Refusal),
    /// Stored and never answered.
    StoreButLoseAck,
    /// Stored, and answered with these bytes.
    Garble(&'static [u8]),
    /// Not stored; the answer names another stream.
    WrongStream,
}

impl Verdict {
    /// Whether a message is not stored that would have been, so that one behind it can come before it.
    pub(super) fn can_invert(self) -> bool {
        !matches!(self, Self::Store | Self::StoreLateAck(_) | Self::StoreButLoseAck | Self::Garble(_))
    }
}

/// When a late answer comes: after so many more publishes, and in any case once so much time has passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Late {
    /// Publishes into streams.
    pub arrivals: u32,
    /// The longest it takes.
    pub after: Duration,
}

/// A publish that has come.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Its `Nats-Msg-Id`.
    pub id: &'a str,
    /// Its subject.
    pub subject: &'a str,
    /// How often it has come, this time included.
    pub attempt: u32,
    /// How many publishes into streams have come before it.
    pub number: u64,
    /// When.
    pub now: Instant,
}

/// Decides on each publish in turn.
pub struct Script(Box<dyn FnMut(&Arrival<'_>) -> Verdict + Send>);

impl Script {
    /// Decides with this function.
    pub fn new(decide: impl FnMut(&Arrival<'_>) -> Verdict + Send + 'static) -> Self {
        Self(Box::new(decide))
    }

    pub(super) fn decide(&mut self, arrival: &Arrival<'_>) -> Verdict {
        (self.0)(arrival)
    }
}

impl Default for Script {
    /// Everything is stored.
    fn default() -> Self {
        Self::new(|_| Verdict::Store)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script(..)")
    }
}

impl Late {
    /// After so many more publishes, or 20 seconds.
    pub fn arrivals(arrivals: u32) -> Self {
        Self { arrivals, after: Duration::from_secs(20) }
    }

    /// After this time, however many come.
    pub fn after(after: Duration) -> Self {
        Self { arrivals: u32::MAX, after }
    }
}
