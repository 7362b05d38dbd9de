//! Bytes and ops: the words of the NATS protocol, checked once where they enter and never again.
//!
//! ```
//! use natsink::proto::{HeaderBlock, MsgId, Subject};
//!
//! let subject = Subject::new("orders.eu.created")?;
//! let id = MsgId::new("orders-17")?;
//! let mut headers = HeaderBlock::new();
//! headers.push("df-key", "17")?;
//! assert_eq!(headers.as_bytes(), b"df-key: 17\r\n");
//! assert!(Subject::new("orders..created").is_err());
//! # let _ = (subject, id);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod headers;
mod msg_id;
mod subject;

pub use headers::{HEADERS_LEN_MAX, HeaderBlock, HeaderError, Headers};
pub use msg_id::{MSG_ID_LEN_MAX, MsgId, MsgIdError};
pub use subject::{Pattern, SUBJECT_LEN_MAX, Subject, SubjectBuf, SubjectError, is_token};
