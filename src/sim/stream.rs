//! A model of one stream: what it holds, which ids it remembers, and what it says of itself.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::proto::{Pattern, base64};
use crate::time::Instant;

/// A stream. It survives every connection.
#[derive(Debug)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// What it captures.
    pub subjects: Vec<Pattern>,
    /// When it was created, in the server's words.
    pub created: String,
    /// How long it remembers an id, from the first store on.
    pub duplicate_window: Duration,
    /// The largest message it takes, headers and payload.
    pub message_size_max: Option<usize>,
    /// How many messages it holds before it refuses more.
    pub messages_max: Option<usize>,
    /// Copies, as it says.
    pub replicas: u64,
    stored: Vec<Stored>,
    last_seq: u64,
    ids: BTreeMap<String, (u64, Instant)>,
}

/// A message that the stream holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// Its sequence.
    pub seq: u64,
    /// Its subject.
    pub subject: String,
    /// Its `Nats-Msg-Id`.
    pub id: Option<String>,
    /// Its payload.
    pub payload: Vec<u8>,
    /// When it was stored.
    pub at: Instant,
}

/// A message on offer.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Its subject.
    pub subject: &'a str,
    /// Its `Nats-Msg-Id`.
    pub id: Option<&'a str>,
    /// Its `Nats-Expected-Stream`.
    pub expected_stream: Option<&'a str>,
    /// Headers and payload, bytes.
    pub size: usize,
    /// Its payload.
    pub payload: &'a [u8],
}

/// An error answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The HTTP-like status.
    pub code: u16,
    /// JetStream's own code.
    pub err_code: u16,
    /// The server's words.
    pub description: &'static str,
}

impl Refusal {
    /// The stream is full and keeps what it has.
    pub const FULL: Self = Self { code: 503, err_code: 10077, description: "maximum messages exceeded" };
    /// The message is larger than the stream takes.
    pub const TOO_LARGE: Self =
        Self { code: 400, err_code: 10054, description: "message size exceeds maximum allowed" };
    /// Another stream was expected.
    pub const WRONG_STREAM: Self = Self { code: 400, err_code: 10060, description: "expected stream does not match" };
    /// A message with this id is on its way through the replicas.
    pub const IN_PROCESS: Self = Self { code: 409, err_code: 10158, description: "duplicate message id is in process" };
}

impl Stream {
    /// An empty stream.
    pub fn new(name: &str, subjects: &str) -> Self {
        Self {
            name: name.to_string(),
            subjects: vec![Pattern::new(subjects).expect("a test names legal subjects")],
            created: "2026-11-23T20:41:56.978764065Z".to_string(),
            duplicate_window: Duration::from_secs(120),
            message_size_max: None,
            messages_max: None,
            replicas: 1,
            stored: Vec::new(),
            last_seq: 0,
            ids: BTreeMap::new(),
        }
    }

    /// What it holds, oldest first.
    pub fn stored(&self) -> &[Stored] {
        &self.stored
    }

    /// The message at a sequence.
    pub fn at(&self, seq: u64) -> Option<&Stored> {
        let index = self.stored.binary_search_by_key(&seq, |stored| stored.seq).ok()?;
        self.stored.get(index)
    }

    /// The first message at a sequence or after it.
    pub fn from(&self, seq: u64) -> Option<&Stored> {
        self.stored.iter().find(|stored| stored.seq >= seq)
    }

    /// The last sequence given to a message.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Whether it captures the subject.
    pub fn captures(&self, subject: &str) -> bool {
        self.subjects.iter().any(|pattern| pattern.matches(subject))
    }

    /// The sequence of the message that has this id, while the window lasts.
    pub fn remembered(&self, id: &str, now: Instant) -> Option<u64> {
        let (seq, at) = self.ids.get(id)?;
        (now.since(*at) < self.duplicate_window).then_some(*seq)
    }

