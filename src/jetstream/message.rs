//! A message to publish: subject, id, headers and payload, all borrowed.

use bytes::Bytes;

use crate::proto::{HeaderBlock, MsgId, Subject};

/// A message to publish to a stream.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub(crate) subject: Subject<'a>,
    pub(crate) id: Option<MsgId<'a>>,
    pub(crate) headers: Option<&'a HeaderBlock>,
    pub(crate) payload: Payload<'a>,
}

/// The payload of a message: borrowed bytes are copied into the window, shared ones of 8 KiB and more are not.
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// Borrowed for the call.
    Slice(&'a [u8]),
    /// Reference-counted.
    Shared(Bytes),
}

impl<'a> Message<'a> {
    /// A message without id and headers. A publisher gives it an id of its own, unique for its run.
    pub fn new(subject: Subject<'a>, payload: impl Into<Payload<'a>>) -> Self {
        Self { subject, id: None, headers: None, payload: payload.into() }
    }

    /// The `Nats-Msg-Id`: what makes a replay of the same event a duplicate, even by another process.
    pub fn id(mut self, id: MsgId<'a>) -> Self {
        self.id = Some(id);
        self
    }

    /// Headers besides the ones the publisher writes itself.
    pub fn headers(mut self, headers: &'a HeaderBlock) -> Self {
        self.headers = Some(headers);
        self
    }

    /// Where it goes.
    pub const fn subject(&self) -> Subject<'a> {
        self.subject
    }

    /// Its `Nats-Msg-Id`, where it has one of its own.
    pub const fn msg_id(&self) -> Option<MsgId<'a>> {
        self.id
    }

    /// The headers besides the ones the publisher writes itself.
    pub const fn header_block(&self) -> Option<&'a HeaderBlock> {
        self.headers
    }

    /// The bytes that it brings.
    pub fn payload(&self) -> &[u8] {
        self.payload.as_bytes()
    }
}

impl Payload<'_> {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Slice(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Slice(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Self::Slice(text.as_bytes())
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Shared(bytes)
    }
}
