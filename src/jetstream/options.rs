//! What a publisher is told once.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::connection::Backoff;
use crate::proto::Pattern;

/// What a publisher is told once.
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// The stream that all messages must go to. It is looked up on every link before anything is written, and named
    /// in every message; `None` publishes to whatever stream captures each subject, unchecked.
    pub stream: Option<String>,
    /// Where JetStream's API is: `$JS.API`, or another for a domain or an imported account.
    pub api_prefix: String,
    /// Subjects that the stream must capture, `*` where any token may stand.
    pub subjects: Vec<Pattern>,
    /// When the stream was created, where that is known from before. Another value is another stream.
    pub created: Option<String>,
    /// The highest sequence the stream is known to have acknowledged.
    pub acked_seq: u64,
    /// The sequence after which the stream can hold messages of an earlier run that will be submitted again. Before the first
    /// message is written, the ids after it are read back; a message whose id is among them is not sent, but compared with
    /// the stored one, and is a duplicate. `None` for a run that goes on from none. Needs `stream`.
    pub recall_after: Option<u64>,
    /// What the ids of such messages begin with: others are not kept while reading back. Empty keeps all.
    pub recall_prefix: String,
    /// Messages in flight.
    pub in_flight_max: usize,
    /// Headers and payloads in flight, bytes. A larger message is admitted alone.
    pub in_flight_bytes_max: usize,
    /// Silence of the first unsettled message after which it is taken for lost, and sent again. It counts only once the
    /// server is known, by a PONG, to have read the message: while it is on its way it is not lost.
    pub send_timeout: Duration,
    /// Silence of the whole window after which the link is taken for dead. Each link in a row that ends so is given twice
    /// the time of the last, up to eight times: it may be too slow for the message.
    pub batch_timeout: Duration,
    /// How long the first unsettled message may stay so before the publisher gives up, the time in which ids are read back
    /// aside; `None` is for ever.
    pub max_elapsed: Option<Duration>,
    /// The pause after an anomaly.
    pub backoff: Backoff,
    /// Whether a duplicate answer to a message's first sending is checked against the stored message.
    pub check_duplicates: bool,
}

impl PublisherOptions {
    /// The defaults, for messages that all go to this stream.
    pub fn stream(name: impl Into<String>) -> Self {
        Self { stream: Some(name.into()), ..Self::default() }
    }
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self {
            stream: None,
            api_prefix: "$JS.API".into(),
            subjects: Vec::new(),
            created: None,
            acked_seq: 0,
            recall_after: None,
            recall_prefix: String::new(),
            in_flight_max: 4096,
            in_flight_bytes_max: 4 << 20,
            send_timeout: Duration::from_secs(5),
            batch_timeout: Duration::from_secs(30),
            max_elapsed: None,
            backoff: Backoff::default(),
            check_duplicates: true,
        }
    }
}
