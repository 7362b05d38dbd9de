//! Worlds that many tests begin with.

use alloc::format;
use alloc::vec::Vec;

use bytes::Bytes;

use super::server::Server;
use super::stream::Stream;
use super::world::{Draft, World};
use crate::jetstream::PublisherOptions;
use crate::session::PublisherId;

/// The stream of these worlds.
pub const STREAM: &str = "ORD";

/// A world with one stream, one publisher to it with default options, and nothing else.
pub fn plain(seed: u64) -> (World, PublisherId) {
    with_options(PublisherOptions::stream(STREAM), seed)
}

/// As [`plain`], for a publisher with these options.
pub fn with_options(options: PublisherOptions, seed: u64) -> (World, PublisherId) {
    let mut world = World::new(Server::new(Stream::new(STREAM, "ord.>")), World::connection_options(), seed);
    let publisher = world.add_publisher(options);
    (world, publisher)
}

impl World {
    /// Leaves `count` small numbered messages with a publisher.
    pub fn enqueue_numbered(&mut self, publisher: PublisherId, count: usize) {
        for _ in 0..count {
            let number = self.sent.len() + self.waiting();
            self.enqueue(publisher, Draft::numbered(number, 8));
        }
    }

    /// The one stream.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.server.streams[0]
    }
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
