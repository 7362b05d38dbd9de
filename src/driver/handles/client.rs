//! The handle on a session: cheap to clone, and the session ends with the last one. Its futures need no runtime.

use std::future::poll_fn;
use std::string::String;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Poll;
use std::time::Duration;
use std::vec;

use super::entropy::entropy;
use super::handle::Handle;
use super::publisher::Publisher;
use super::shared::Shared;
use crate::connection::{CloseReason, ConnectionOptions, LinkError, ServerList, Statistics};
use crate::jetstream::PublisherOptions;
use crate::session::{DrainError, LinkNotice, LinkState, Session, SessionError};

/// A handle on one connection to a NATS server, which reconnects by itself. Clones share the connection.
///
/// When the last `Client`, `Publisher`, `Subscription` and `Ack` of a connection are dropped, it closes.
#[derive(Debug)]
pub struct Client {
    handle: Arc<Handle>,
    /// What was published through this handle and not flushed yet: one more than the session's losses when the first of
    /// it was; zero when there is nothing. Changed under the session's lock.
    pub(super) unflushed: AtomicU64,
}

impl Clone for Client {
    /// The clone has published nothing yet.
    fn clone(&self) -> Self {
        Self::with(Arc::clone(&self.handle))
    }
}

/// The defaults, for the servers of a comma list of URLs.
pub(in crate::driver) fn options(urls: &str) -> Result<ConnectionOptions, CloseReason> {
    let list = ServerList::parse(urls)
        .map_err(|error| CloseReason::Unreachable(LinkError::Transport(std::format!("server URL: {error}"))))?;
    let mut options = ConnectionOptions::new(list.servers);
    options.auth = list.user_info.map(Into::into).unwrap_or_default();
    Ok(options)
}

impl Client {
    /// A handle on a new session, which a driver is still to drive.
    pub(in crate::driver) fn new(options: ConnectionOptions) -> Result<Self, CloseReason> {
        let shared = Arc::new(Shared::new(Session::new(options, &entropy()?)));
        Ok(Self::with(Arc::new(Handle { shared })))
    }

    fn with(handle: Arc<Handle>) -> Self {
        Self { handle, unflushed: AtomicU64::new(0) }
    }

    /// What the driver shares with the handles.
    pub(in crate::driver) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.handle.shared)
    }

    /// Waits until the connection is up, or over.
    pub(in crate::driver) async fn connected(&self) -> Result<(), CloseReason> {
        poll_fn(|cx| {
            self.handle.shared.with(|session| match session.link_state() {
                LinkState::Up => Poll::Ready(Ok(())),
                LinkState::Closed(reason) => Poll::Ready(Err(reason)),
                LinkState::Dialing | LinkState::Resting => {
                    session.watch(cx.waker());
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// Makes a publisher. It looks at its stream first; until then messages wait in its window.
    ///
    /// # Errors
    /// When the connection is over, or has as many subscriptions as its limit allows.
    pub fn publisher(&self, options: PublisherOptions) -> Result<Publisher, SessionError> {
        let id = self.handle.shared.with_now(|session, now| session.add_publisher(options, now))?;
        Ok(Publisher::new(Arc::clone(&self.handle), id))
    }

    /// The moment that this connection's [`Instant`](crate::time::Instant)s count from.
    pub fn started(&self) -> std::time::Instant {
        self.handle.shared.at(crate::time::Instant::ZERO)
    }

    /// Where the link stands.
    pub fn link_state(&self) -> LinkState {
        self.handle.shared.lock().link_state()
    }

    /// Waits until the link's state has changed from `known`, and gives the new one.
    pub async fn link_changed(&self, known: &LinkState) -> LinkState {
        poll_fn(|cx| {
            self.handle.shared.with(|session| {
                let state = session.link_state();
                if state == *known {
                    session.watch(cx.waker());
                    return Poll::Pending;
                }
                Poll::Ready(state)
            })
        })
        .await
    }

    /// What happened to the link since this was last asked, oldest first. Each notice is given once, to whichever handle
    /// asks first. The latest 64 wait; how many were dropped before them is the first that is given.
    pub fn link_notices(&self) -> vec::IntoIter<LinkNotice> {
        let mut session = self.handle.shared.lock();
        let mut notices = vec![];
        while let Some(notice) = session.poll_notice() {
            notices.push(notice);
        }
        notices.into_iter()
    }

    /// Waits for the next notice, as [`Client::link_notices`] gives them; `None` when the connection is over and all were
    /// read. Of several who wait, each notice goes to one.
    ///
    /// Dropped while it waits, no notice is lost.
    pub async fn next_link_notice(&self) -> Option<LinkNotice> {
        poll_fn(|cx| {
            self.handle.shared.with(|session| match session.poll_notice() {
                None if session.is_closed() => Poll::Ready(None),
                None => {
                    session.watch(cx.waker());
                    Poll::Pending
                }
                notice => Poll::Ready(notice),
            })
        })
        .await
    }

    /// Sixteen hexadecimal digits that stand in the ids this connection gives to messages without one.
    pub fn run_id(&self) -> String {
        self.handle.shared.lock().run_id()
    }

    /// The connection's counts.
    pub fn statistics(&self) -> Statistics {
        self.handle.shared.lock().statistics()
    }

    /// Makes a new link, once what publishers have written to the present one is answered, a few seconds at most.
    /// Credentials and TLS files are read again for it.
    pub fn reconnect(&self) {
        self.handle.shared.with_now(|session, now| session.reconnect(now));
    }

    /// Ends the connection in an orderly way, which takes as long as `patience` at most; then it is closed.
    ///
    /// First every subscription is drained and read to its end by whoever holds it, and requests get their answers;
    /// meanwhile answers can be published, but nothing new can be subscribed. Then nothing is taken any more: publishers
    /// settle what they have, and the server is asked whether it has read all that was published to core NATS. Whoever
    /// holds a subscription should read it in another task, drop it, or drain and read it before.
    ///
    /// Dropped while it waits, the drain goes on. Called again, the shorter patience counts.
    ///
    /// # Errors
    /// When it is not known that nothing was lost.
    pub async fn drain(&self, patience: Duration) -> Result<(), DrainError> {
        self.handle.shared.with_now(|session, now| session.begin_drain(now + patience, now));
        poll_fn(|cx| self.handle.shared.with(|session| session.poll_drain(cx.waker()))).await
    }

    /// Closes the connection at once. What publishers have not settled is `Unknown`, what was published to core NATS may
    /// not have left; to lose nothing, await [`Client::drain`] instead.
    pub fn close(&self) {
        self.handle.shared.with_now(|session, now| session.close(now));
    }

    pub(super) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }
}
