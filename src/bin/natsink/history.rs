//! What a stream holds of this pipeline and input already: asked of its leader, one message at a time.

use std::time::Duration;

use natsink::Client;
use natsink::jetstream::StoredMessage;
use natsink::proto::Subject;
use serde_json::{Value, json};

use super::stream_sink::StreamSink;

/// Times a question is asked; an election or a lost link is over then.
const ATTEMPTS: u32 = 3;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(300);
/// Messages of others that are passed over in a row before those behind them are taken for unknown.
const OTHERS_MAX: u32 = 64;

/// Looks into one stream, at the messages on the subjects of one sink.
pub(crate) struct History<'a> {
    pub(crate) client: &'a Client,
    pub(crate) sink: StreamSink<'a>,
    /// What the ids begin with of events that are named by their position.
    pub(crate) prefix: String,
}

impl History<'_> {
    /// The last message there is, if there is one.
    ///
    /// # Errors
    /// Why that cannot be seen.
    pub(crate) async fn last(&self) -> Result<Option<StoredMessage>, String> {
        self.ask(&json!({ "last_by_subj": self.sink.nats.subject.as_pattern() })).await
    }

    /// The position of the event that this message is, where its id tells.
    pub(crate) fn position(&self, message: &StoredMessage) -> Option<u64> {
        message.id()?.strip_prefix(&self.prefix)?.parse().ok()
    }

    /// The position of the first event of ours at a sequence or after it, where that can be seen.
    pub(crate) async fn at(&self, seq: u64) -> Option<u64> {
        self.own_from(seq.max(1)).await.ok()?.map(|(_, position)| position)
    }

    /// A sequence up to which the stream, which ends at `last_seq`, holds no event from `position` on: as high a one as can
    /// be known, less a margin of `margin` messages that can have been stored out of their order.
    ///
    /// # Errors
    /// Why the stream cannot be searched.
    pub(crate) async fn before(&self, position: u64, last_seq: u64, margin: u64) -> Result<u64, String> {
        // Up to `low` all is known to be before; from `high` on something is at the position or after it, or unknown.
        let (mut low, mut high) = (0, last_seq + 1);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match self.own_from(middle).await? {
                Some((seq, found)) if found < position => low = seq.max(middle).min(high - 1),
                _ => high = middle,
            }
        }
        Ok(low.saturating_sub(margin))
    }

    /// The first message of ours at a sequence or after it: its sequence and position.
    async fn own_from(&self, seq: u64) -> Result<Option<(u64, u64)>, String> {
        let mut seq = seq;
        for _ in 0..OTHERS_MAX {
            let question = json!({ "seq": seq, "next_by_subj": self.sink.nats.subject.as_pattern() });
            let Some(message) = self.ask(&question).await? else { return Ok(None) };
            if let Some(position) = self.position(&message) {
                return Ok(Some((message.seq, position)));
            }
            seq = message.seq + 1;
        }
        Ok(None)
    }

    async fn ask(&self, question: &Value) -> Result<Option<StoredMessage>, String> {
        let nats = self.sink.nats;
        let api = format!("{}.STREAM.MSG.GET.{}", nats.js_api_prefix.as_str(), self.sink.stream);
        let api = Subject::new(&api).map_err(|error| error.to_string())?;
        let mut unseen = String::new();
        for _ in 0..ATTEMPTS {
            match self.client.request(api, question.to_string().as_bytes(), nats.send_timeout).await {
                Ok(answer) => match read(&answer.payload) {
                    Ok(message) => return Ok(message),
                    Err(words) => unseen = words,
                },
                Err(error) => unseen = error.to_string(),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(unseen)
    }
}

/// The message in an answer; `None` where there is none. An answer that says neither is an error: its words.
fn read(answer: &[u8]) -> Result<Option<StoredMessage>, String> {
    /// JetStream's error code for a message that is not there.
    const NO_MESSAGE: u64 = 10037;
    if let Some(message) = StoredMessage::parse(answer) {
        return Ok(Some(message));
    }
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    match answer["error"]["err_code"].as_u64() {
        Some(NO_MESSAGE) => Ok(None),
        _ => Err(answer["error"]["description"].as_str().unwrap_or("an answer that cannot be read").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn only_a_message_that_is_not_there_is_none() {
        let none = br#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#;
        assert_eq!(read(none), Ok(None));
        let electing = br#"{"error":{"code":503,"err_code":10008,"description":"temporarily unavailable"}}"#;
        assert_eq!(read(electing), Err("temporarily unavailable".into()));
        assert!(read(b"").is_err() && read(b"{}").is_err());
        let some = br#"{"message":{"subject":"a","seq":7,"data":""}}"#;
        assert_eq!(read(some).map(|message| message.map(|message| message.seq)), Ok(Some(7)));
    }
}
