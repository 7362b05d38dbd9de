//! Ops: what a peer says, first as places in a buffer, then as slices of it.

use super::op_name::OpName;

/// A place in the buffer that a [`Frame`] was found in, counted from the frame's first byte.
///
/// Places instead of slices let a loop find its frames while it changes the state that owns the buffer, and slice once,
/// after the loop.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// One whole op at the beginning of a buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame {
    /// What it says.
    pub op: FrameOp,
    /// Its length with line ends and payload, bytes.
    pub len: usize,
}

/// An op as places in the buffer. [`Frame::op`] gives the slices.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of `Op`, which documents them")]
pub enum FrameOp {
    Info(Span),
    Connect(Span),
    Ping,
    Pong,
    Ok,
    Err(Span),
    Pub { subject: Span, reply: Option<Span>, payload: Span },
    HPub { subject: Span, reply: Option<Span>, headers: Span, payload: Span },
    Sub { subject: Span, queue: Option<Span>, sid: Span },
    Unsub { sid: Span, max: Option<u64> },
    Msg { subject: Span, sid: u64, reply: Option<Span>, payload: Span },
    HMsg { subject: Span, sid: u64, reply: Option<Span>, headers: Span, payload: Span },
}

/// An op. Subjects are bytes: a server passes on what it was given, and that need not be UTF-8.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Op<'a> {
    /// The server introduces itself: JSON.
    Info(&'a [u8]),
    /// The client introduces itself: JSON.
    Connect(&'a [u8]),
    /// The peer asks for a PONG.
    Ping,
    /// The answer to a PING.
    Pong,
    /// The answer to any op in verbose mode.
    Ok,
    /// The server complains: its text without quotes, capped at the parser's `control_line_max`.
    Err(&'a [u8]),
    /// A publish.
    Pub {
        /// The subject published to.
        subject: &'a [u8],
        /// Where an answer should go.
        reply: Option<&'a [u8]>,
        /// The message.
        payload: &'a [u8],
    },
    /// A publish with headers.
    HPub {
        /// The subject published to.
        subject: &'a [u8],
        /// Where an answer should go.
        reply: Option<&'a [u8]>,
        /// The whole header block, `NATS/1.0` and blank line included.
        headers: &'a [u8],
        /// The message.
        payload: &'a [u8],
    },
    /// A subscription begins.
    Sub {
        /// The pattern listened to.
        subject: &'a [u8],
        /// The queue group joined.
        queue: Option<&'a [u8]>,
        /// The client's name for the subscription.
        sid: &'a [u8],
    },
    /// A subscription ends.
    Unsub {
        /// The client's name for the subscription.
        sid: &'a [u8],
        /// After how many messages; at once when absent.
        max: Option<u64>,
    },
    /// A message.
    Msg {
        /// The subject it was published to.
        subject: &'a [u8],
        /// The subscription it is for.
        sid: u64,
        /// Where an answer should go.
        reply: Option<&'a [u8]>,
        /// The message.
        payload: &'a [u8],
    },
    /// A message with headers.
    HMsg {
        /// The subject it was published to.
        subject: &'a [u8],
        /// The subscription it is for.
        sid: u64,
        /// Where an answer should go.
        reply: Option<&'a [u8]>,
        /// The whole header block, see [`Headers::parse`](super::Headers::parse).
        headers: &'a [u8],
        /// The message.
        payload: &'a [u8],
    },
}

impl Span {
    /// Both ends come from the parser, which keeps every frame below 4 GiB.
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes at this place.
    ///
    /// # Panics
    /// When `buf` is not the buffer that the frame was found in, and shorter.
    pub fn of<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        &buf[self.start as usize..self.end as usize]
    }

    /// How many bytes.
    pub const fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

impl Frame {
    /// The op as slices of `buf`, the buffer that the frame was found in.
    ///
    /// # Panics
    /// When `buf` is another, shorter buffer.
    pub fn op<'a>(&self, buf: &'a [u8]) -> Op<'a> {
        let of = |span: Span| span.of(buf);
        match self.op {
            FrameOp::Info(json) => Op::Info(of(json)),
            FrameOp::Connect(json) => Op::Connect(of(json)),
            FrameOp::Ping => Op::Ping,
            FrameOp::Pong => Op::Pong,
            FrameOp::Ok => Op::Ok,
            FrameOp::Err(text) => Op::Err(of(text)),
            FrameOp::Pub { subject, reply, payload } => {
                Op::Pub { subject: of(subject), reply: reply.map(of), payload: of(payload) }
            }
            FrameOp::HPub { subject, reply, headers, payload } => {
                Op::HPub { subject: of(subject), reply: reply.map(of), headers: of(headers), payload: of(payload) }
            }
            FrameOp::Sub { subject, queue, sid } => {
                Op::Sub { subject: of(subject), queue: queue.map(of), sid: of(sid) }
            }
            FrameOp::Unsub { sid, max } => Op::Unsub { sid: of(sid), max },
            FrameOp::Msg { subject, sid, reply, payload } => {
                Op::Msg { subject: of(subject), sid, reply: reply.map(of), payload: of(payload) }
            }
            FrameOp::HMsg { subject, sid, reply, headers, payload } => {
                Op::HMsg { subject: of(subject), sid, reply: reply.map(of), headers: of(headers), payload: of(payload) }
            }
        }
    }
}

impl FrameOp {
    /// The op's name.
    pub const fn name(&self) -> OpName {
        match self {
            Self::Info(_) => OpName::Info,
            Self::Connect(_) => OpName::Connect,
            Self::Ping => OpName::Ping,
            Self::Pong => OpName::Pong,
            Self::Ok => OpName::Ok,
            Self::Err(_) => OpName::Err,
            Self::Pub { .. } => OpName::Pub,
            Self::HPub { .. } => OpName::HPub,
            Self::Sub { .. } => OpName::Sub,
            Self::Unsub { .. } => OpName::Unsub,
            Self::Msg { .. } => OpName::Msg,
            Self::HMsg { .. } => OpName::HMsg,
        }
    }
}
