//! What must hold for any configuration at all, for the fuzz target, its corpus and tests alike.

use std::collections::BTreeSet;
use std::prelude::v1::*;

use super::plan::{Delivery, Input, Plan, Target};
use super::read::Document;
use super::{BYTES_MAX, ConfigError, EVENTS_MAX, Flags, LINE_LEN_MAX, SINKS_MAX, check};
use crate::sink::CommitPolicy;

/// The longest complaint, bytes: a person shall read it. The name of one key may be long.
const COMPLAINT_LEN_MAX: usize = 64 * 1024;

/// Whatever stands in a configuration, it is either a plan that makes sense or one complaint that names the file. Panics
/// where that does not hold.
pub fn check_any(input: &[u8]) {
    let Ok(text) = core::str::from_utf8(input) else { return };
    match read(text) {
        Ok(plan) => makes_sense(&plan),
        Err(error) => {
            let told = error.to_string();
            assert!(told.starts_with("any.yaml"), "no file in {told:?}");
            assert!(!error.reason().is_empty() && told.len() <= COMPLAINT_LEN_MAX, "{} bytes", told.len());
        }
    }
}

/// What `text` means, in an environment with a few variables.
pub fn read(text: &str) -> Result<Plan, ConfigError> {
    let document = Document { path: "any.yaml".into(), text: text.into() };
    check(Some(&document), &Flags::default(), &|name| match name {
        "A" => Some("1".into()),
        "NATS_URL" => Some("nats://h".into()),
        _ => None,
    })
}

/// What the fields of a plan promise.
fn makes_sense(plan: &Plan) {
    let count = plan.sinks.len();
    assert!((1..=SINKS_MAX).contains(&count));
    let ids: BTreeSet<&str> = plan.sinks.iter().map(|sink| sink.id.as_str()).collect();
    assert_eq!(ids.len(), count, "an id twice");
    match plan.commit_policy {
        CommitPolicy::Required => {
            assert!(plan.sinks.iter().any(|sink| sink.required), "a policy that waits for nobody")
        }
        CommitPolicy::All => {}
        CommitPolicy::Quorum(quorum) => assert!(quorum.get() <= count),
    }
    let within = |number: usize, max: u64| (1..=max).contains(&(number as u64));
    assert!(within(plan.batch.events_max, EVENTS_MAX) && within(plan.in_flight.events_max, EVENTS_MAX));
    assert!(within(plan.batch.bytes_max, BYTES_MAX) && within(plan.in_flight.bytes_max, BYTES_MAX));
    assert!(within(plan.source.line_bytes_max, LINE_LEN_MAX) && !plan.batch.age_max.is_zero());
    assert!(plan.sinks.iter().filter(|sink| matches!(sink.to, Target::Stdout)).count() <= 1);
    let mut paths: Vec<_> = [&plan.checkpoint, &plan.dead_letter].into_iter().flatten().collect();
    if let Input::File { path, .. } = &plan.source.input {
        paths.push(path);
    }
    for sink in &plan.sinks {
        match &sink.to {
            Target::File { path } => paths.push(path),
            Target::Stdout => {}
            Target::Nats(nats) => {
                let times = [nats.send_timeout, nats.batch_timeout, nats.connect_timeout, nats.retry.initial];
                assert!(times.iter().all(|time| !time.is_zero()) && nats.retry.max >= nats.retry.initial);
                assert!(!nats.servers.is_empty());
                assert!(!matches!(&nats.delivery, Delivery::Ordered { stream } if stream.is_empty()));
            }
        }
    }
    let distinct: BTreeSet<_> = paths.iter().collect();
    assert_eq!(distinct.len(), paths.len(), "a file that is two things");
    if let Input::Stdin { input_id: None } = plan.source.input {
        assert_eq!(plan.checkpoint, None, "a checkpoint for an input that nobody will recognise");
    }
}
