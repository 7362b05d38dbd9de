//! What can go wrong between a session and its server.

use core::time::Duration;

/// Where a link is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cut {
    /// In which direction the bytes are counted.
    pub direction: Direction,
    /// How many arrive.
    pub after: u64,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// What can happen, all of a sudden.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The connection breaks; bytes on their way are lost.
    Cut,
    /// Bytes in this direction vanish, and neither side is told.
    Blackhole(Direction),
    /// The server does nothing for a while; its socket takes bytes while it has room.
    Stop(Duration),
    /// The server dies, and is back after a while with all that it had stored.
    Restart(Duration),
    /// JetStream is gone or back, as at an election: everything is 503 meanwhile. Nothing happens before a publisher
    /// has seen its stream, for it would take JetStream for missing.
    JetStream(bool),
}
