//! The commit policy's part of the check: it must be one that the sinks can satisfy, and that waits for something.

use std::num::NonZeroUsize;
use std::prelude::v1::*;

use super::error::ConfigError;
use super::field::Desk;
use super::limits::EVENTS_MAX;
use super::plan::SinkPlan;
use super::written::{Choice, Written};
use crate::sink::CommitPolicy;

/// Decides which sinks the checkpoint waits for.
///
/// `required` without a sink that is required would take every event for delivered the moment it is read. That is refused,
/// whether the policy was written or is the default.
pub(super) fn policy(desk: &Desk<'_>, written: &Written, sinks: &[SinkPlan]) -> Result<CommitPolicy, ConfigError> {
    let (policy, line) = match &written.commit_policy {
        None => (CommitPolicy::Required, written.sinks.first().map_or(0, |sink| sink.referenced.line())),
        Some(policy) => {
            let line = policy.referenced.line();
            (chosen(desk, &policy.value, line, sinks.len())?, line)
        }
    };
    if policy == CommitPolicy::Required && !sinks.iter().any(|sink| sink.required) {
        let reason = "the policy required, and no sink is required: the checkpoint would pass events that no sink has; give \
                      a sink required: true, or write commit_policy: all or { quorum: 1 }";
        return Err(desk.section("commit_policy", line).invalid(reason));
    }
    Ok(policy)
}

fn chosen(
    desk: &Desk<'_>,
    written: &Choice<super::written::QuorumWritten>,
    line: u64,
    sinks: usize,
) -> Result<CommitPolicy, ConfigError> {
    let section = match written {
        Choice::Word(word) => {
            let field = desk.scalar("commit_policy", line, word)?;
            return match field.text.as_str() {
                "required" => Ok(CommitPolicy::Required),
                "all" => Ok(CommitPolicy::All),
                other => {
                    Err(field.invalid(format!("unknown policy {other:?}; known are required, all and {{ quorum: 2 }}")))
                }
            };
        }
        Choice::Section(section) => section,
    };
    let Some(field) = desk.file("commit_policy.quorum", &section.quorum)? else {
        return Err(desk.missing("commit_policy.quorum", line, "missing; write { quorum: 2 }"));
    };
    match NonZeroUsize::new(field.size(1..=EVENTS_MAX)?) {
        Some(quorum) if quorum.get() <= sinks => Ok(CommitPolicy::Quorum(quorum)),
        _ => {
            let there_are = if sinks == 1 { "there is" } else { "there are" };
            Err(field.invalid(format!("a quorum of {} sinks, and {there_are} {sinks}", field.text)))
        }
    }
}
