//! The named checks: what must hold of a world, whatever happened in it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::draft::{Draft, Sent};
use super::stream::{Stored, Stream};
use super::violation::Violation;
use super::world::World;
use crate::connection::Limits;
use crate::jetstream::{Outcome, PublisherOptions};
use crate::session::PublisherId;

/// Everything that must hold at any moment: what was answered is true, nothing is there twice, nobody misbehaved.
pub fn always(world: &World) {
    acked_is_stored(world);
    once(world);
    one_outcome_at_most(world);
    nothing_before_connect(world);
    no_msg_without_sub(world);
    no_violation(world);
}

/// Everything that must hold once all is settled and nothing was in the way of `Stored` and `Duplicate`.
pub fn at_the_end(world: &World) {
    always(world);
    all_settled(world);
    order_of_first(world);
}

/// A message said to be stored is in the stream, at the sequence that was said, as it was given.
pub fn acked_is_stored(world: &World) {
    for sent in &world.sent {
        let seq = match sent.outcomes.first() {
            Some(Outcome::Stored { seq } | Outcome::Duplicate { seq, verified: true }) => *seq,
            _ => continue,
        };
        let stored = stream_of(world, sent).and_then(|stream| stream.at(seq));
        let as_given = stored.is_some_and(|stored| {
            stored.id.as_deref() == Some(sent.draft.id.as_str())
                && stored.subject == sent.draft.subject
                && stored.payload == sent.draft.payload
        });
        assert!(as_given, "acked_is_stored: {:?} is {stored:?}", sent.draft.id);
    }
}

/// No id is stored twice, however short the duplicate window and however long the outages.
pub fn once(world: &World) {
    for stream in &world.server.streams {
        let mut seen = BTreeMap::new();
        for stored in stream.stored() {
            if let Some(id) = &stored.id
                && let Some(before) = seen.insert(id, stored.seq)
            {
                panic!("once: {id} at {before} and at {}", stored.seq);
            }
        }
    }
}

/// The inversions that the stream holds are those that publishers have counted.
pub fn order_of_first(world: &World) {
    for id in publishers(world) {
        let counted = world.session.publisher(id).map_or(0, |publisher| publisher.statistics().inversions);
        assert_eq!(counted, inversions(world, id), "order_of_first: {:?}", sequences(world, id));
    }
}

/// Every message has an outcome.
pub fn all_settled(world: &World) {
    let open: Vec<&str> =
        world.sent.iter().filter(|sent| sent.outcomes.is_empty()).map(|sent| sent.draft.id.as_str()).collect();
    assert!(open.is_empty() && world.waiting() == 0, "all_settled: {open:?} are not, {} wait", world.waiting());
}

/// No message has two outcomes.
pub fn one_outcome_at_most(world: &World) {
    for Sent { draft, outcomes, .. } in &world.sent {
        assert!(outcomes.len() <= 1, "one_outcome_at_most: {} has {outcomes:?}", draft.id);
    }
}

/// Window and outbox never held more than their limits and one message.
pub fn memory_bounded(world: &World, options: &PublisherOptions, limits: &Limits, message_max: usize) {
    let peaks = world.peaks;
    assert!(peaks.in_flight <= options.in_flight_max, "memory_bounded: {peaks:?}");
    assert!(peaks.outbox <= limits.outbox_max + message_max + 4096, "memory_bounded: {peaks:?}");
}

/// Nothing was said before CONNECT.
pub fn nothing_before_connect(world: &World) {
    let early = |violation: &&Violation| matches!(violation, Violation::BeforeConnect(_));
    assert_eq!(world.server.violations().iter().find(early), None, "nothing_before_connect");
}

/// No answer was asked for where it would not be heard.
pub fn no_msg_without_sub(world: &World) {
    let unheard = |violation: &&Violation| matches!(violation, Violation::NotSubscribed(_));
    assert_eq!(world.server.violations().iter().find(unheard), None, "no_msg_without_sub");
}

/// The client did nothing that the model server minds.
pub fn no_violation(world: &World) {
    assert_eq!(world.server.violations(), [], "no_violation");
}

/// Every message of a publisher stands in the stream, once, in the order it was submitted.
pub fn stored_in_order(world: &World, publisher: PublisherId) {
    let sequences = sequences(world, publisher);
    assert!(sequences.iter().all(Option::is_some), "stored_in_order: not all are stored: {sequences:?}");
    assert!(sequences.is_sorted(), "stored_in_order: {sequences:?}");
}

/// The numbered messages below `count` are all stored, once each.
pub fn all_stored(world: &World, count: usize) {
    let ids = world.server.streams.iter().flat_map(|stream| ids(stream.stored()));
    let mut numbers: Vec<usize> = ids.filter_map(Draft::number).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..count), "all_stored: {numbers:?}");
}

/// How many messages of a publisher the stream holds before one that was submitted earlier.
pub fn inversions(world: &World, publisher: PublisherId) -> u64 {
    let mut last = 0;
    let mut inversions = 0;
    for seq in sequences(world, publisher).into_iter().flatten() {
        inversions += u64::from(seq < last);
        last = last.max(seq);
    }
    inversions
}

/// Where the messages of a publisher are stored, in the order they were submitted. Rejected ones are left out.
pub fn sequences(world: &World, publisher: PublisherId) -> Vec<Option<u64>> {
    let mut by_id = BTreeMap::new();
    for stored in world.server.streams.iter().flat_map(|stream| stream.stored()) {
        by_id.entry(stored.id.as_deref()).or_insert(stored.seq);
    }
    let of = |sent: &&Sent| sent.publisher == publisher && !matches!(sent.outcomes.first(), Some(Outcome::Rejected(_)));
    world.sent.iter().filter(of).map(|sent| by_id.get(&Some(sent.draft.id.as_str())).copied()).collect()
}

fn publishers(world: &World) -> Vec<PublisherId> {
    let mut ids: Vec<PublisherId> = world.sent.iter().map(|sent| sent.publisher).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn stream_of<'a>(world: &'a World, sent: &Sent) -> Option<&'a Stream> {
    world.server.streams.iter().find(|stream| stream.captures(&sent.draft.subject))
}

/// The ids that a stream holds, in its order.
pub fn ids(stored: &[Stored]) -> Vec<&str> {
    stored.iter().filter_map(|stored| stored.id.as_deref()).collect()
}
