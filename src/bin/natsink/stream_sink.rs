//! A sink that delivers into a stream, as the plan names it.

use natsink::config::{Delivery, NatsPlan, Plan, Target};

/// A sink of type `nats` that waits for the acks of a stream.
#[derive(Clone, Copy)]
pub(crate) struct StreamSink<'a> {
    pub(crate) id: &'a str,
    pub(crate) stream: &'a str,
    pub(crate) nats: &'a NatsPlan,
}

/// The sinks of `plan` that deliver into streams.
pub(crate) fn stream_sinks(plan: &Plan) -> impl Iterator<Item = StreamSink<'_>> {
    plan.sinks.iter().filter_map(|sink| match &sink.to {
        Target::Nats(nats) => match &nats.delivery {
            Delivery::Ordered { stream } => Some(StreamSink { id: &sink.id, stream, nats }),
            _ => None,
        },
        _ => None,
    })
}

/// The one sink of a run in this version.
pub(crate) fn the_sink(plan: &Plan) -> StreamSink<'_> {
    stream_sinks(plan).next().expect("plans with other sinks are refused before they are run")
}
