//! The handle on a publisher: cheap to clone. Its futures need no runtime, and nothing on its path waits on a channel or allocates for a message.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;
use std::vec::Vec;

use super::handle::Handle;
use crate::jetstream::{
    AckSlot, Message, Notice, Outcome, PublisherError, PublisherStatistics, StreamInfo, SubmitError,
};
use crate::session::{PublisherId, Session, Ticket};
use crate::time::Instant;

/// Bytes in the outbox beyond which a publish first lets the driver's task run, once.
const OUTBOX_EASY: usize = 64 << 10;

/// A handle on a publisher. Clones share its window; when the last clone and the last [`Ack`] are dropped, it closes.
#[derive(Clone, Debug)]
pub struct Publisher {
    seat: Arc<Seat>,
}

/// What keeps a publisher open.
#[derive(Debug)]
struct Seat {
    handle: Arc<Handle>,
    id: PublisherId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.handle.shared.with(|session| session.remove_publisher(self.id));
    }
}

impl Publisher {
    pub(super) fn new(handle: Arc<Handle>, id: PublisherId) -> Self {
        Self { seat: Arc::new(Seat { handle, id }) }
    }

    /// Publishes a message: waits for room in the window, and gives an [`Ack`] to await.
    ///
    /// Who waits is served first come, first served. Dropped while it waits, nothing has happened; once it has given
    /// an `Ack`, the message is in the window and will have exactly one outcome.
    ///
    /// # Errors
    /// When the message can never be stored as it is, or the publisher is over. Nothing was sent then.
    pub async fn publish(&self, message: &Message<'_>) -> Result<Ack, SubmitError> {
        let slot =
            Admission::new(self, |session, id, ticket, now| session.submit_for_ack(id, ticket, message, now)).await?;
        Ok(self.ack(slot))
    }

    /// As [`Publisher::publish`], but without waiting.
    ///
    /// # Errors
    /// Also when the window is full, or others wait for room.
    pub fn try_publish(&self, message: &Message<'_>) -> Result<Ack, SubmitError> {
        let slot = self.with_now(|session, id, now| session.submit_for_ack(id, None, message, now))?;
        Ok(self.ack(slot))
    }

    /// As [`Publisher::publish`], for callers who do not want a future for each message: the outcome will come,
    /// under this tag, from [`Publisher::outcomes`]. They must be read: when two windows of them are unread, no more
    /// messages are taken. A task that both sends and reads is safe when it reads once in every window of sends.
    ///
    /// # Errors
    /// As for [`Publisher::publish`].
    pub async fn send(&self, tag: u64, message: &Message<'_>) -> Result<(), SubmitError> {
        Admission::new(self, |session, id, ticket, now| session.submit(id, ticket, tag, message, now)).await
    }

    /// As [`Publisher::send`], but without waiting.
    ///
    /// # Errors
    /// Also when the window is full, unread outcomes included, or others wait for room.
    pub fn try_send(&self, tag: u64, message: &Message<'_>) -> Result<(), SubmitError> {
        self.with_now(|session, id, now| session.submit(id, None, tag, message, now))
    }

    /// Waits until a message would be taken: a small one, or the one that was last refused as too large for the room
    /// there was. Or until the publisher is over.
    ///
    /// Dropped, nothing has happened.
    pub async fn ready(&self) {
        let admission = Admission::new(self, |session, id, ticket, _| match session.has_room(id, ticket) {
            true => Ok(()),
            false => Err(SubmitError::Full),
        });
        // It never fails: room is all that is asked for.
        let _ = admission.await;
    }

    /// Waits for outcomes of sent messages and moves all that are there into `into`. `Ok` says how many.
    ///
    /// Dropped, nothing is lost.
    ///
    /// # Errors
    /// When the publisher is over and all outcomes were read.
    pub async fn outcomes(&self, into: &mut Vec<(u64, Outcome)>) -> Result<usize, PublisherError> {
        poll_fn(|cx| {
            self.with(|session, id| {
                let taken = session.take_outcomes(id, into, Some(cx.waker()));
                match session.publisher(id).and_then(|publisher| publisher.failure()) {
                    _ if taken > 0 => Poll::Ready(Ok(taken)),
                    Some(error) => Poll::Ready(Err(error.clone())),
                    None => Poll::Pending,
                }
            })
        })
        .await
    }

    /// Moves all outcomes that are there into `into`, and says how many.
    pub fn try_outcomes(&self, into: &mut Vec<(u64, Outcome)>) -> usize {
        self.with(|session, id| session.take_outcomes(id, into, None))
    }

    /// Waits until the stream was looked at for the first time.
    ///
    /// # Errors
    /// When the publisher is over: the stream cannot take its messages, or the connection is over.
    pub async fn verified(&self) -> Result<Option<StreamInfo>, PublisherError> {
        poll_fn(|cx| {
            self.with(|session, id| {
                let publisher = session.publisher(id);
                if let Some(error) = publisher.and_then(|publisher| publisher.failure()) {
                    return Poll::Ready(Err(error.clone()));
                }
                if publisher.is_some_and(|publisher| publisher.is_verified()) {
                    return Poll::Ready(Ok(publisher.and_then(|publisher| publisher.stream()).cloned()));
                }
                session.watch(cx.waker());
                Poll::Pending
            })
        })
        .await
    }

