//! The reading back of a stored message, to see whether a `duplicate` is one.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use super::token::{self, TOKEN_LEN};
use crate::connection::Outbox;
use crate::proto::{Subject, encode};

/// Questions that wait to be written. At most one for each message in flight.
#[derive(Debug, Default)]
pub(crate) struct ReadBack {
    due: VecDeque<Question>,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    ordinal: u64,
    seq: u64,
}

/// What was read back.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Stored {
    /// A message.
    Message { subject: String, payload: Vec<u8> },
    /// Nothing that could be compared: it is gone, or may not be read.
    Nothing,
}

impl ReadBack {
    pub(crate) fn ask(&mut self, ordinal: u64, seq: u64) {
        self.due.push_back(Question { ordinal, seq });
    }

    /// Forgets what was not asked yet: all open questions are asked anew on the next link.
    pub(crate) fn clear(&mut self) {
        self.due.clear();
    }

    /// The subject that questions about this stream are sent to.
    pub(crate) fn subject(api_prefix: &str, stream: &str) -> String {
        format!("{api_prefix}.STREAM.MSG.GET.{stream}")
    }

    pub(crate) fn pump(&mut self, api_prefix: &str, stream: &str, reply_root: &str, outbox: &mut Outbox) {
        if self.due.is_empty() {
            return;
        }
        let subject = Self::subject(api_prefix, stream);
        let Ok(subject) = Subject::new(&subject) else { return };
        let mut reply = format!("{reply_root}V");
        let root = reply.len();
        while let Some(question) = self.due.front().filter(|_| outbox.has_room()) {
            let mut digits = [0; TOKEN_LEN];
            token::write(question.ordinal, 0, &mut digits);
            reply.truncate(root);
            reply.extend(digits.iter().map(|digit| char::from(*digit)));
            let request = format!("{{\"seq\":{}}}", question.seq);
            if let Ok(reply) = Subject::new(&reply) {
                outbox.write(|out| encode::publish(out, subject, Some(reply), None, request.as_bytes()));
            }
            self.due.pop_front();
        }
    }

    /// Which message an answer is about; `tail` is the end of the subject it came on.
    pub(crate) fn ordinal(tail: &[u8], front: u64) -> Option<u64> {
        token::read(tail.strip_prefix(b"V")?, front).map(|(ordinal, _)| ordinal)
    }

    /// Reads the answer.
    pub(crate) fn parse(payload: &[u8]) -> Stored {
        let read = || {
            let answer: Value = serde_json::from_slice(payload).ok()?;
            let message = answer.get("message")?;
            let data = message.get("data").map_or(Some(""), Value::as_str)?;
            Some(Stored::Message {
                subject: message.get("subject")?.as_str()?.into(),
                payload: decode_base64(data.as_bytes())?,
            })
        };
        read().unwrap_or(Stored::Nothing)
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
        let answer = br#"{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{"subject":"ord.1","seq":1,"hdrs":"TkFUUy8xLjA=","data":"aGVsbG8=","time":"2026-11-23T20:41:56Z"}}"#;
        assert_eq!(ReadBack::parse(answer), Stored::Message { subject: "ord.1".into(), payload: b"hello".to_vec() });
        let empty = br#"{"message":{"subject":"ord.1","seq":1,"time":"2026-11-23T20:41:56Z"}}"#;
        assert_eq!(ReadBack::parse(empty), Stored::Message { subject: "ord.1".into(), payload: Vec::new() });
        let gone = br#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#;
        assert_eq!(ReadBack::parse(gone), Stored::Nothing);
    }
}
