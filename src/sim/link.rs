//! One simulated connection: two wires, and which of its ends are still there.

use super::server::ConnectionId;
use super::wire::Wire;
use crate::connection::Epoch;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) epoch: Epoch,
    pub(super) connection: Option<ConnectionId>,
    pub(super) opens_at: Instant,
    pub(super) up: Wire,
    pub(super) down: Wire,
    /// Whether the client's end is there.
    pub(super) client: bool,
    /// Whether the server's end is there.
    pub(super) server: bool,
}
