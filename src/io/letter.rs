//! A line of a dead-letter file: a letter, or a gap.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::prelude::v1::*;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::text::rfc3339;
use crate::proto::base64;
use crate::sink::{DeadLetter, LineHash};

/// A letter, as its line has it. Lines by other hands need `position`, `reason` and a payload; members that are not known
/// are refused, so that none is lost when a line is written anew.
///
/// ```
/// use natsink::io::Letter;
///
/// let line = r#"{"position":7,"subject":"orders.a","id":"p|in:7","reason":"too large","attempts":1,
///     "at":"2026-01-01T00:00:00.000Z","payload":"{}"}"#;
/// let letter: Letter = serde_json::from_str(line)?;
/// assert_eq!(&*letter.message()?, b"{}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// The offset of the event's first byte in its input.
    pub position: u64,
    /// The sink that could not deliver it, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// Its subject; `None` where the event could not be read so far.
    pub subject: Option<String>,
    /// Its id; `None` where the event could not be read so far.
    pub id: Option<String>,
    /// Why it was not delivered, at the last attempt.
    pub reason: String,
    /// How often it was handed to a publisher.
    #[serde(default)]
    pub attempts: u32,
    /// When it became a letter, or was tried last: RFC 3339.
    #[serde(default)]
    pub at: String,
    /// The headers of the message besides the id. `null` says that no message could be made of the event.
    #[serde(default = "no_headers", skip_serializing_if = "has_no_headers")]
    pub headers: Option<BTreeMap<String, String>>,
    /// The bytes of the event as they were read, without line feed, where they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The same where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    /// The bytes to be sent, where they are others than those that were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The same where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_base64: Option<String>,
    /// Of a line that was too long, of which the payload is the beginning only: its length, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// The SHA-256 of such a line, as hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Events that a sink which nobody waits for did not get.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The sink.
    pub sink: String,
    /// The offset of the first of them in the input.
    pub from: u64,
    /// The offset of the end of the last one.
    pub to: u64,
    /// How many there are.
    pub count: u64,
}

/// The line of a gap.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GapLine {
    /// The gap.
    pub gap: Gap,
    /// When it was found: RFC 3339.
    #[serde(default)]
    pub at: String,
}

impl Letter {
    /// The line of an event that the sink of this name, if there are several, could not deliver.
    pub fn new(letter: &DeadLetter, sink: Option<&str>, at: SystemTime) -> Self {
        let (payload, payload_base64) = text_or_base64(&letter.payload);
        let (headers, changed) = match &letter.unsent {
            Some(unsent) => (Some(unsent.headers.iter().cloned().collect()), unsent.payload.as_ref()),
            None => (None, None),
        };
        let (message, message_base64) = changed.map_or((None, None), |bytes| text_or_base64(bytes));
        Self {
            position: letter.position,
            sink: sink.map(String::from),
            subject: letter.subject.clone(),
            id: letter.id.clone(),
            reason: letter.reason.to_string(),
            attempts: letter.attempts,
            at: rfc3339(at),
            headers,
            payload,
            payload_base64,
            message,
            message_base64,
            length: letter.whole.map(|whole| whole.len),
            sha256: letter.whole.map(|whole| whole.sha256.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }

    /// The bytes to be sent.
    ///
    /// # Errors
    /// Why there are none.
    pub fn message(&self) -> Result<Cow<'_, [u8]>, &'static str> {
        if self.length.is_some() {
            return Err("the line was too long, and only its beginning is kept");
        }
        if self.headers.is_none() {
            return Err("no message could be made of the event: mend it, and let it be read again");
        }
        match (&self.message, &self.message_base64) {
            (None, None) => self.payload(),
            (text, encoded) => bytes(text, encoded),
        }
    }

    /// The bytes of the event, as far as they are kept.
    ///
    /// # Errors
    /// Why there are none.
    pub fn payload(&self) -> Result<Cow<'_, [u8]>, &'static str> {
        bytes(&self.payload, &self.payload_base64)
    }

    /// What tells a letter from others.
    pub(super) fn key(&self) -> (u64, u64) {
        let texts = [&self.sink, &self.subject, &self.id, &self.payload, &self.payload_base64];
        let mut hash = LineHash::default();
        for text in texts {
            hash.update(&[u8::from(text.is_some())]);
            hash.update(text.as_deref().unwrap_or_default().as_bytes());
            // No UTF-8 text has this byte.
            hash.update(&[0xff]);
        }
        (self.position, hash.finish())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the default of a member that may be null")]
fn no_headers() -> Option<BTreeMap<String, String>> {
    Some(BTreeMap::new())
}

fn has_no_headers(headers: &Option<BTreeMap<String, String>>) -> bool {
    headers.as_ref().is_some_and(BTreeMap::is_empty)
}

fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match core::str::from_utf8(bytes) {
        Ok(text) => (Some(text.into()), None),
        Err(_) => (None, Some(base64::encode(bytes))),
    }
}

fn bytes<'a>(text: &'a Option<String>, encoded: &Option<String>) -> Result<Cow<'a, [u8]>, &'static str> {
    match (text, encoded) {
        (Some(text), None) => Ok(text.as_bytes().into()),
        (None, Some(encoded)) => base64::decode(encoded.as_bytes()).map(Cow::Owned).ok_or("its payload is not Base64"),
        (None, None) => Err("it has no payload"),
        (Some(_), Some(_)) => Err("it has two payloads"),
    }
}
