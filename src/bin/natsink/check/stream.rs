//! The stream of a sink: there, the one that it should be, and as good a keeper as its owner thinks.

use std::time::Duration;

use natsink::config::Plan;
use natsink::io::Checkpoint;
use natsink::jetstream::{PublisherOptions, StreamInfo, StreamWarning};
use natsink::proto::Subject;
use natsink::{Client, Publisher};
use serde_json::Value;
use tokio::time::timeout;

use super::super::exit::{Code, Failure};
use super::super::obstacles::Obstacles;
use super::super::outlet::Outlet;
use super::super::stream_sink::StreamSink;
use super::super::{opening, verdict};
use super::about;
use super::report::Report;

/// How long JetStream may take to tell of the stream: longer than the publisher takes to say that there is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// Percent of a limit from which on a stream that refuses what is above it is nearly full.
const NEARLY_FULL: u64 = 90;

/// Has the publisher of a run look at the stream; `true` when a run could begin.
pub(super) async fn check(
    plan: &Plan,
    sink: StreamSink<'_>,
    client: &Client,
    saved: Option<&Checkpoint>,
    report: &mut Report,
) -> bool {
    let topic = about(sink.id, "stream");
    let known = opening::known_sink(sink.id, saved);
    // Nothing is read back: nothing will be sent.
    let options = PublisherOptions { recall_after: None, ..opening::publisher_options(plan, sink, known) };
    let info = match client.publisher(options) {
        Ok(publisher) => verified(&publisher, client, sink).await,
        Err(error) => Err(Failure::new(Code::Config, "publisher", error.to_string())),
    };
    let info = match info {
        Ok(info) => info,
        Err(failure) => {
            report.error(topic, &failure);
            return false;
        }
    };
    let subjects: Vec<_> = info.subjects.iter().map(|pattern| pattern.as_str()).collect();
    let message = format!("{} captures {}, and holds {} messages", info.name, subjects.join(", "), info.messages);
    report.ok(topic.as_str(), message);
    for warning in &info.warnings {
        report.warning(topic.as_str(), format!("{}: {warning}", info.name), Some(mend(&info.name, *warning)));
    }
    if let Some(answer) = ask(client, sink).await {
        for (message, fix) in limits(sink.stream, &answer, plan.source.line_bytes_max as u64, plan.checkpoint.is_some())
        {
            report.warning(topic.as_str(), format!("{}: {message}", info.name), Some(fix));
        }
    }
    true
}

async fn verified(publisher: &Publisher, client: &Client, sink: StreamSink<'_>) -> Result<StreamInfo, Failure> {
    match timeout(PATIENCE, publisher.verified()).await {
        Ok(Ok(Some(info))) => Ok(info),
        Ok(Ok(None)) => Err(Failure::new(Code::Config, "no_stream", "no stream is named")),
        Ok(Err(error)) => Err(verdict::of_publisher(&error, sink)),
        Err(_) => {
            let mut obstacles = Obstacles::default();
            let notices: Vec<_> = client.link_notices().collect();
            obstacles.look(&notices, &Outlet::Stream(publisher.clone()));
            let told = obstacles.told().map(|told| format!(": {told}")).unwrap_or_default();
            let message = format!("no answer of JetStream within {} s{told}", PATIENCE.as_secs());
            Err(Failure::new(Code::Unavailable, "unavailable", message))
        }
    }
}

/// What mends it, or what to do where nothing does.
fn mend(stream: &str, warning: StreamWarning) -> String {
    let edit = |flags: &str| format!("nats stream edit {stream} {flags}");
    match warning {
        StreamWarning::ShortDuplicateWindow => edit("--dupe-window 2m"),
        StreamWarning::OneReplica => format!("in a cluster: {}", edit("--replicas 3")),
        StreamWarning::DiscardsOld => format!("where events must not be lost: {}", edit("--discard new")),
        StreamWarning::Removable => format!("where nobody shall, ever: {}", edit("--deny-delete --deny-purge")),
        StreamWarning::MemoryStorage => {
            "a stream stays in the storage it was made in; add another with --storage file".into()
        }
        StreamWarning::AsyncPersistence => {
            "a stream stays in the mode it was made in; add another without --persist-mode async".into()
        }
        StreamWarning::Retention => "a stream for several readers is made with --retention limits".into(),
        StreamWarning::OtherWriters => format!("see what feeds it: nats stream info {stream}"),
        _ => format!("see nats stream info {stream}"),
    }
}

