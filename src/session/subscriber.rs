//! A subscriber's place in a session: messages that wait for their reader, a bounded number of them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::Waker;

use bytes::Bytes;

use crate::connection::Delivery;

/// A message received by a subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// The subject it was published to, as it came.
    pub subject: Bytes,
    /// Where an answer is wanted.
    pub reply: Option<Bytes>,
    /// The status that stands in the headers: 503 where nobody listens to a request.
    pub status: Option<u16>,
    /// The payload.
    pub payload: Bytes,
}

#[derive(Debug)]
pub(super) struct Subscriber {
    waiting: VecDeque<Received>,
    waiting_max: usize,
    dropped: u64,
    reader: Option<Waker>,
}

impl Subscriber {
    pub(super) fn new(waiting_max: usize) -> Self {
        Self { waiting: VecDeque::new(), waiting_max, dropped: 0, reader: None }
    }

    /// Keeps the message for the reader, or counts it when the reader is too slow.
    pub(super) fn deliver(&mut self, delivery: &Delivery<'_>, woken: &mut Vec<Waker>) {
        if self.waiting.len() >= self.waiting_max {
            self.dropped += 1;
            return;
        }
        self.waiting.push_back(Received {
            subject: Bytes::copy_from_slice(delivery.subject),
            reply: delivery.reply.map(Bytes::copy_from_slice),
            status: delivery.headers.as_ref().and_then(|headers| headers.status()),
            payload: Bytes::copy_from_slice(delivery.payload),
        });
        woken.extend(self.reader.take());
    }

    pub(super) fn next(&mut self, waker: &Waker) -> Option<Received> {
        let received = self.waiting.pop_front();
        if received.is_none() {
            self.reader = Some(waker.clone());
        }
        received
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn wake(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.reader.take());
    }
}
