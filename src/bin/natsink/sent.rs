//! What became of handing a message over to an outlet.

use natsink::jetstream::Rejection;

/// What became of handing a message over.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Sent {
    Taken,
    /// There is no room now.
    Full,
    Rejected(Rejection),
    /// The outlet is over; why is told otherwise.
    Over,
}
