//! What the user may publish, found out without a message: the server refuses each of ours, and says for which reason.

use std::time::Duration;

use natsink::Client;
use natsink::config::{Delivery, NatsPlan};
use natsink::proto::{ServerError, Subject};
use natsink::session::LinkNotice;

use super::super::exit::{Code, Failure};
use super::about;
use super::report::Report;

/// A reply subject that every server keeps for itself. It looks at the subject first: where that is allowed it refuses the
/// reply, and in both cases delivers nothing.
const RESERVED_REPLY: &str = "_R_.natsink.check";
/// Stands for what events bring.
const SAMPLE: &str = "natsink-check";
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the server said to a publish.
#[derive(Debug, Eq, PartialEq)]
enum Answer {
    Allowed,
    Denied,
    /// Nothing, or something else: these words.
    Unknown(String),
}

/// Tries the subjects that a run publishes to.
pub(super) async fn check(resumes: bool, id: &str, nats: &NatsPlan, client: &Client, report: &mut Report) {
    let pattern = nats.subject.as_pattern();
    let sample = pattern.split('.').map(|token| if token == "*" { SAMPLE } else { token });
    let sample = sample.collect::<Vec<_>>().join(".");
    let topic = about(id, "permission");
    match ask(client, &sample).await {
        Answer::Allowed if nats.subject.is_literal() => report.ok(topic, format!("may publish to {pattern}")),
        Answer::Allowed => report.ok(topic, format!("may publish to {sample}, as one of {pattern}")),
        Answer::Denied if nats.subject.is_literal() => {
            let failure = Failure::new(Code::Permission, "permission", format!("may not publish to {pattern}"));
            report.error(topic, &failure.with_help(allow(&[pattern])));
        }
        Answer::Denied => {
            let message = format!("may not publish to {sample}; whether to others of {pattern} depends on the events");
            report.warning(topic, message, Some(allow(&[pattern])));
        }
        Answer::Unknown(words) => {
            report.warning(topic, format!("cannot tell whether it may publish to {sample}: {words}"), None);
        }
    }
    if let Delivery::Ordered { stream } = &nats.delivery {
        reading_back(resumes, id, nats, stream, client, report).await;
    }
}

/// What is asked of JetStream beside the look at the stream: to read back what may be there already. A run that goes on from
/// a checkpoint does so at once, any other when an outage was long.
async fn reading_back(resumes: bool, id: &str, nats: &NatsPlan, stream: &str, client: &Client, report: &mut Report) {
    let api = nats.js_api_prefix.as_str();
    let create = format!("{api}.CONSUMER.CREATE.{stream}");
    let pull = format!("{api}.CONSUMER.MSG.NEXT.{stream}");
    let read = format!("{api}.STREAM.MSG.GET.{stream}");
    let subjects = [
        (format!("{create}.{SAMPLE}"), format!("{create}.*")),
        (format!("{pull}.{SAMPLE}"), format!("{pull}.*")),
        (read.clone(), read),
    ];
    let mut denied = Vec::new();
    for (sample, pattern) in subjects {
        if ask(client, &sample).await == Answer::Denied {
            denied.push(pattern);
        }
    }
    let topic = about(id, "permission");
    if denied.is_empty() {
        return report.ok(topic, format!("may read back from stream {stream}"));
    }
    let message =
        format!("may not publish to {}: what the stream holds already cannot be read back", denied.join(", "));
    if resumes {
        report.error(topic, &Failure::new(Code::Permission, "permission", message).with_help(allow(&denied)));
    } else {
        let message = format!("{message}, as after a long outage or from a checkpoint on, and the run ends there");
        report.warning(topic, message, Some(allow(&denied)));
    }
}

/// Where permissions are given.
fn allow(subjects: &[String]) -> String {
    let quoted: Vec<_> = subjects.iter().map(|subject| format!("{subject:?}")).collect();
    format!(
        "in the server's configuration add {} to permissions.publish.allow of the user; with JWTs: nsc edit user NAME \
         --allow-pub '{}'",
        quoted.join(", "),
        subjects.join(",")
    )
}

async fn ask(client: &Client, subject: &str) -> Answer {
    let unknown = |words: &dyn std::fmt::Display| Answer::Unknown(words.to_string());
    let (subject, reply) = match (Subject::new(subject), Subject::new(RESERVED_REPLY)) {
        (Ok(subject), Ok(reply)) => (subject, reply),
        (Err(error), _) | (_, Err(error)) => return unknown(&error),
    };
    // Earlier complaints are none about this.
    client.link_notices().for_each(drop);
    if let Err(error) = client.publish(subject, Some(reply), None, b"").await {
        return unknown(&error);
    }
    if let Err(error) = client.flush(PATIENCE).await {
        return unknown(&error);
    }
    for notice in client.link_notices() {
        match notice {
            LinkNotice::ServerError(ServerError::PermissionsViolationForPublish { subject: denied })
                if denied == subject.as_str() =>
            {
                return Answer::Denied;
            }
            LinkNotice::ServerError(ServerError::PermissionsViolationForReply { .. }) => return Answer::Allowed,
            _ => {}
        }
    }
    unknown(&"the server does not say")
}
