//! The names of the ops, and which side may say them.

use core::fmt;

/// Whose ops are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// What a client sends: CONNECT, PUB, HPUB, SUB, UNSUB, PING, PONG.
    Client,
    /// What a server sends: INFO, MSG, HMSG, PING, PONG, +OK, -ERR.
    Server,
}

/// The name of an op.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum OpName {
    Info,
    Connect,
    Ping,
    Pong,
    Ok,
    Err,
    Pub,
    HPub,
    Sub,
    Unsub,
    Msg,
    HMsg,
}

impl OpName {
    /// The op that `word` names, in any case.
    pub(super) fn of(word: &[u8]) -> Option<Self> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        match word.first()?.to_ascii_uppercase() {
            b'M' if is("MSG") => Some(Self::Msg),
            b'H' if is("HMSG") => Some(Self::HMsg),
            b'H' if is("HPUB") => Some(Self::HPub),
            b'P' if is("PUB") => Some(Self::Pub),
            b'P' if is("PING") => Some(Self::Ping),
            b'P' if is("PONG") => Some(Self::Pong),
            b'+' if is("+OK") => Some(Self::Ok),
            b'-' if is("-ERR") => Some(Self::Err),
            b'I' if is("INFO") => Some(Self::Info),
            b'C' if is("CONNECT") => Some(Self::Connect),
            b'S' if is("SUB") => Some(Self::Sub),
            b'U' if is("UNSUB") => Some(Self::Unsub),
            _ => None,
        }
    }

    /// Whether this side may send the op.
    pub(super) const fn is_of(self, side: Side) -> bool {
        match self {
            Self::Ping | Self::Pong => true,
            Self::Info | Self::Ok | Self::Err | Self::Msg | Self::HMsg => matches!(side, Side::Server),
            Self::Connect | Self::Pub | Self::HPub | Self::Sub | Self::Unsub => matches!(side, Side::Client),
        }
    }

    /// The op as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Connect => "CONNECT",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Ok => "+OK",
            Self::Err => "-ERR",
            Self::Pub => "PUB",
            Self::HPub => "HPUB",
            Self::Sub => "SUB",
            Self::Unsub => "UNSUB",
            Self::Msg => "MSG",
            Self::HMsg => "HMSG",
        }
    }
}

impl fmt::Display for OpName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
