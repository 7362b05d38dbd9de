//! The run loop: events in, outcomes out.

use natsink::config::Plan;

use super::exit::{Code, Failure, Finish};
use super::receipt::Receipt;

/// Runs `plan` to the end of its input, a signal or a failure, and keeps the account of it in `receipt`.
pub(crate) fn run(_plan: &Plan, _receipt: &mut Receipt) -> Result<Finish, Failure> {
    Err(Failure::new(Code::Config, "not_in_this_version", "running a plan is not in this version"))
}
