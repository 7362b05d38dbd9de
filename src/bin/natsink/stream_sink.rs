//! A sink that delivers into a stream, as the plan names it.

use natsink::config::{Delivery, NatsPlan, Plan, SinkPlan, Target};

/// A sink of type `nats` that waits for the acks of a stream.
#[derive(Clone, Copy)]
pub(crate) struct StreamSink<'a> {
    pub(crate) id: &'a str,
    pub(crate) stream: &'a str,
    pub(crate) nats: &'a NatsPlan,
}

impl<'a> StreamSink<'a> {
    /// The sink of `plan`, where it delivers into a stream.
    pub(crate) fn of(plan: &'a SinkPlan) -> Option<Self> {
        let Target::Nats(nats) = &plan.to else { return None };
        match &nats.delivery {
            Delivery::Ordered { stream } => Some(Self { id: &plan.id, stream, nats }),
            _ => None,
        }
    }
}

/// The sinks of `plan` that deliver into streams.
pub(crate) fn stream_sinks(plan: &Plan) -> impl Iterator<Item = StreamSink<'_>> {
    plan.sinks.iter().filter_map(StreamSink::of)
}
