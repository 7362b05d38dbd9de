//! The one match from a publisher's outcome to what it means for an event.

use crate::jetstream::{Outcome, Rejection};

/// What an outcome means for an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// The stream holds it.
    Settled,
    /// It can never be stored as it is, and the others can: it goes where dead letters go.
    Dead,
    /// Nothing that is sent arrives where it should: no event's fault, and nothing to go on with.
    Stop,
    /// Nobody knows. It stays pending, and the next run sends it again.
    Pending,
}

impl Verdict {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Stored { .. } | Outcome::Duplicate { .. } => Self::Settled,
            Outcome::Rejected(Rejection::WrongStream { .. }) => Self::Stop,
            Outcome::Rejected(_) => Self::Dead,
            Outcome::Unknown => Self::Pending,
        }
    }
}
