//! The handle on a session, for threads that wait.

use std::string::String;
use std::time::{Duration, Instant};
use std::vec;

use super::driver;
use super::park::{wait, wait_for};
use super::publisher::Publisher;
use crate::connection::{CloseReason, ConnectionOptions, Statistics};
use crate::driver::handles::{self, options};
use crate::jetstream::PublisherOptions;
use crate::session::{DrainError, LinkNotice, LinkState, SessionError};

/// A handle on one connection to a NATS server, which reconnects by itself. Clones share the connection; all of its
/// methods can be called from any thread.
///
/// When the last `Client`, `Publisher`, `Subscription` and `Ack` of a connection are dropped, it closes, and its threads end.
#[derive(Clone, Debug)]
pub struct Client(pub(super) handles::Client);

/// Connects with the defaults to the servers of a comma list of URLs.
///
/// # Errors
/// When the list cannot be read, when every server failed once, or when the servers refuse the credentials.
pub fn connect(urls: &str) -> Result<Client, CloseReason> {
    Client::connect(options(urls)?)
}

impl Client {
    /// Connects, and waits until the connection is up.
    ///
    /// # Errors
    /// When the connection is over before it was ever up. With `retry_at_start` an unreachable server is not an
    /// error, and this waits for as long as it takes.
    pub fn connect(options: ConnectionOptions) -> Result<Self, CloseReason> {
        let client = Self::start(options)?;
        wait_for(client.0.connected())?;
        Ok(client)
    }

    /// Starts to connect and returns at once. Publishers can be made and filled meanwhile.
    ///
    /// # Errors
    /// When the operating system gives no random bytes or no thread.
    pub fn start(options: ConnectionOptions) -> Result<Self, CloseReason> {
        let connect_timeout = options.connect_timeout;
        let client = handles::Client::new(options)?;
        driver::spawn(client.shared(), connect_timeout)?;
        Ok(Self(client))
    }

    /// Makes a publisher. It looks at its stream first; until then messages wait in its window.
    ///
    /// # Errors
    /// When the connection is over, or has as many subscriptions as its limit allows.
    pub fn publisher(&self, options: PublisherOptions) -> Result<Publisher, SessionError> {
        self.0.publisher(options).map(Publisher::new)
    }

    /// The moment that this connection's [`Instant`](crate::time::Instant)s count from.
    pub fn started(&self) -> Instant {
        self.0.started()
    }

    /// Where the link stands.
    pub fn link_state(&self) -> LinkState {
        self.0.link_state()
    }

    /// Waits until the link's state has changed from `known`, and gives the new one; `None` when it is still the same
    /// after so long.
    pub fn link_changed(&self, known: &LinkState, patience: Duration) -> Option<LinkState> {
        wait(self.0.link_changed(known), patience)
    }

    /// What happened to the link since this was last asked, oldest first. Each notice is given once, to whichever handle
    /// asks first. The latest 64 wait; how many were dropped before them is the first that is given.
    pub fn link_notices(&self) -> vec::IntoIter<LinkNotice> {
        self.0.link_notices()
    }

    /// Waits for the next notice, as [`Client::link_notices`] gives them; `None` when the connection is over and all were
    /// read, or none came for so long.
    pub fn next_link_notice(&self, patience: Duration) -> Option<LinkNotice> {
        wait(self.0.next_link_notice(), patience).flatten()
    }

    /// Sixteen hexadecimal digits that stand in the ids this connection gives to messages without one.
    pub fn run_id(&self) -> String {
        self.0.run_id()
    }

    /// The connection's counts.
    pub fn statistics(&self) -> Statistics {
        self.0.statistics()
    }

    /// Makes a new link, once what publishers have written to the present one is answered, a few seconds at most.
    /// Credentials are asked for again.
    pub fn reconnect(&self) {
        self.0.reconnect();
    }

    /// Ends the connection in an orderly way, which takes as long as `patience` at most; then it is closed.
    ///
    /// First every subscription is drained and read to its end by whoever holds it, and requests get their answers;
    /// meanwhile answers can be published, but nothing new can be subscribed. Then nothing is taken any more: publishers
    /// settle what they have, and the server is asked whether it has read all that was published to core NATS. Whoever
    /// holds a subscription should read it on another thread, drop it, or drain and read it before.
    ///
    /// # Errors
    /// When it is not known that nothing was lost.
    pub fn drain(&self, patience: Duration) -> Result<(), DrainError> {
        wait_for(self.0.drain(patience))
    }

    /// Closes the connection at once. What publishers have not settled is `Unknown`, what was published to core NATS may
    /// not have left; to lose nothing, wait for [`Client::drain`] instead.
    pub fn close(&self) {
        self.0.close();
    }
}
