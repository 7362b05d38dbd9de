//! The handle on a session: cheap to clone, and the session ends with the last one. Its futures need no runtime.

use std::future::poll_fn;
use std::string::String;
use std::sync::Arc;
use std::task::Poll;
use std::vec;

use super::entropy::entropy;
use super::handle::Handle;
use super::publisher::Publisher;
use super::shared::Shared;
use crate::connection::{CloseReason, ConnectionOptions, LinkError, ServerList, Sid, Statistics};
use crate::jetstream::PublisherOptions;
use crate::proto::Subject;
use crate::session::{LinkNotice, LinkState, Received, RequestError, Session, SessionError};

/// A handle on one connection to a NATS server, which reconnects by itself. Clones share the connection.
///
/// When the last `Client`, `Publisher` and `Ack` of a connection are dropped, it closes.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

/// An inbox for one answer.
struct Inbox<'a> {
    handle: &'a Handle,
    sid: Sid,
    subject: String,
}

impl<'a> Inbox<'a> {
    fn new(handle: &'a Handle) -> Result<Self, SessionError> {
        let (sid, subject) = handle.shared.with(|session| session.add_inbox())?;
        Ok(Self { handle, sid, subject })
    }
}

impl Drop for Inbox<'_> {
    fn drop(&mut self) {
        self.handle.shared.with(|session| session.unsubscribe(self.sid));
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
        Ok(Self { handle: Arc::new(Handle { shared }) })
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

    /// What happened to the link since this was last asked, oldest first; of a long time only the latest.
    pub fn link_notices(&self) -> vec::IntoIter<LinkNotice> {
        let mut session = self.handle.shared.lock();
        let mut notices = vec![];
        while let Some(notice) = session.poll_notice() {
            notices.push(notice);
        }
        notices.into_iter()
    }

    /// Sixteen hexadecimal digits that stand in the ids this connection gives to messages without one.
    pub fn run_id(&self) -> String {
        self.handle.shared.lock().run_id()
    }

    /// The connection's counts.
    pub fn statistics(&self) -> Statistics {
        self.handle.shared.lock().statistics()
    }

    /// Asks, and waits for one answer, for as long as it takes. Dropped while it waits, an answer that still comes is
    /// dropped too.
    pub(in crate::driver) async fn ask(&self, subject: Subject<'_>, payload: &[u8]) -> Result<Received, RequestError> {
        let inbox = Inbox::new(&self.handle)?;
        let reply = Subject::new(&inbox.subject).map_err(SessionError::InboxPrefix)?;
        if !self.handle.shared.with(|session| session.publish(subject, Some(reply), payload)) {
            return Err(RequestError::NoLink);
        }
        let received = poll_fn(|cx| {
            self.handle.shared.with(|session| match session.next_received(inbox.sid, cx.waker()) {
                Some(received) => Poll::Ready(Ok(received)),
                None => match session.link_state() {
                    LinkState::Closed(reason) => Poll::Ready(Err(SessionError::Closed(reason))),
                    _ => Poll::Pending,
                },
            })
        })
        .await?;
        match received.status {
            Some(503) => Err(RequestError::NoResponders),
            _ => Ok(received),
        }
    }

    /// Makes a new link, once what publishers have written to the present one is answered, a few seconds at most.
    /// Credentials and TLS files are read again for it.
    pub fn reconnect(&self) {
        self.handle.shared.with_now(|session, now| session.reconnect(now));
    }

    /// Closes the connection at once. What publishers have not settled is `Unknown`; to lose nothing, await
    /// [`Publisher::settled`] first.
    pub fn close(&self) {
        self.handle.shared.with_now(|session, now| session.close(now));
    }
}
