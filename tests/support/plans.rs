//! Plans as tests of the configuration look at them: most have one sink, of type `nats`.

use natsink::config::{Delivery, NatsPlan, Plan, Target};

/// What a plan says of its first sink.
pub(crate) trait FirstSink {
    /// Its NATS part.
    fn nats(&self) -> NatsPlan;
    /// Its stream; empty for core NATS.
    #[allow(dead_code, reason = "not every file of tests asks")]
    fn stream(&self) -> String;
}

impl FirstSink for Plan {
    fn nats(&self) -> NatsPlan {
        match &self.sinks[0].to {
            Target::Nats(nats) => nats.as_ref().clone(),
            other => panic!("not of type nats: {other:?}"),
        }
    }

    fn stream(&self) -> String {
        match self.nats().delivery {
            Delivery::Ordered { stream } => stream,
            _ => String::new(),
        }
    }
}
