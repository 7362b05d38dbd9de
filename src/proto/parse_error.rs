//! How a peer can break the protocol, by op and field.

use alloc::string::String;
use core::fmt;

use super::op_name::OpName;

/// The peer broke the protocol. What it sends from here on cannot be understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ParseError {
    /// A control line is longer than the limit, or has no end within it.
    LineTooLong {
        /// The limit, bytes.
        max: usize,
    },
    /// A line feed without a carriage return before it.
    BareLineFeed,
    /// No op that the peer may send: the first word of the line, at most 16 bytes of it, escaped.
    UnknownOp(String),
    /// The op has another number of arguments.
    Arguments {
        /// The op.
        op: OpName,
        /// How many arguments there were.
        found: usize,
    },
    /// A number is not plain decimal digits, or too large for 64 bits.
    Number {
        /// The op.
        op: OpName,
        /// Which of its numbers.
        field: Field,
    },
    /// The announced payload, headers included, is larger than the limit.
    PayloadTooLarge {
        /// The op.
        op: OpName,
        /// The announced length, bytes.
        len: u64,
        /// The limit, bytes.
        max: usize,
    },
    /// The announced headers are longer than headers and payload together.
    HeadersTooLong {
        /// The op.
        op: OpName,
        /// The announced length of the headers, bytes.
        headers: u64,
        /// The announced length of both, bytes.
        total: u64,
    },
    /// No CRLF where the payload of this op must end.
    PayloadEnd(OpName),
}

/// A number in a control line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Field {
    /// The subscription a message is for.
    Sid,
    /// The length of the header block.
    HeaderLength,
    /// The length of the payload, headers included.
    Length,
    /// After how many messages a subscription ends.
    Max,
}

impl ParseError {
    pub(super) fn unknown_op(word: &[u8]) -> Self {
        let word = &word[..word.len().min(16)];
        Self::UnknownOp(word.escape_ascii().map(char::from).collect())
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer does not speak NATS as it should: ")?;
        match self {
            Self::LineTooLong { max } => write!(f, "a control line is longer than {max} bytes"),
            Self::BareLineFeed => f.write_str("a control line ends with LF alone"),
            Self::UnknownOp(word) => write!(f, "\"{word}\" is no op that it may send"),
            Self::Arguments { op, found } => write!(f, "{op} cannot have {found} arguments"),
            Self::Number { op, field } => write!(f, "{field} of {op} is no decimal number of 64 bits"),
            Self::PayloadTooLarge { op, len, max } => {
                write!(f, "{op} announces {len} bytes, and {max} are the most that is taken")
            }
            Self::HeadersTooLong { op, headers, total } => {
                write!(f, "{op} announces {headers} bytes of headers in a message of {total}")
            }
            Self::PayloadEnd(op) => write!(f, "the payload of {op} does not end where it was announced to"),
        }
    }
}

impl core::error::Error for ParseError {}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sid => "the sid",
            Self::HeaderLength => "the header length",
            Self::Length => "the length",
            Self::Max => "the message count",
        })
    }
}
