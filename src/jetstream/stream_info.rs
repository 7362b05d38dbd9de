//! What a stream says of itself: the answer to `STREAM.INFO`, read into what a publisher must know.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde_json::Value;

use super::ack::capped;
use super::verdict::Verdict;
use crate::proto::Pattern;

/// A stream as its server describes it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// The name.
    pub name: String,
    /// When it was created, as the server writes it. Another value under the same name is another stream.
    pub created: String,
    /// The subjects it captures.
    pub subjects: Vec<Pattern>,
    /// The last sequence when it was asked; zero for a stream that never held a message.
    pub last_seq: u64,
    /// Messages it holds.
    pub messages: u64,
    /// Replicas.
    pub replicas: u64,
    /// How long it remembers ids.
    pub duplicate_window: Duration,
    /// The largest message it takes, headers and payload, bytes; `None` leaves it to the server.
    pub max_msg_size: Option<usize>,
    /// Whether it stores messages under other subjects than those they were published to.
    pub transforms: bool,
    /// What a person should know before trusting it.
    pub warnings: Vec<StreamWarning>,
}

/// What weakens a stream for a publisher that wants its messages kept, once each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StreamWarning {
    /// Ids are remembered for less than two minutes.
    ShortDuplicateWindow,
    /// Messages are gone when the server stops.
    MemoryStorage,
    /// One copy only.
    OneReplica,
    /// Acks precede the write.
    AsyncPersistence,
    /// Consumers remove messages, and with them their ids after a restart.
    Retention,
    /// Old messages make room for new ones.
    DiscardsOld,
    /// Messages can be deleted or purged.
    Removable,
    /// Other streams feed this one.
    OtherWriters,
}

/// Why a stream cannot take a publisher's messages.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StreamProblem {
    /// There is no such stream.
    NotFound {
        /// Its name.
        stream: String,
    },
    /// JetStream is not there: no answer to its API at all.
    NoJetStream {
        /// Whether the server itself lacks it; otherwise the account does.
        server: bool,
    },
    /// It is sealed.
    Sealed,
    /// It acknowledges nothing.
    NoAck,
    /// It mirrors another stream.
    Mirror,
    /// It captures other subjects.
    NotCaptured {
        /// What it was asked for.
        subject: String,
        /// What it captures.
        subjects: Vec<String>,
    },
    /// The server refused to tell, or sent nonsense.
    Refused {
        /// JetStream's error code; zero for nonsense.
        err_code: u16,
        /// The server's words.
        description: String,
    },
    /// The user may not ask, or may not receive answers.
    PermissionDenied {
        /// The server's words.
        words: String,
    },
    /// It is another stream than the one messages were stored in before.
    Recreated {
        /// When the known one was created.
        known: String,
        /// When this one was.
        found: String,
    },
    /// It ends before the last message that it acknowledged.
    Rewound {
        /// The last sequence acknowledged.
        acked: u64,
        /// Its last sequence now.
        found: u64,
    },
    /// It is gone; it was there before.
    Gone {
        /// Its name.
        stream: String,
    },
}

/// An answer to `STREAM.INFO`.
#[derive(Debug)]
pub(crate) enum InfoAnswer {
    Stream(StreamInfo),
    Problem(StreamProblem),
    /// A passing state: ask again.
    NotNow,
}

impl StreamInfo {
    /// Whether the stream captures this subject.
    pub fn captures(&self, subject: &str) -> bool {
        self.subjects.iter().any(|pattern| pattern.matches(subject))
    }

    /// Reads the answer to `STREAM.INFO` for `stream`.
    pub(crate) fn parse(stream: &str, payload: &[u8]) -> InfoAnswer {
        let nonsense = || {
            let description = "the answer to STREAM.INFO cannot be read".to_string();
            InfoAnswer::Problem(StreamProblem::Refused { err_code: 0, description })
        };
        let Ok(answer) = serde_json::from_slice::<Value>(payload) else { return nonsense() };
        if let Some(error) = answer.get("error") {
            return refusal(stream, error);
        }
        match Self::read(&answer) {
            Ok(info) => InfoAnswer::Stream(info),
            Err(Some(problem)) => InfoAnswer::Problem(problem),
            Err(None) => nonsense(),
        }
    }

