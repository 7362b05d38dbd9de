//! A message as a stream holds it: the answer to `STREAM.MSG.GET`.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use crate::proto::Headers;

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
            |name| message.get(name).map_or(Some(""), Value::as_str).and_then(|text| decode_base64(text.as_bytes()));
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

/// Standard base64 with padding, as Go's `encoding/json` writes bytes.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|digit| **digit == b'=').count();
    let digits = &text[..text.len() - padding];
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0u32, 0);
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_rfc_4648_has_it() {
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!(decode_base64(text.as_bytes()).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for text in ["Z", "Zg=", "Z===", "Zm9v\n", "=Zm9"] {
            assert_eq!(decode_base64(text.as_bytes()), None, "{text}");
        }
    }

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
