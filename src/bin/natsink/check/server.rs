//! The servers of a sink: each is dialled, and one that answers is asked the rest.

use std::time::Instant;

use natsink::Client;
use natsink::config::{Delivery, NatsPlan, Plan};

use super::super::exit::Failure;
use super::super::stream_sink::StreamSink;
use super::super::{fresh_start, opening, verdict};
use super::files::Found;
use super::report::Report;
use super::{about, permission, stream};

/// Dials every server of the sink by itself: a list with one good server hides the bad ones until the day it is needed.
pub(super) async fn check(plan: &Plan, id: &str, nats: &NatsPlan, found: &Found, report: &mut Report) {
    let Some(client) = dial_all(id, nats, report).await else { return };
    let stream = match &nats.delivery {
        Delivery::Ordered { stream } => Some(StreamSink { id, stream, nats }),
        _ => {
            report.ok(about(id, "delivery"), "core NATS: at most once beyond the server's socket");
            None
        }
    };
    let is_there = match stream {
        Some(sink) => stream::check(plan, sink, &client, found.saved.as_ref(), report).await,
        None => true,
    };
    if let (true, Some(sink)) = (is_there, stream) {
        lost_checkpoint(plan, sink, &client, found, report).await;
    }
    if is_there {
        permission::check(found.saved.is_some(), id, nats, &client, report).await;
    }
    client.close();
}

/// A missing checkpoint may be a lost one.
async fn lost_checkpoint(plan: &Plan, sink: StreamSink<'_>, client: &Client, found: &Found, report: &mut Report) {
    let Some(input) = &found.input else { return };
    if plan.checkpoint.is_none() || found.saved.is_some() || plan.from_start {
        return;
    }
    match fresh_start::check(plan, sink, client, input).await {
        Ok(None) => {}
        Ok(Some(doubt)) => report.warning(about(sink.id, "checkpoint"), doubt.words, Some(doubt.line)),
        Err(failure) => report.error(about(sink.id, "checkpoint"), &failure),
    }
}

async fn dial_all(id: &str, nats: &NatsPlan, report: &mut Report) -> Option<Client> {
    let mut first = None;
    let mut failures: Vec<(String, Failure)> = Vec::new();
    for server in &nats.servers {
        let mut options = opening::connection_options(nats);
        options.servers = vec![server.clone()];
        options.retry_at_start = false;
        let began = Instant::now();
        match Client::connect(options).await {
            Ok(client) => {
                report
                    .ok(about(id, "server"), format!("{server} lets us in, after {} ms", began.elapsed().as_millis()));
                first = first.or(Some(client));
            }
            Err(reason) => failures.push((server.to_string(), verdict::of_close(&reason))),
        }
    }
    for (server, failure) in failures {
        match first {
            Some(_) => report.warning(about(id, "server"), format!("{server}: {failure}"), None),
            None => {
                let message = format!("{server}: {}", failure.message);
                report.error(about(id, "server"), &Failure { message, ..failure });
            }
        }
    }
    first
}
