//! The doubt about a fresh start: is the checkpoint missing although this input was already sent?

use natsink::Client;
use natsink::config::Plan;
use natsink::jetstream::StoredMessage;
use natsink::proto::Subject;
use natsink::sink::{Input, position_id_prefix};
use serde_json::json;

use super::exit::{Code, Failure};
use super::log;

/// Looks at the last message of the stream on our subjects. When its id says that this pipeline sent it from this input,
/// a missing checkpoint is a lost one: beyond the duplicate window everything would be stored twice.
///
/// Ids that name a position of the source, or come from a template, say nothing of the input.
pub(crate) async fn check(plan: &Plan, client: &Client, input: &Input) -> Result<(), Failure> {
    let sink = &plan.sink;
    let api = format!("{}.STREAM.MSG.GET.{}", sink.js_api_prefix.as_str(), sink.stream);
    let Ok(api) = Subject::new(&api) else { return Ok(()) };
    let question = json!({ "last_by_subj": sink.subject.as_pattern() }).to_string();
    let last = match client.request(api, question.as_bytes(), sink.send_timeout).await {
        Ok(answer) => StoredMessage::parse(&answer.payload),
        Err(error) => {
            log::warn(format_args!("cannot see whether this input was sent before: {error}"));
            None
        }
    };
    let prefix = position_id_prefix(&plan.pipeline, input);
    let Some(last) = last else { return Ok(()) };
    let Some(position) = last.id().and_then(|id| id.strip_prefix(&prefix)) else { return Ok(()) };
    let checkpoint = plan.checkpoint.as_deref().unwrap_or(std::path::Path::new("the checkpoint")).display();
    let message = format!(
        "{checkpoint} is missing, but the last message of stream {} (sequence {}) is the event at byte {position} of this \
         input; restore the file, or send everything again with --from-start",
        sink.stream, last.seq
    );
    Err(Failure::new(Code::Fenced, "checkpoint_missing", message))
}
