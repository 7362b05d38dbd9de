//! The one sink that a run has in this version, as the plan names it.

use natsink::config::{Delivery, NatsPlan, Plan, Target};

/// A sink of type `nats` that delivers into a stream.
#[derive(Clone, Copy)]
pub(crate) struct TheSink<'a> {
    pub(crate) id: &'a str,
    pub(crate) stream: &'a str,
    nats: &'a NatsPlan,
}

impl std::ops::Deref for TheSink<'_> {
    type Target = NatsPlan;

    fn deref(&self) -> &NatsPlan {
        self.nats
    }
}

/// The sink of `plan`; the configuration has refused every other.
pub(crate) fn the_sink(plan: &Plan) -> TheSink<'_> {
    match plan.sinks.as_slice() {
        [only] => match &only.to {
            Target::Nats(nats) => match &nats.delivery {
                Delivery::Ordered { stream } => TheSink { id: &only.id, stream, nats },
                other => unreachable!("the delivery {other:?} is refused by the configuration"),
            },
            other => unreachable!("the target {other:?} is refused by the configuration"),
        },
        sinks => unreachable!("{} sinks are refused by the configuration", sinks.len()),
    }
}
