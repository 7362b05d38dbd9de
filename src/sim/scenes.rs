//! Worlds that many tests begin with.

use super::draft::Draft;
use super::server::Server;
use super::stream::Stream;
use super::world::World;
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