    /// Takes a message or not, and says so in the bytes of a PubAck. The checks come in the order of the real server's.
    pub fn take(&mut self, offer: &Offer<'_>, now: Instant) -> Vec<u8> {
        if offer.expected_stream.is_some_and(|expected| expected != self.name) {
            return self.refuse(Refusal::WRONG_STREAM);
        }
        if self.message_size_max.is_some_and(|max| offer.size > max) {
            return self.refuse(Refusal::TOO_LARGE);
        }
        if let Some(seq) = offer.id.and_then(|id| self.remembered(id, now)) {
            return format!(r#"{{"stream":"{}","seq":{seq},"duplicate": true}}"#, self.name).into_bytes();
        }
        if self.messages_max.is_some_and(|max| self.stored.len() >= max) {
            return self.refuse(Refusal::FULL);
        }
        let seq = self.push(offer, now);
        format!(r#"{{"stream":"{}","seq":{seq}}}"#, self.name).into_bytes()
    }

    /// Refuses a message; one that is already there is a duplicate all the same.
    pub fn refuse_new(&mut self, offer: &Offer<'_>, refusal: Refusal, now: Instant) -> Vec<u8> {
        match offer.id.and_then(|id| self.remembered(id, now)) {
            Some(_) => self.take(offer, now),
            None => self.refuse(refusal),
        }
    }

    /// Stores what nobody here sent: another writer's message, or one of an earlier run.
    pub fn store(&mut self, subject: &str, id: &str, payload: &[u8], now: Instant) -> u64 {
        self.push(&Offer { subject, id: Some(id), expected_stream: None, size: payload.len(), payload }, now)
    }

    /// Removes all messages. Sequences and ids go on.
    pub fn purge(&mut self) {
        self.stored.clear();
    }

    /// Deletes one message. Its id goes on.
    pub fn delete(&mut self, seq: u64) {
        self.stored.retain(|stored| stored.seq != seq);
    }

    /// Loses all that was stored after `seq`, as a server does whose disk was restored.
    pub fn rewind(&mut self, seq: u64) {
        self.stored.retain(|stored| stored.seq <= seq);
        self.ids.retain(|_, (of, _)| *of <= seq);
        self.last_seq = self.last_seq.min(seq);
    }

    /// The answer to `STREAM.INFO`.
    pub fn info(&self) -> Vec<u8> {
        let subjects: Vec<String> = self.subjects.iter().map(|subject| format!("{:?}", subject.as_str())).collect();
        let size_max = self.message_size_max.map_or("-1".to_string(), |max| max.to_string());
        let first_seq = self.stored.first().map_or(self.last_seq + u64::from(self.last_seq > 0), |first| first.seq);
        format!(
            concat!(
                r#"{{"type":"io.nats.jetstream.api.v1.stream_info_response","total":0,"offset":0,"limit":0,"config":"#,
                r#"{{"name":"{name}","subjects":[{subjects}],"retention":"limits","max_consumers":-1,"max_msgs":-1,"#,
                r#""max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":{size_max},"discard":"new","#,
                r#""storage":"file","num_replicas":{replicas},"duplicate_window":{window},"sealed":false,"#,
                r#""deny_delete":false,"deny_purge":false}},"created":"{created}","state":{{"messages":{messages},"#,
                r#""bytes":0,"first_seq":{first_seq},"last_seq":{last_seq},"consumer_count":0}}}}"#,
            ),
            name = self.name,
            subjects = subjects.join(","),
            size_max = size_max,
            replicas = self.replicas,
            window = self.duplicate_window.as_nanos(),
            created = self.created,
            messages = self.stored.len(),
            first_seq = first_seq,
            last_seq = self.last_seq,
        )
        .into_bytes()
    }

    /// The answer to `STREAM.MSG.GET`.
    pub fn message_answer(&self, stored: Option<&Stored>) -> Vec<u8> {
        const KIND: &str = "io.nats.jetstream.api.v1.stream_msg_get_response";
        match stored {
            None => format!(
                r#"{{"type":"{KIND}","error":{{"code":404,"err_code":10037,"description":"no message found"}}}}"#
            ),
            Some(stored) => {
                let data = match stored.payload.as_slice() {
                    [] => String::new(),
                    payload => format!(r#""data":"{}","#, base64::encode(payload)),
                };
                format!(
                    r#"{{"type":"{KIND}","message":{{"subject":{:?},"seq":{},{data}"time":"2026-11-23T20:41:57Z"}}}}"#,
                    stored.subject, stored.seq
                )
            }
        }
        .into_bytes()
    }

    fn refuse(&self, refusal: Refusal) -> Vec<u8> {
        let Refusal { code, err_code, description } = refusal;
        format!(
            r#"{{"error":{{"code":{code},"err_code":{err_code},"description":"{description}"}},"stream":"{}","seq":0}}"#,
            self.name
        )
        .into_bytes()
    }

    fn push(&mut self, offer: &Offer<'_>, now: Instant) -> u64 {
        self.last_seq += 1;
        if let Some(id) = offer.id {
            self.ids.insert(id.to_string(), (self.last_seq, now));
        }
        self.stored.push(Stored {
            seq: self.last_seq,
            subject: offer.subject.to_string(),
            id: offer.id.map(ToString::to_string),
            payload: offer.payload.to_vec(),
            at: now,
        });
        self.last_seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(stream: &mut Stream, id: &str, now: Instant) -> String {
        let offer = Offer { subject: "ord.1", id: Some(id), expected_stream: Some("ORD"), size: 40, payload: b"hello" };
        String::from_utf8(stream.take(&offer, now)).unwrap()
    }

    #[test]
    fn answers_are_the_bytes_of_the_real_server() {
        let mut stream = Stream::new("ORD", "ord.>");
        let start = Instant::ZERO;
        assert_eq!(take(&mut stream, "id-1", start), r#"{"stream":"ORD","seq":1}"#);
        assert_eq!(take(&mut stream, "id-1", start), r#"{"stream":"ORD","seq":1,"duplicate": true}"#);
        stream.messages_max = Some(1);
        assert_eq!(
            take(&mut stream, "id-2", start),
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"ORD","seq":0}"#
        );
        stream.messages_max = None;
        let later = start + stream.duplicate_window;
        assert_eq!(take(&mut stream, "id-1", later), r#"{"stream":"ORD","seq":2}"#);
        stream.name = "OTHER".to_string();
        assert!(take(&mut stream, "id-9", start).contains("10060"));
    }

    #[test]
    fn purged_ids_are_remembered_and_rewound_ones_are_not() {
        let mut stream = Stream::new("ORD", "ord.>");
        for id in ["a", "b"] {
            take(&mut stream, id, Instant::ZERO);
        }
        stream.purge();
        assert!(take(&mut stream, "b", Instant::ZERO).contains("duplicate"));
        stream.rewind(1);
        assert_eq!(take(&mut stream, "b", Instant::ZERO), r#"{"stream":"ORD","seq":2}"#);
    }
}