    /// Waits until no message is in flight, or the publisher is over.
    pub async fn settled(&self) {
        poll_fn(|cx| {
            self.with(|session, id| match session.publisher(id) {
                Some(publisher) if publisher.in_flight() > 0 => {
                    session.await_settled(id, cx.waker());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            })
        })
        .await;
    }

    /// Messages that are not settled.
    pub fn in_flight(&self) -> usize {
        self.with(|session, id| session.publisher(id).map_or(0, |publisher| publisher.in_flight()))
    }

    /// Why the publisher is over, if it is.
    pub fn failure(&self) -> Option<PublisherError> {
        self.with(|session, id| session.publisher(id).and_then(|publisher| publisher.failure().cloned()))
    }

    /// The stream as it was when last looked at.
    pub fn stream(&self) -> Option<StreamInfo> {
        self.with(|session, id| session.publisher(id).and_then(|publisher| publisher.stream().cloned()))
    }

    /// The last sequence of the stream when it was first looked at: whatever this publisher stores is stored behind it.
    pub fn began_after(&self) -> Option<u64> {
        self.with(|session, id| session.publisher(id).and_then(|publisher| publisher.began_after()))
    }

    /// No message that is published from now on can be one of an earlier run: nothing more is read back for them. It has no
    /// effect while messages are in flight.
    pub fn end_resume(&self) {
        self.with(|session, id| session.publisher_mut(id).map(crate::jetstream::Publisher::end_resume));
    }

    /// The counts.
    pub fn statistics(&self) -> PublisherStatistics {
        self.with(|session, id| session.publisher(id).map(|publisher| publisher.statistics()).unwrap_or_default())
    }

    /// What happened since this was last asked, oldest first; of a long time only the latest.
    pub fn notices(&self) -> vec::IntoIter<Notice> {
        self.with(|session, id| {
            let mut notices = vec![];
            while let Some(notice) = session.publisher_mut(id).and_then(|publisher| publisher.poll_notice()) {
                notices.push(notice);
            }
            notices.into_iter()
        })
    }

    /// Bytes of this connection that wait to be written to the socket.
    pub fn outbox_len(&self) -> usize {
        self.with(|session, _| session.outbox_len())
    }

    /// Ends the publisher at once: what is not settled is `Unknown`.
    pub fn close(&self) {
        self.with(|session, id| session.close_publisher(id));
    }

    fn with_now<R>(&self, act: impl FnOnce(&mut Session, PublisherId, Instant) -> R) -> R {
        let id = self.seat.id;
        self.seat.handle.shared.with_now(|session, now| act(session, id, now))
    }

    fn with<R>(&self, act: impl FnOnce(&mut Session, PublisherId) -> R) -> R {
        let id = self.seat.id;
        self.seat.handle.shared.with(|session| act(session, id))
    }

    fn ack(&self, slot: AckSlot) -> Ack {
        Ack { seat: Arc::clone(&self.seat), slot: Some(slot) }
    }
}

/// The outcome of one publish, to be awaited. Dropping it detaches it: the message goes its way all the same.
///
/// An `Ack` that is not read holds nothing but its own few bytes; the window moves on without it. It keeps the
/// publisher open, so an outcome comes even when all `Publisher` handles are gone.
#[derive(Debug)]
pub struct Ack {
    seat: Arc<Seat>,
    slot: Option<AckSlot>,
}

impl Future for Ack {
    type Output = Outcome;

    /// Once it is ready it must not be polled again; it then says `Unknown`.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(slot) = self.slot else { return Poll::Ready(Outcome::Unknown) };
        let id = self.seat.id;
        match self.seat.handle.shared.with(|session| session.poll_ack(id, slot, cx.waker())) {
            Some(outcome) => {
                self.slot = None;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.seat.handle.shared.with(|session| session.give_up_ack(self.seat.id, slot));
        }
    }
}

/// Waiting in line for room, and giving the place back however it ends.
struct Admission<'a, F> {
    publisher: &'a Publisher,
    attempt: F,
    ticket: Option<Ticket>,
    eased: bool,
}

impl<'a, T, F> Admission<'a, F>
where
    F: FnMut(&mut Session, PublisherId, Option<Ticket>, Instant) -> Result<T, SubmitError> + Unpin,
{
    fn new(publisher: &'a Publisher, attempt: F) -> Self {
        Self { publisher, attempt, ticket: None, eased: false }
    }
}

impl<T, F> Future for Admission<'_, F>
where
    F: FnMut(&mut Session, PublisherId, Option<Ticket>, Instant) -> Result<T, SubmitError> + Unpin,
{
    type Output = Result<T, SubmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { publisher, attempt, ticket, eased } = &mut *self;
        publisher.with_now(|session, id, now| {
            if !*eased && session.outbox_len() >= OUTBOX_EASY {
                *eased = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match attempt(session, id, *ticket, now) {
                Err(SubmitError::Full) => {
                    session.wait(id, ticket, cx.waker());
                    Poll::Pending
                }
                result => Poll::Ready(result),
            }
        })
    }
}

impl<F> Drop for Admission<'_, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.publisher.with(|session, id| session.leave(id, ticket));
        }
    }
}
