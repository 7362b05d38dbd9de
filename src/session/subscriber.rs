//! A subscriber's place in a session: messages that wait for their reader, a bounded number of them.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;

use bytes::Bytes;

use crate::connection::{CloseReason, Delivery, LinkError};
use crate::proto::{Headers, ServerError};

/// A message received by a subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// The subject it was published to, as it came.
    pub subject: Bytes,
    /// Where an answer is wanted.
    pub reply: Option<Bytes>,
    /// The status that stands in the headers: 503 where nobody listens to a request.
    pub status: Option<u16>,
    /// The payload.
    pub payload: Bytes,
    /// The header block, empty where there is none that can be read.
    block: Bytes,
}

/// What may wait for the reader of a subscription. More is dropped, and counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SubscriptionLimits {
    /// Messages.
    pub messages_max: usize,
    /// Subjects, headers and payloads of these, bytes. A larger message is kept where it waits alone.
    pub bytes_max: usize,
}

/// Why a subscription gives no more messages.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SubscriptionEnd {
    /// It was ended at once.
    Unsubscribed,
    /// It has received as many messages as were wanted.
    Complete,
    /// It was drained: the server had nothing more for it, and that is proven.
    Drained,
    /// It was being drained when the link was lost: what was still on its way is lost with it.
    LinkLost(LinkError),
    /// The server refuses it. It is not made again.
    Denied(ServerError),
    /// The connection is over.
    Closed(CloseReason),
}

#[derive(Debug)]
pub(super) struct Subscriber {
    /// What it listens to.
    pub(super) subject: String,
    /// What was asked, where it waits for the answer.
    pub(super) question: Option<String>,
    limits: SubscriptionLimits,
    waiting: VecDeque<Received>,
    waiting_bytes: usize,
    dropped: u64,
    /// Messages were dropped since the reader last had nothing to read.
    is_slow: bool,
    end: Option<SubscriptionEnd>,
    reader: Option<Waker>,
}

impl Received {
    /// The headers, where there are any and they can be read.
    pub fn headers(&self) -> Option<Headers<'_>> {
        Headers::parse(&self.block).ok()
    }

    /// The words after the status.
    pub fn description(&self) -> Option<&[u8]> {
        self.headers()?.description()
    }

    /// Copies a message into one piece of memory.
    fn new(delivery: &Delivery<'_>) -> Self {
        let mut all = Vec::with_capacity(Self::len_of(delivery));
        let mut ends = [0; 4];
        for (part, end) in Self::parts(delivery).into_iter().zip(&mut ends) {
            all.extend_from_slice(part);
            *end = all.len();
        }
        let all = Bytes::from(all);
        Self {
            subject: all.slice(..ends[0]),
            reply: delivery.reply.map(|_| all.slice(ends[0]..ends[1])),
            status: delivery.headers.as_ref().and_then(Headers::status),
            block: all.slice(ends[1]..ends[2]),
            payload: all.slice(ends[2]..),
        }
    }

    /// Subject, reply, headers and payload.
    fn parts<'a>(delivery: &Delivery<'a>) -> [&'a [u8]; 4] {
        let block = delivery.headers.as_ref().map_or(&[][..], Headers::as_bytes);
        [delivery.subject, delivery.reply.unwrap_or_default(), block, delivery.payload]
    }

    fn len_of(delivery: &Delivery<'_>) -> usize {
        Self::parts(delivery).iter().map(|part| part.len()).sum()
    }

    fn len(&self) -> usize {
        self.subject.len() + self.reply.as_ref().map_or(0, Bytes::len) + self.block.len() + self.payload.len()
    }
}

impl SubscriptionLimits {
    /// So many messages, and the default of bytes.
    pub fn messages(messages_max: usize) -> Self {
        Self { messages_max, ..Self::default() }
    }
}

impl Default for SubscriptionLimits {
    fn default() -> Self {
        Self { messages_max: 65_536, bytes_max: 64 << 20 }
    }
}

impl Subscriber {
    pub(super) fn new(subject: &str, limits: SubscriptionLimits) -> Self {
        Self {
            subject: subject.into(),
            question: None,
            limits,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            dropped: 0,
            is_slow: false,
            end: None,
            reader: None,
        }
    }

    /// Keeps the message for the reader, or counts it when the reader is too slow. `true` when it has become so.
    pub(super) fn deliver(&mut self, delivery: &Delivery<'_>, woken: &mut Vec<Waker>) -> bool {
        let bytes = self.waiting_bytes + Received::len_of(delivery);
        let fits = bytes <= self.limits.bytes_max || self.waiting.is_empty();
        if self.waiting.len() >= self.limits.messages_max || !fits {
            self.dropped += 1;
            return !core::mem::replace(&mut self.is_slow, true);
        }
        self.waiting_bytes = bytes;
        self.waiting.push_back(Received::new(delivery));
        self.wake(woken);
        false
    }

    pub(super) fn next(&mut self, waker: &Waker) -> Option<Received> {
        let received = self.waiting.pop_front();
        match &received {
            Some(received) => self.waiting_bytes -= received.len(),
            None => self.reader = Some(waker.clone()),
        }
        self.is_slow &= !self.waiting.is_empty();
        received
    }

    /// No more messages come. What waits can still be read; the first reason stands.
    pub(super) fn end(&mut self, end: SubscriptionEnd, woken: &mut Vec<Waker>) {
        self.end.get_or_insert(end);
        self.wake(woken);
    }

    /// Why it is over, once all is read.
    pub(super) fn over(&self) -> Option<&SubscriptionEnd> {
        self.end.as_ref().filter(|_| self.waiting.is_empty())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    pub(super) fn unread(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn wake(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.reader.take());
    }
}

impl fmt::Display for SubscriptionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsubscribed => f.write_str("unsubscribed"),
            Self::Complete => f.write_str("as many messages have come as were wanted"),
            Self::Drained => f.write_str("drained"),
            Self::LinkLost(cause) => write!(f, "the connection was lost while draining: {cause}"),
            Self::Denied(error) => write!(f, "the server says: {error}"),
            Self::Closed(reason) => write!(f, "{reason}"),
        }
    }
}

impl core::error::Error for SubscriptionEnd {}
