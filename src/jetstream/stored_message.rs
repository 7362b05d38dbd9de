//! A message as a stream holds it: the answer to `STREAM.MSG.GET`.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use crate::proto::{Headers, base64};

/// A message as a stream holds it.
///
/// ```
/// use natsink::jetstream::StoredMessage;
///
/// let answer = br#"{"message":{"subject":"orders.new","seq":17,"data":"e30="}}"#;
/// let message = StoredMessage::parse(answer).expect("there is one");
/// assert_eq!((message.subject.as_str(), message.seq, &message.payload[..]), ("orders.new", 17, &b"{}"[..]));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredMessage {
    /// The subject.
    pub subject: String,
    /// The sequence.
    pub seq: u64,
    /// The header block, empty where the message has none.
    pub headers: Vec<u8>,
    /// The payload.
    pub payload: Vec<u8>,
}

impl StoredMessage {
    /// Reads an answer to `STREAM.MSG.GET`; `None` where it holds no message: there is none, or it may not be read.
    pub fn parse(answer: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let message = answer.get("message")?;
        let bytes =
            |name| message.get(name).map_or(Some(""), Value::as_str).and_then(|text| base64::decode(text.as_bytes()));
        Some(Self {
            subject: message.get("subject")?.as_str()?.into(),
            seq: message.get("seq")?.as_u64()?,
            headers: bytes("hdrs")?,
            payload: bytes("data")?,
        })
    }

    /// The `Nats-Msg-Id`.
    pub fn id(&self) -> Option<&str> {
        core::str::from_utf8(Headers::parse(&self.headers).ok()?.value("Nats-Msg-Id")?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_message_is_read() {
        let answer = br#"{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{"subject":"ord.1","seq":1,"hdrs":"TkFUUy8xLjANCk5hdHMtTXNnLUlkOiBpZC0xDQoNCg==","data":"aGVsbG8=","time":"2026-11-23T20:41:56Z"}}"#;
        let message = StoredMessage::parse(answer).unwrap();
        assert_eq!((message.subject.as_str(), message.seq, message.payload.as_slice()), ("ord.1", 1, &b"hello"[..]));
        assert_eq!(
            (message.headers.as_slice(), message.id()),
            (&b"NATS/1.0\r\nNats-Msg-Id: id-1\r\n\r\n"[..], Some("id-1"))
        );
        let empty = br#"{"message":{"subject":"ord.1","seq":1,"time":"2026-11-23T20:41:56Z"}}"#;
        assert_eq!(StoredMessage::parse(empty).unwrap().payload, b"");
        let gone = br#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#;
        assert_eq!(StoredMessage::parse(gone), None);
    }
}
