//! What the client writes, as a script sees it.

use natsink::proto::{Op, Parser, ParserLimits, Side};
use serde_json::Value;

/// A publish of the client.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) subject: String,
    pub(crate) reply: String,
    /// The header block as it came.
    pub(crate) headers: String,
    pub(crate) payload: Vec<u8>,
}

/// An op of the client.
#[derive(Clone, Debug)]
pub(crate) enum ClientOp {
    Connect(Value),
    Ping,
    Pong,
    Sub { pattern: String, sid: u64 },
    Unsub,
    Pub(Published),
}

/// A server's limit is on what stands behind the op.
pub(crate) fn parser() -> Parser {
    Parser::new(Side::Client, ParserLimits { control_line_max: 4096 + "HPUB ".len(), ..ParserLimits::default() })
}

impl ClientOp {
    /// What the client wrote.
    pub(crate) fn of(op: Op<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the client writes text");
        match op {
            Op::Connect(json) => Self::Connect(serde_json::from_slice(json).expect("CONNECT is JSON")),
            Op::Ping => Self::Ping,
            Op::Pong => Self::Pong,
            Op::Sub { subject, sid, .. } => {
                Self::Sub { pattern: text(subject), sid: text(sid).parse().expect("a sid of ours is a number") }
            }
            Op::Unsub { .. } => Self::Unsub,
            Op::Pub { subject, reply, payload } => Self::Pub(Published {
                subject: text(subject),
                reply: text(reply.unwrap_or_default()),
                headers: String::new(),
                payload: payload.to_vec(),
            }),
            Op::HPub { subject, reply, headers, payload } => Self::Pub(Published {
                subject: text(subject),
                reply: text(reply.unwrap_or_default()),
                headers: text(headers),
                payload: payload.to_vec(),
            }),
            other => panic!("no op of a client: {other:?}"),
        }
    }
}
