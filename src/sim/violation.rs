//! What the model server holds against a client.

use alloc::string::String;

use crate::proto::{OpName, ParseError};

/// What a client did that no client should do. The real server would let most of it pass.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Violation {
    /// An op before CONNECT, or before the server's INFO could have been read.
    BeforeConnect(OpName),
    /// Bytes that are no op.
    Unparsable(ParseError),
    /// CONNECT asks for something a publisher must not, or cannot be read.
    Connect(String),
    /// A question whose answer the client would not hear.
    NotSubscribed(String),
    /// A subscription's number used twice on one connection.
    SidReused(u64),
    /// A subject, pattern or header block that is none.
    Malformed(String),
    /// A consumer, or a question to one, that is not as a reader of ids has it.
    Consumer(String),
    /// A publish with an answer wanted, and no id to know it by when it comes again.
    NoMsgId(String),
}
