//! What all sockets do alike: the order in which the addresses of a name are dialled, and how much one write is given.

use std::net::SocketAddr;
use std::vec::Vec;

/// Slices handed to one write.
pub(super) const SLICES: usize = 32;
/// Addresses of one name that are dialled at most.
const ADDRESSES_MAX: usize = 64;

/// The addresses of a name as they are dialled: the one numbered `turn` modulo their count first.
pub(super) fn in_turn(found: impl Iterator<Item = SocketAddr>, turn: u32) -> Vec<SocketAddr> {
    let mut addresses: Vec<_> = found.take(ADDRESSES_MAX).collect();
    let count = addresses.len().max(1);
    addresses.rotate_left(turn as usize % count);
    addresses
}
