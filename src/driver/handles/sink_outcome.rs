//! What becomes of events that an embedded sink was given.

use core::fmt;
use std::vec::Vec;

use crate::connection::PublishError;
use crate::jetstream::{Outcome, PublisherError, Rejection, SubmitError};
use crate::sink::Reason;

/// What became of an event that is where it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivered {
    /// The stream holds it at this sequence.
    Stored {
        /// Its sequence in the stream.
        seq: u64,
    },
    /// The stream held it already, at this sequence.
    Duplicate {
        /// Its sequence in the stream.
        seq: u64,
        /// Whether the stored message is known to be this one; not where it is gone by now.
        verified: bool,
    },
    /// Core NATS: the server has read it. Who receives it, if anybody, nobody tells.
    Taken,
}

/// Why an event is not, or not known to be, where it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SinkError {
    /// It can never be stored as it is, and others can: a dead letter.
    Dead(Reason),
    /// What is sent arrives elsewhere: no event's fault, and a reason to stop.
    Stop(Rejection),
    /// Nobody knows whether it is stored: the sink ended, or a link to core NATS was lost, before an answer came. Sent
    /// again it has the same id.
    Unknown,
    /// The sink is over. It was not sent.
    Closed(PublisherError),
}

/// What became of each event of a batch, by its index.
#[derive(Clone, Debug, Default)]
pub struct BatchResult {
    outcomes: Vec<Result<Delivered, SinkError>>,
}

impl BatchResult {
    pub(super) fn new(outcomes: Vec<Result<Delivered, SinkError>>) -> Self {
        Self { outcomes }
    }

    /// What became of each event, in the order of the batch.
    pub fn outcomes(&self) -> &[Result<Delivered, SinkError>] {
        &self.outcomes
    }

    /// Whether every event is where it should be.
    pub fn is_delivered(&self) -> bool {
        self.outcomes.iter().all(Result::is_ok)
    }

    /// The events that can never be stored as they are: their indexes, and why.
    pub fn dead_letters(&self) -> impl Iterator<Item = (usize, &Reason)> {
        self.outcomes.iter().enumerate().filter_map(|(index, outcome)| match outcome {
            Err(SinkError::Dead(reason)) => Some((index, reason)),
            _ => None,
        })
    }

    /// The indexes of the events that are neither delivered nor dead, in order: those to send again.
    pub fn pending(&self) -> impl Iterator<Item = usize> {
        let is_pending = |outcome: &Result<_, _>| !matches!(outcome, Ok(_) | Err(SinkError::Dead(_)));
        self.outcomes.iter().enumerate().filter_map(move |(index, outcome)| is_pending(outcome).then_some(index))
    }

    /// How many events from the first on are delivered or dead: as far as a checkpoint may go, once the dead ones are kept
    /// somewhere.
    pub fn settled_len(&self) -> usize {
        self.pending().next().unwrap_or(self.outcomes.len())
    }
}

impl From<SubmitError> for SinkError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Rejected(rejection) => Self::rejected(rejection),
            SubmitError::Closed(error) => Self::Closed(error),
            // Who waits for room is never told of none.
            SubmitError::Full => Self::Unknown,
        }
    }
}

impl From<PublishError> for SinkError {
    fn from(error: PublishError) -> Self {
        let too_large = |size, max| Self::rejected(Rejection::TooLarge { size, max });
        match error {
            PublishError::TooLarge { size, max } => too_large(size, max),
            PublishError::ControlLine { len } => too_large(len, crate::proto::encode::CONTROL_LINE_MAX),
            PublishError::Closed(reason) => Self::Closed(PublisherError::Connection(reason)),
            PublishError::Draining => Self::Closed(PublisherError::Closed),
            // Who waits for a link is never told of none.
            PublishError::NoLink | PublishError::NoRoom => Self::Unknown,
        }
    }
}

impl SinkError {
    fn rejected(rejection: Rejection) -> Self {
        match rejection {
            Rejection::WrongStream { .. } => Self::Stop(rejection),
            rejection => Self::Dead(Reason::Rejected(rejection)),
        }
    }

    pub(super) fn of(outcome: Outcome) -> Result<Delivered, Self> {
        match outcome {
            Outcome::Stored { seq } => Ok(Delivered::Stored { seq }),
            Outcome::Duplicate { seq, verified } => Ok(Delivered::Duplicate { seq, verified }),
            Outcome::Rejected(rejection) => Err(Self::rejected(rejection)),
            Outcome::Unknown => Err(Self::Unknown),
        }
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead(reason) => write!(f, "the event can never be stored as it is: {reason}"),
            Self::Stop(rejection) => write!(f, "what is sent arrives elsewhere: {rejection}"),
            Self::Unknown => f.write_str("not known to be stored: send the event again, it keeps its id"),
            Self::Closed(error) => write!(f, "not sent, the sink is over: {error}"),
        }
    }
}

impl core::error::Error for SinkError {}
