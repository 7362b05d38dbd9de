//! The doubt about a fresh start: is the checkpoint missing although this input was already sent?

use std::time::Duration;

use natsink::Client;
use natsink::config::Plan;
use natsink::jetstream::StoredMessage;
use natsink::proto::Subject;
use natsink::sink::{Input, position_id_prefix};
use serde_json::{Value, json};

use super::exit::{Code, Failure};
use super::log;
use super::stream_sink::the_sink;

/// Times it is asked; an election or a lost link is over then.
const ATTEMPTS: u32 = 3;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(300);

/// Looks at the last message of the stream on our subjects. When its id says that this pipeline sent it from this input,
/// a missing checkpoint is a lost one: beyond the duplicate window everything would be stored twice.
///
/// Ids that name a position of the source, or come from a template, say nothing of the input.
pub(crate) async fn check(plan: &Plan, client: &Client, input: &Input) -> Result<(), Failure> {
    let sink = the_sink(plan);
    let prefix = position_id_prefix(&plan.pipeline, input);
    let Some(last) = last_message(plan, client).await else { return Ok(()) };
    let Some(position) = last.id().and_then(|id| id.strip_prefix(&prefix)) else { return Ok(()) };
    let checkpoint = plan.checkpoint.as_deref().unwrap_or(std::path::Path::new("the checkpoint")).display();
    let message = format!(
        "{checkpoint} is missing, but the last message of stream {} (sequence {}) is the event at byte {position} of this \
         input; restore the file, or send everything again with --from-start",
        sink.stream, last.seq
    );
    Err(Failure::new(Code::Fenced, "checkpoint_missing", message))
}

/// The last message of the stream on our subjects, if there is one and it can be seen.
async fn last_message(plan: &Plan, client: &Client) -> Option<StoredMessage> {
    let sink = the_sink(plan);
    let api = format!("{}.STREAM.MSG.GET.{}", sink.nats.js_api_prefix.as_str(), sink.stream);
    let api = Subject::new(&api).ok()?;
    let question = json!({ "last_by_subj": sink.nats.subject.as_pattern() }).to_string();
    let mut unseen = String::new();
    for _ in 0..ATTEMPTS {
        match client.request(api, question.as_bytes(), sink.nats.send_timeout).await {
            Ok(answer) => match read(&answer.payload) {
                Ok(last) => return last,
                Err(words) => unseen = words,
            },
            Err(error) => unseen = error.to_string(),
        }
        tokio::time::sleep(PAUSE).await;
    }
    log::warn(format_args!("cannot see whether this input was sent before: {unseen}"));
    None
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
