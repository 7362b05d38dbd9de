//! Where a case is played: what a scripted server needs of the world, and how its bytes are cut on their way.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use natsink::connection::{ServerAddr, Statistics};
use natsink::jetstream::{
    Message, Notice, Outcome, PublisherError, PublisherOptions, PublisherStatistics, SubmitError,
};
use natsink::session::{LinkNotice, LinkState, Received};
use rustls::ServerConfig;

/// A kind of world.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// The machines by hand, on virtual time, without any socket.
    Memory(Chunking),
    /// The client over a real socket, in clear.
    Socket(Chunking),
    /// The client over a real socket, and every byte under TLS.
    Tls,
}

/// How what the server says is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Chunking {
    /// Each saying as it is.
    Whole,
    /// Into pieces of this many bytes.
    Every(usize),
    /// Once, behind this many bytes of all that is said.
    SplitAt(usize),
}

/// What came of listening.
pub(crate) enum Heard {
    Bytes(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// The client closed this link.
    Gone,
}

/// The client and the way to it.
pub(crate) trait Stage {
    fn place(&self) -> Place;

    // The server's side.

    /// Takes the next dial. `false` while there is none.
    fn accept(&mut self) -> bool;
    /// Whom the client dialled last.
    fn dialled(&self) -> ServerAddr;
    /// Brings bytes to the client, as far as it takes them.
    fn say(&mut self, bytes: &[u8]);
    /// Whether somebody is there to hear what is said, as far as that can be told.
    fn is_heard(&self) -> bool;
    fn hear(&mut self) -> Heard;
    /// All that was said so far, bytes.
    fn said(&self) -> usize;
    /// Hangs up.
    fn close(&mut self);
    /// Shakes hands, and tells under which name it was asked for, where that can be seen.
    fn secure(&mut self) -> Option<String>;
    /// Whether the handshake began from nothing: no session was resumed, and nothing was sent before its end.
    fn is_fresh(&self) -> bool;
    /// Lets another server shake hands from now on.
    fn become_another(&mut self, server: Arc<ServerConfig>);
    /// Lets some time go by. `false` when nothing would ever change.
    fn turn(&mut self) -> bool;
    /// Lets this much time go by.
    fn pass(&mut self, time: Duration);
    /// Time since the beginning.
    fn now(&self) -> Duration;

    // The client's side.

    fn notices(&mut self) -> Vec<LinkNotice>;
    fn link_state(&self) -> LinkState;
    fn statistics(&self) -> Statistics;
    fn add_publisher(&mut self, options: PublisherOptions);
    fn submit(&mut self, tag: u64, message: &Message<'_>) -> Result<(), SubmitError>;
    fn outcomes(&mut self) -> Vec<(u64, Outcome)>;
    fn failure(&self) -> Option<PublisherError>;
    fn publisher_statistics(&self) -> PublisherStatistics;
    fn publisher_notices(&mut self) -> Vec<Notice>;
    /// Bytes that wait for the socket.
    fn outbox_len(&mut self) -> usize;
    /// Asks a question with an inbox of its own for the answer.
    fn ask(&mut self, subject: &str);
    /// The answer, once it is there.
    fn answer(&mut self) -> Option<Received>;
    fn reconnect(&mut self);
    /// Asks whether the server has read all.
    fn flush(&mut self);
    /// Whether it said so.
    fn is_flushed(&mut self) -> bool;
    /// Shows the client as `Debug` does.
    fn show(&self, to: &mut dyn FnMut(&dyn Debug));
}

/// Cuts what is said.
#[derive(Debug)]
pub(crate) struct Cutter {
    chunking: Chunking,
    said: usize,
}

impl Cutter {
    pub(crate) fn new(chunking: Chunking) -> Self {
        Self { chunking, said: 0 }
    }

    /// All that was said so far, bytes.
    pub(crate) fn said(&self) -> usize {
        self.said
    }

    pub(crate) fn pieces<'a>(&mut self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let at = self.said;
        self.said += bytes.len();
        match self.chunking {
            Chunking::Whole => vec![bytes],
            Chunking::Every(len) => bytes.chunks(len).collect(),
            Chunking::SplitAt(split) if split > at && split < self.said => {
                let (head, tail) = bytes.split_at(split - at);
                vec![head, tail]
            }
            Chunking::SplitAt(_) => vec![bytes],
        }
    }
}
