//! The answer to a publish, read from the bytes of a PubAck.

use alloc::string::String;

use serde_json::Value;

use crate::proto::json;

/// The longest PubAck that is read, bytes. The server's are under a few hundred.
const ACK_LEN_MAX: usize = 64 << 10;
/// How much of the server's words is kept, bytes.
const DESCRIPTION_LEN_MAX: usize = 256;

/// What a PubAck says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PubAck<'a> {
    /// Stored, or already there.
    Stored { stream: Name<'a>, seq: u64, duplicate: bool },
    /// Refused.
    Refused { code: u16, err_code: u16, description: String },
}

/// A stream's name, borrowed where it stands plainly in the answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Name<'a> {
    Plain(&'a [u8]),
    Decoded(String),
}

impl Name<'_> {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Decoded(name) => name.as_bytes(),
        }
    }
}

impl<'a> PubAck<'a> {
    /// Reads a PubAck; `None` when it is none, which counts as if no answer had come.
    pub(crate) fn parse(payload: &'a [u8]) -> Option<Self> {
        Self::parse_plain(payload).or_else(|| Self::parse_any(payload))
    }

    /// The two forms that the server writes when all is well: `{"stream":"S","seq":1}`, and with `,"duplicate": true`.
    fn parse_plain(payload: &'a [u8]) -> Option<Self> {
        let rest = payload.strip_prefix(b"{\"stream\":\"")?;
        let quote = memchr::memchr2(b'"', b'\\', rest)?;
        let (stream, rest) = rest.split_at(quote);
        let rest = rest.strip_prefix(b"\",\"seq\":")?;
        let (mut seq, mut digits) = (0u64, 0);
        while let Some(digit) = rest.get(digits).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            seq = seq.checked_mul(10)?.checked_add(u64::from(digit))?;
            digits += 1;
        }
        if digits == 0 || rest[0] == b'0' {
            return None;
        }
        let rest = &rest[digits..];
        let duplicate = match rest {
            b"}" => false,
            b",\"duplicate\": true}" | b",\"duplicate\":true}" => true,
            _ => return None,
        };
        (!stream.is_empty()).then_some(Self::Stored { stream: Name::Plain(stream), seq, duplicate })
    }

    fn parse_any(payload: &[u8]) -> Option<Self> {
        if payload.len() > ACK_LEN_MAX {
            return None;
        }
        let ack = json::object(payload).ok()?;
        if let Some(error) = ack.get("error") {
            let number = |name| error.get(name).and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok());
            let description = error.get("description").and_then(Value::as_str).unwrap_or("");
            let code = number("code")?;
            return Some(Self::Refused {
                code,
                err_code: number("err_code").unwrap_or(0),
                description: capped(description),
            });
        }
        let stream = ack.get("stream")?.as_str().filter(|name| !name.is_empty())?;
        let seq = ack.get("seq")?.as_u64().filter(|seq| *seq > 0)?;
        let duplicate = match ack.get("duplicate") {
            None => false,
            Some(value) => value.as_bool()?,
        };
        Some(Self::Stored { stream: Name::Decoded(stream.into()), seq, duplicate })
    }
}

/// The server's words, cut to a bounded length and made safe to print.
pub(crate) fn capped(words: &str) -> String {
    let mut kept = String::new();
    for word in words.chars() {
        if kept.len() + word.len_utf8() > DESCRIPTION_LEN_MAX {
            break;
        }
        kept.push(if word.is_control() { ' ' } else { word });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    fn stored(name: &str, seq: u64, duplicate: bool) -> Option<(String, u64, bool)> {
        Some((name.to_string(), seq, duplicate))
    }

    fn read(payload: &[u8]) -> Option<(String, u64, bool)> {
        match PubAck::parse(payload)? {
            PubAck::Stored { stream, seq, duplicate } => {
                Some((String::from_utf8(stream.as_bytes().to_vec()).unwrap(), seq, duplicate))
            }
            PubAck::Refused { .. } => panic!("not an error"),
        }
    }

    #[test]
    fn the_servers_own_forms() {
        assert_eq!(read(br#"{"stream":"ORD","seq":1}"#), stored("ORD", 1, false));
        assert_eq!(read(br#"{"stream":"ORD","seq":1,"duplicate": true}"#), stored("ORD", 1, true));
        assert_eq!(read(br#"{"stream":"ORD","seq":7,"domain":"hub"}"#), stored("ORD", 7, false));
        assert_eq!(read(br#"{"seq":18446744073709551615,"stream":"O\u0052D"}"#), stored("ORD", u64::MAX, false));
    }

    #[test]
    fn errors_in_any_key_order() {
        let refused = PubAck::Refused { code: 400, err_code: 10071, description: "wrong last sequence: 4".into() };
        for text in [
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 4"},"stream":"ORD","seq":0}"#,
            r#"{"seq":0,"stream":"ORD","error":{"description":"wrong last sequence: 4","err_code":10071,"code":400}}"#,
        ] {
            assert_eq!(PubAck::parse(text.as_bytes()), Some(refused.clone()));
        }
    }

    #[test]
    fn garbage_is_no_answer() {
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "null",
            r#"{"stream":"S"}"#,
            r#"{"stream":"S","seq":0}"#,
            r#"{"stream":"S","seq":-1}"#,
            r#"{"stream":"S","seq":1.5}"#,
            r#"{"stream":"S","seq":"1"}"#,
            r#"{"stream":"S","seq":18446744073709551616}"#,
            r#"{"stream":"","seq":1}"#,
            r#"{"stream":"S","seq":1}x"#,
            r#"{"stream":"S","seq":1,"duplicate":"yes"}"#,
            r#"{"stream":5,"seq":1}"#,
            r#"{"error":5}"#,
            r#"{"stream":"S","seq":1,"seq":2}"#,
            r#"{"error":{"code":503,"code":400}}"#,
            r#"{"error":{"code":70000}}"#,
        ] {
            assert_eq!(PubAck::parse(text.as_bytes()), None, "{text}");
        }
        let large = format!(r#"{{"pad":"{}","stream":"S","seq":1}}"#, "x".repeat(ACK_LEN_MAX));
        assert_eq!(PubAck::parse(large.as_bytes()), None);
        let nested = "[".repeat(10_000);
        assert_eq!(PubAck::parse(nested.as_bytes()), None);
    }

    #[test]
    fn the_servers_words_are_cut_and_harmless() {
        let words = capped(&"\u{1b}[31mé".repeat(200));
        assert!(words.len() <= DESCRIPTION_LEN_MAX && !words.contains('\u{1b}'));
    }
}
