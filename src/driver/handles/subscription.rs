//! The handle on a subscription: read it, bound it, drain it; dropped, it ends.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::handle::Handle;
use crate::connection::Sid;
use crate::session::{Received, SubscriptionEnd};

/// A subscription to core NATS: messages come at most once, in the order in which the server gives them out. It outlives
/// links; what is published while there is none, or was on its way when one was lost, is missed.
///
/// Dropped, it is unsubscribed, and what waits to be read is dropped. It keeps the connection open.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use natsink::proto::Pattern;
///
/// let client = natsink::connect("nats://127.0.0.1:4222").await?;
/// let mut orders = client.subscribe(Pattern::new("orders.>")?)?;
/// while let Some(message) = orders.next().await {
///     println!("{:?}: {} bytes", message.subject, message.payload.len());
/// }
/// println!("{:?}", orders.end());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Subscription {
    handle: Arc<Handle>,
    sid: Sid,
}

impl Subscription {
    pub(super) fn new(handle: Arc<Handle>, sid: Sid) -> Self {
        Self { handle, sid }
    }

    /// Waits for the next message; `None` once the subscription has ended and all that waited is read.
    /// [`Subscription::end`] then tells why.
    ///
    /// Dropped while it waits, no message is lost.
    pub async fn next(&mut self) -> Option<Received> {
        poll_fn(|cx| {
            self.handle.shared.with(|session| match session.next_received(self.sid, cx.waker()) {
                None if session.subscription_end(self.sid).is_none() => Poll::Pending,
                next => Poll::Ready(next),
            })
        })
        .await
    }

    /// Ends it after `max` messages in all, those before this included, on whatever links: no more are given, and the
    /// server sends no more. Messages that were dropped because they were read too slowly count as well.
    pub fn unsubscribe_after(&self, max: u64) {
        self.handle.shared.with(|session| session.unsubscribe_after(self.sid, max));
    }

    /// Ends it in an orderly way: the server is told to send no more, what it had sent before can still be read, and then
    /// [`Subscription::next`] gives `None`.
    pub fn drain(&self) {
        self.handle.shared.with_now(|session, now| session.drain_subscription(self.sid, now));
    }

    /// Ends it at once, as dropping it does.
    pub fn unsubscribe(self) {}

    /// Messages that were dropped since more waited than the limits allow.
    pub fn dropped(&self) -> u64 {
        self.handle.shared.with(|session| session.dropped(self.sid))
    }

    /// Why it gives no more messages; `None` while there are some to be read, or may be.
    pub fn end(&self) -> Option<SubscriptionEnd> {
        self.handle.shared.with(|session| session.subscription_end(self.sid))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.handle.shared.with(|session| session.unsubscribe(self.sid));
    }
}