    fn read(answer: &Value) -> Result<Self, Option<StreamProblem>> {
        let config = answer.get("config").ok_or(None)?;
        let state = answer.get("state").ok_or(None)?;
        let flag = |name| config.get(name).and_then(Value::as_bool).unwrap_or(false);
        if flag("sealed") {
            return Err(Some(StreamProblem::Sealed));
        }
        if flag("no_ack") {
            return Err(Some(StreamProblem::NoAck));
        }
        if config.get("mirror").is_some_and(|mirror| !mirror.is_null()) {
            return Err(Some(StreamProblem::Mirror));
        }
        let name = config.get("name").and_then(Value::as_str).ok_or(None)?.to_string();
        let subjects = config.get("subjects").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let subjects = subjects.iter().filter_map(|subject| Pattern::new(subject.as_str()?).ok()).collect();
        let number = |object: &Value, name| object.get(name).and_then(Value::as_u64).unwrap_or(0);
        let max_msg_size = config.get("max_msg_size").and_then(Value::as_u64).filter(|max| *max > 0);
        Ok(Self {
            name,
            created: answer.get("created").and_then(Value::as_str).ok_or(None)?.to_string(),
            subjects,
            last_seq: state.get("last_seq").and_then(Value::as_u64).ok_or(None)?,
            messages: number(state, "messages"),
            replicas: number(config, "num_replicas").max(1),
            duplicate_window: Duration::from_nanos(number(config, "duplicate_window")),
            max_msg_size: max_msg_size.and_then(|max| usize::try_from(max).ok()),
            transforms: config.get("subject_transform").is_some_and(|transform| !transform.is_null()),
            warnings: warnings(config),
        })
    }
}

fn refusal(stream: &str, error: &Value) -> InfoAnswer {
    let number = |name| error.get(name).and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
    match (number("err_code"), number("code")) {
        (10059, _) => InfoAnswer::Problem(StreamProblem::NotFound { stream: stream.into() }),
        // JetStream not enabled on this server; not enabled for this account.
        (10076, _) => InfoAnswer::Problem(StreamProblem::NoJetStream { server: true }),
        (10039, _) => InfoAnswer::Problem(StreamProblem::NoJetStream { server: false }),
        (err_code, code) if code == 503 || passes(code, err_code) => InfoAnswer::NotNow,
        (err_code, _) => {
            let description = capped(error.get("description").and_then(Value::as_str).unwrap_or("no reason given"));
            InfoAnswer::Problem(StreamProblem::Refused { err_code, description })
        }
    }
}

/// Whether the server may say otherwise later: no meta leader, a stream offline, too many requests.
fn passes(code: u16, err_code: u16) -> bool {
    matches!(Verdict::of(code, err_code), Verdict::RetrySoon | Verdict::RetrySlowly)
}

fn warnings(config: &Value) -> Vec<StreamWarning> {
    let flag = |name: &str| config.get(name).and_then(Value::as_bool).unwrap_or(false);
    let word = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or("");
    let number = |name: &str| config.get(name).and_then(Value::as_i64).unwrap_or(0);
    let bounded = ["max_msgs", "max_bytes", "max_msgs_per_subject"].iter().any(|name| number(name) > 0);
    let sources = config.get("sources").and_then(Value::as_array).is_some_and(|sources| !sources.is_empty());
    [
        (number("duplicate_window") < 120_000_000_000, StreamWarning::ShortDuplicateWindow),
        (word("storage") == "memory", StreamWarning::MemoryStorage),
        (number("num_replicas") <= 1, StreamWarning::OneReplica),
        (word("persist_mode") == "async", StreamWarning::AsyncPersistence),
        (!matches!(word("retention"), "" | "limits"), StreamWarning::Retention),
        (word("discard") != "new" && bounded, StreamWarning::DiscardsOld),
        (!(flag("deny_delete") && flag("deny_purge")), StreamWarning::Removable),
        (sources, StreamWarning::OtherWriters),
    ]
    .into_iter()
    .filter_map(|(holds, warning)| holds.then_some(warning))
    .collect()
}

