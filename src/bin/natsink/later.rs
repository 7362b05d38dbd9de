//! What a plan may ask for and this version does not do: each refusal by itself, gone when what it refuses is there.

use natsink::config::{Delivery, Plan, Target};

use super::exit::{Code, Failure};

/// Refuses what the run would not do as it is told.
pub(crate) fn refuse(plan: &Plan) -> Result<(), Failure> {
    let refuse =
        |what: &str| Err(Failure::new(Code::Config, "not_in_this_version", format!("{what} is not in this version")));
    if plan.sinks.len() > 1 {
        return refuse("a second sink");
    }
    for sink in &plan.sinks {
        if !sink.required {
            return refuse("an optional sink");
        }
        let Target::Nats(nats) = &sink.to else { return refuse("a sink of type stdout or file") };
        if nats.delivery == Delivery::Core {
            return refuse("publishing without a stream (core NATS, at most once)");
        }
    }
    Ok(())
}
