//! Bytes and ops: the words of the NATS protocol, checked once where they enter and never again.
//!
//! ```
//! use natsink::proto::{HeaderBlock, Op, Parser, ParserLimits, Side, Subject, encode};
//!
//! let subject = Subject::new("orders.eu.created")?;
//! assert!(Subject::new("orders..created").is_err());
//! let mut headers = HeaderBlock::new();
//! headers.push("Nats-Msg-Id", "orders-17")?;
//!
//! let mut wire = Vec::new();
//! encode::publish(&mut wire, subject, None, Some(&headers), b"{}");
//!
//! let mut parser = Parser::new(Side::Client, ParserLimits::default());
//! let frame = parser.frame(&wire)?.expect("the op is complete");
//! assert!(matches!(frame.op(&wire), Op::HPub { subject: b"orders.eu.created", payload: b"{}", .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod base64;
mod connect;
pub(crate) mod decimal;
pub mod encode;
mod error;
mod headers;
mod info;
pub(crate) mod json;
mod msg_id;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod naive;
mod op;
mod op_name;
mod parse_error;
mod parser;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod properties;
mod subject;

pub use connect::Connect;
pub use error::ServerError;
pub use headers::{HEADERS_LEN_MAX, HeaderBlock, HeaderError, Headers};
pub use info::{CONNECT_URLS_MAX, InfoError, NONCE_LEN_MAX, ServerInfo};
pub use msg_id::{MSG_ID_LEN_MAX, MsgId, MsgIdError};
pub use op::{Frame, FrameOp, Op, Span};
pub use op_name::{OpName, Side};
pub use parse_error::{Field, ParseError};
pub use parser::{Parser, ParserLimits};
pub use subject::{Pattern, SUBJECT_LEN_MAX, Subject, SubjectBuf, SubjectError, is_token};