impl fmt::Display for StreamWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ShortDuplicateWindow => {
                "its duplicate window is under 2 minutes: outages of half of that and more are followed by reading ids back"
            }
            Self::MemoryStorage => "it keeps messages in memory: a restart of the server loses them",
            Self::OneReplica => "it has one replica: a lost disk loses its messages",
            Self::AsyncPersistence => "its persist_mode is async: messages are acknowledged before they are written",
            Self::Retention => "its consumers remove messages: their ids are forgotten when the server restarts, and cannot be read back",
            Self::DiscardsOld => "it discards old messages when it is full",
            Self::Removable => "messages can be deleted or purged from it",
            Self::OtherWriters => "other streams feed it",
        })
    }
}

impl fmt::Display for StreamProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { stream } => write!(f, "stream {stream} does not exist"),
            Self::NoJetStream { server: true } => f.write_str("JetStream is not enabled on the server"),
            Self::NoJetStream { server: false } => f.write_str("JetStream is not enabled for the account"),
            Self::Sealed => f.write_str("the stream is sealed and takes no more messages"),
            Self::NoAck => f.write_str("the stream acknowledges nothing (no_ack): delivery could not be proven"),
            Self::Mirror => f.write_str("the stream is a mirror of another and takes no messages of its own"),
            Self::NotCaptured { subject, subjects } => {
                write!(f, "the stream does not capture subject {subject}; it captures {}", subjects.join(", "))
            }
            Self::Refused { err_code, description } => write!(f, "{description} ({err_code})"),
            Self::PermissionDenied { words } => f.write_str(words),
            Self::Recreated { known, found } => {
                write!(f, "the stream was recreated: the known one was created {known}, this one {found}")
            }
            Self::Rewound { acked, found } => {
                write!(f, "the stream ends at sequence {found}, but had acknowledged sequence {acked}")
            }
            Self::Gone { stream } => write!(f, "stream {stream} is gone"),
        }
    }
}

impl core::error::Error for StreamProblem {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// As nats-server 2.15.1 answered, shortened.
    const ANSWER: &str = r#"{"type":"io.nats.jetstream.api.v1.stream_info_response","config":{"name":"ORD","subjects":["ord.\u003e"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"duplicate_window":120000000000,"compression":"none","sealed":false,"deny_delete":false,"deny_purge":false},"created":"2026-11-23T20:41:56.978764065Z","state":{"messages":2,"bytes":0,"first_seq":1,"last_seq":3}}"#;

    #[test]
    fn a_stream_is_read() {
        let InfoAnswer::Stream(info) = StreamInfo::parse("ORD", ANSWER.as_bytes()) else { panic!() };
        assert_eq!((info.name.as_str(), info.last_seq, info.messages, info.replicas), ("ORD", 3, 2, 1));
        assert_eq!(info.created, "2026-11-23T20:41:56.978764065Z");
        assert!(info.captures("ord.1.2") && !info.captures("other"));
        assert_eq!(info.max_msg_size, None);
        assert_eq!(info.warnings, vec![StreamWarning::OneReplica, StreamWarning::Removable]);
    }

    #[test]
    fn what_cannot_take_messages_is_a_problem() {
        for (from, to, expected) in [
            (r#""sealed":false"#, r#""sealed":true"#, StreamProblem::Sealed),
            (r#""sealed":false"#, r#""no_ack":true"#, StreamProblem::NoAck),
            (r#""sealed":false"#, r#""mirror":{"name":"X"}"#, StreamProblem::Mirror),
        ] {
            match StreamInfo::parse("ORD", ANSWER.replace(from, to).as_bytes()) {
                InfoAnswer::Problem(problem) => assert_eq!(problem, expected),
                other => panic!("{other:?}"),
            }
        }
        let missing = br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        let InfoAnswer::Problem(StreamProblem::NotFound { stream }) = StreamInfo::parse("X", missing) else { panic!() };
        assert_eq!(stream, "X");
        let electing =
            br#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#;
        assert!(matches!(StreamInfo::parse("X", electing), InfoAnswer::NotNow));
        assert!(matches!(
            StreamInfo::parse("X", b"?"),
            InfoAnswer::Problem(StreamProblem::Refused { err_code: 0, .. })
        ));
    }
}