/// What the publisher need not know of the stream, and its owner should.
async fn ask(client: &Client, sink: StreamSink<'_>) -> Option<Value> {
    let subject = format!("{}.STREAM.INFO.{}", sink.nats.js_api_prefix.as_str(), sink.stream);
    let answer = client.request(Subject::new(&subject).ok()?, b"", PATIENCE).await.ok()?;
    serde_json::from_slice(&answer.payload).ok()
}

/// The limits that a run may come up against, each with what mends it.
fn limits(stream: &str, answer: &Value, line_len_max: u64, reads_back: bool) -> Vec<(String, String)> {
    let (config, state) = (&answer["config"], &answer["state"]);
    let limit = |name: &str| config[name].as_u64().filter(|limit| *limit > 0);
    let edit = |flags: &str| format!("nats stream edit {stream} {flags}");
    let mut found = Vec::new();
    if config["discard"] == "new" {
        for (name, used, flag) in [("max_msgs", "messages", "--max-msgs=-1"), ("max_bytes", "bytes", "--max-bytes=-1")]
        {
            let (Some(limit), Some(used)) = (limit(name), state[used].as_u64()) else { continue };
            if used.saturating_mul(100) >= limit.saturating_mul(NEARLY_FULL) {
                let message = format!("{used} of {name} {limit} are used, and what is above it is refused");
                found.push((message, edit(flag)));
            }
        }
    }
    if let Some(limit) = limit("max_msg_size").filter(|limit| *limit < line_len_max) {
        let message = format!(
            "it takes messages of {limit} bytes at most, headers counted, and the source lines of {line_len_max}"
        );
        found.push((message, edit("--max-msg-size=-1")));
    }
    if let (true, Some(limit)) = (reads_back, limit("max_consumers"))
        && state["consumer_count"].as_u64().is_some_and(|count| count >= limit)
    {
        let message = format!("it has all {limit} consumers that it may have, and reading back needs one");
        found.push((message, format!("a stream stays with that limit; make room: nats consumer rm {stream} NAME")));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::limits;

    #[test]
    fn limits_are_told_when_a_run_may_come_up_against_them() {
        let answer = |config, state| json!({ "config": config, "state": state });
        let told = |config, state| {
            limits("S", &answer(config, state), 1000, true).into_iter().map(|(_, fix)| fix).collect::<Vec<_>>()
        };
        let full = json!({ "discard": "new", "max_msgs": 100, "max_bytes": 1000 });
        assert_eq!(told(full.clone(), json!({ "messages": 89, "bytes": 899 })), [""; 0]);
        assert_eq!(told(full.clone(), json!({ "messages": 90, "bytes": 899 })), ["nats stream edit S --max-msgs=-1"]);
        assert_eq!(told(full, json!({ "messages": 0, "bytes": u64::MAX })), ["nats stream edit S --max-bytes=-1"]);
        let old = json!({ "discard": "old", "max_msgs": 100 });
        assert_eq!(told(old, json!({ "messages": 100 })), [""; 0]);
        assert_eq!(told(json!({ "max_msg_size": 999 }), json!({})), ["nats stream edit S --max-msg-size=-1"]);
        assert_eq!(told(json!({ "max_msg_size": 1000 }), json!({})), [""; 0]);
        assert_eq!(told(json!({ "max_msg_size": -1, "max_consumers": -1 }), json!({ "consumer_count": 9 })), [""; 0]);
        let consumers = json!({ "max_consumers": 2 });
        assert_eq!(told(consumers.clone(), json!({ "consumer_count": 1 })), [""; 0]);
        assert_eq!(told(consumers, json!({ "consumer_count": 2 })).len(), 1);
    }
}
