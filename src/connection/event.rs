//! What a connection has to say, and what it wants done.

use alloc::string::String;

use super::{CloseReason, LinkError, ServerAddr, Sid};
use crate::proto::{Frame, FrameOp, Headers, ServerError};

/// The number of a link: each dial has the next. A fact about an earlier one is ignored.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub(crate) u64);

/// What a connection has to say.
#[derive(Debug)]
pub enum Event<'a> {
    /// The link is up, subscriptions are made again, and publishes may be written.
    Connected,
    /// The link is gone and all its bytes with it.
    Disconnected(LinkError),
    /// A dial came to nothing.
    DialFailed(LinkError),
    /// A message for one of the subscriptions.
    Message(Delivery<'a>),
    /// The server complains and stays connected.
    ServerError(ServerError),
    /// The server answered the PING that carried this number.
    Pong(u64),
    /// The server is about to shut down. Said once for each link.
    LameDuck,
    /// The server said its INFO anew.
    Info,
    /// The connection is over.
    Closed(CloseReason),
}

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// The subscription it is for.
    pub sid: Sid,
    /// The subject it was published to. Servers forward any bytes.
    pub subject: &'a [u8],
    /// Where an answer is wanted.
    pub reply: Option<&'a [u8]>,
    /// The headers, where there are any and they can be read.
    pub headers: Option<Headers<'a>>,
    /// Whether there are headers that cannot be read, which is its sender's fault: it may have said something else.
    pub is_damaged: bool,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Delivery<'a> {
    /// The message that this frame of the received bytes is, if it is one.
    pub(super) fn of(frame: Frame, bytes: &'a [u8]) -> Option<Self> {
        let (sid, subject, reply, headers, payload) = match frame.op {
            FrameOp::Msg { subject, sid, reply, payload } => (sid, subject, reply, None, payload),
            FrameOp::HMsg { subject, sid, reply, headers, payload } => (sid, subject, reply, Some(headers), payload),
            _ => return None,
        };
        let parsed = headers.map(|headers| Headers::parse(headers.of(bytes)));
        Some(Self {
            sid: Sid(sid),
            subject: subject.of(bytes),
            reply: reply.map(|reply| reply.of(bytes)),
            is_damaged: matches!(parsed, Some(Err(_))),
            headers: parsed.and_then(Result::ok),
            payload: payload.of(bytes),
        })
    }
}

/// What a connection wants its driver to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Look the host up, dial its addresses from the one numbered `turn` modulo their count on, and tell of it as this
    /// epoch.
    Dial {
        /// The link to be.
        epoch: Epoch,
        /// Whom to dial.
        addr: ServerAddr,
        /// Which of the addresses of that name comes first.
        turn: u32,
    },
    /// Make this epoch's socket speak TLS, then tell `handle_secured`; or tell of its end, with the cause. Nothing may be
    /// read from it in clear any more.
    StartTls {
        /// The link.
        epoch: Epoch,
        /// The name that the certificate must bear.
        server_name: String,
    },
    /// Ask the connection's authenticator, and tell `handle_credentials`.
    Authenticate {
        /// The link.
        epoch: Epoch,
        /// What the server gave to sign.
        nonce: Option<String>,
        /// Whether the answer goes out under TLS.
        is_secure: bool,
    },
    /// Close this socket at once, or give up its dial. No answer is wanted.
    Hangup(Epoch),
}
