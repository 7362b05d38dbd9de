//! The publisher, for threads that wait.

use std::time::Duration;
use std::vec;
use std::vec::Vec;

use super::park::{wait, wait_for};
use crate::driver::handles;
use crate::jetstream::{Message, Notice, Outcome, PublisherError, PublisherStatistics, StreamInfo, SubmitError};

/// A handle on a publisher. Clones share its window; when the last clone and the last [`Ack`] are dropped, it closes.
///
/// Where a method takes its caller's patience, [`Duration::ZERO`] only looks, and [`Duration::MAX`] waits for as long as
/// it takes; every wait ends when the publisher or its connection is over.
#[derive(Clone, Debug)]
pub struct Publisher(handles::Publisher);

impl Publisher {
    pub(super) fn new(handle: handles::Publisher) -> Self {
        Self(handle)
    }

    /// Publishes a message: waits for room in the window, and gives an [`Ack`] to wait for.
    ///
    /// Who waits is served first come, first served. Once it has given an `Ack`, the message is in the window and will
    /// have exactly one outcome.
    ///
    /// # Errors
    /// When the message can never be stored as it is, or the publisher is over. Nothing was sent then.
    pub fn publish(&self, message: &Message<'_>) -> Result<Ack, SubmitError> {
        wait_for(self.0.publish(message)).map(Ack)
    }

    /// As [`Publisher::publish`], but waits for so long at most.
    ///
    /// # Errors
    /// Also when there was no room for so long. Nothing was sent then.
    pub fn publish_timeout(&self, message: &Message<'_>, patience: Duration) -> Result<Ack, SubmitError> {
        wait(self.0.publish(message), patience).unwrap_or(Err(SubmitError::Full)).map(Ack)
    }

    /// As [`Publisher::publish`], but without waiting.
    ///
    /// # Errors
    /// Also when the window is full, or others wait for room.
    pub fn try_publish(&self, message: &Message<'_>) -> Result<Ack, SubmitError> {
        self.0.try_publish(message).map(Ack)
    }

    /// As [`Publisher::publish`], for callers who do not want an [`Ack`] for each message: the outcome will come, under
    /// this tag, from [`Publisher::outcomes`]. They must be read: when two windows of them are unread, no more messages
    /// are taken. A thread that both sends and reads is safe when it reads once in every window of sends.
    ///
    /// # Errors
    /// As for [`Publisher::publish`].
    pub fn send(&self, tag: u64, message: &Message<'_>) -> Result<(), SubmitError> {
        wait_for(self.0.send(tag, message))
    }

    /// As [`Publisher::send`], but without waiting.
    ///
    /// # Errors
    /// Also when the window is full, unread outcomes included, or others wait for room.
    pub fn try_send(&self, tag: u64, message: &Message<'_>) -> Result<(), SubmitError> {
        self.0.try_send(tag, message)
    }

    /// Waits until a message would be taken: a small one, or the one that was last refused as too large for the room
    /// there was. Or until the publisher is over. `false` when it is still full after so long.
    pub fn ready(&self, patience: Duration) -> bool {
        wait(self.0.ready(), patience).is_some()
    }

    /// Waits for outcomes of sent messages and moves all that are there into `into`. `Ok` says how many: none when none
    /// came for so long.
    ///
    /// # Errors
    /// When the publisher is over and all outcomes were read.
    pub fn outcomes(&self, into: &mut Vec<(u64, Outcome)>, patience: Duration) -> Result<usize, PublisherError> {
        wait(self.0.outcomes(into), patience).unwrap_or(Ok(0))
    }

    /// Moves all outcomes that are there into `into`, and says how many.
    pub fn try_outcomes(&self, into: &mut Vec<(u64, Outcome)>) -> usize {
        self.0.try_outcomes(into)
    }

    /// Waits until the stream was looked at for the first time; `None` when it was not for so long.
    ///
    /// # Errors
    /// When the publisher is over: the stream cannot take its messages, or the connection is over.
    pub fn verified(&self, patience: Duration) -> Option<Result<Option<StreamInfo>, PublisherError>> {
        wait(self.0.verified(), patience)
    }

    /// Waits until no message is in flight, or the publisher is over. `false` when some still are after so long.
    pub fn settled(&self, patience: Duration) -> bool {
        wait(self.0.settled(), patience).is_some()
    }

    /// Messages that are not settled.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    /// Why the publisher is over, if it is.
    pub fn failure(&self) -> Option<PublisherError> {
        self.0.failure()
    }

    /// The stream as it was when last looked at.
    pub fn stream(&self) -> Option<StreamInfo> {
        self.0.stream()
    }

    /// The last sequence of the stream when it was first looked at: whatever this publisher stores is stored behind it.
    pub fn began_after(&self) -> Option<u64> {
        self.0.began_after()
    }

    /// No message that is published from now on can be one of an earlier run: nothing more is read back for them. It has no
    /// effect while messages are in flight.
    pub fn end_resume(&self) {
        self.0.end_resume();
    }

    /// The counts.
    pub fn statistics(&self) -> PublisherStatistics {
        self.0.statistics()
    }

    /// What happened since this was last asked, oldest first; of a long time only the latest.
    pub fn notices(&self) -> vec::IntoIter<Notice> {
        self.0.notices()
    }

    /// Bytes of this connection that wait to be written to the socket.
    pub fn outbox_len(&self) -> usize {
        self.0.outbox_len()
    }

    /// Ends the publisher at once: what is not settled is `Unknown`.
    pub fn close(&self) {
        self.0.close();
    }
}

/// The outcome of one publish, to be waited for. Dropping it detaches it: the message goes its way all the same.
///
/// An `Ack` that is not read holds nothing but its own few bytes; the window moves on without it. It keeps the
/// publisher open, so an outcome comes even when all `Publisher` handles are gone.
#[derive(Debug)]
pub struct Ack(handles::Ack);

impl Ack {
    /// Waits for the outcome. It always comes: at the latest, as `Unknown`, when the publisher is over.
    pub fn wait(self) -> Outcome {
        wait_for(self.0)
    }

    /// Waits for the outcome for so long at most.
    ///
    /// # Errors
    /// When it has not come: the `Ack`, to wait again.
    pub fn wait_timeout(mut self, patience: Duration) -> Result<Outcome, Self> {
        match wait(&mut self.0, patience) {
            Some(outcome) => Ok(outcome),
            None => Err(self),
        }
    }
}
