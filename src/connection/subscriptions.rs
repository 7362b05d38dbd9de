//! The subscriptions of a connection: they outlive links and are made again on each.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::proto::{Pattern, SubjectBuf, encode};

/// The number of a subscription on its connection. Never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Sid(pub(crate) u64);

#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    live: BTreeMap<Sid, Subscription>,
    last: u64,
}

#[derive(Debug)]
struct Subscription {
    subject: Pattern,
    queue: Option<SubjectBuf>,
    /// Messages received since it was made, and how many of them before the present link.
    received: u64,
    received_before: u64,
    /// It ends with this many messages received.
    max: Option<u64>,
    /// The server was told to send no more; what it had sent before is still on its way.
    is_ending: bool,
}

impl Subscriptions {
    /// Adds one and gives its number; the server ignores a second SUB with a number in use, so numbers only grow.
    pub(crate) fn add(&mut self, subject: Pattern, queue: Option<SubjectBuf>) -> Sid {
        self.last += 1;
        let sid = Sid(self.last);
        let subscription =
            Subscription { subject, queue, received: 0, received_before: 0, max: None, is_ending: false };
        self.live.insert(sid, subscription);
        sid
    }

    /// Forgets one. Whether the server is still to be told.
    pub(crate) fn remove(&mut self, sid: Sid) -> bool {
        self.live.remove(&sid).is_some_and(|subscription| !subscription.is_ending)
    }

    /// Bounds the messages received in all. `false` when there are so many already, or no such subscription.
    pub(crate) fn limit(&mut self, sid: Sid, max: u64) -> bool {
        let Some(subscription) = self.live.get_mut(&sid).filter(|subscription| subscription.received < max) else {
            return false;
        };
        subscription.max = Some(max);
        true
    }

    /// Notes that the server is told to send no more. `false` when it was told before, or there is no such subscription.
    pub(crate) fn begin_end(&mut self, sid: Sid) -> bool {
        let Some(subscription) = self.live.get_mut(&sid).filter(|subscription| !subscription.is_ending) else {
            return false;
        };
        subscription.is_ending = true;
        true
    }

    /// Whether a message with this number is for a live subscription. Counts it, and forgets the subscription with its
    /// last one: the server has forgotten it then, too.
    pub(crate) fn receive(&mut self, sid: Sid) -> bool {
        let Some(subscription) = self.live.get_mut(&sid) else { return false };
        subscription.received += 1;
        if subscription.max.is_some_and(|max| subscription.received >= max) {
            self.live.remove(&sid);
        }
        true
    }

    pub(crate) fn contains(&self, sid: Sid) -> bool {
        self.live.contains_key(&sid)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Those that listen to exactly this, in this queue group.
    pub(crate) fn listening(&self, subject: &str, queue: Option<&str>) -> impl Iterator<Item = Sid> {
        self.live
            .iter()
            .filter(move |(_, known)| {
                known.subject.as_str() == subject && known.queue.as_ref().map(SubjectBuf::as_str) == queue
            })
            .map(|(sid, _)| *sid)
    }

    /// The link is gone: those that were ending are over, and the server's count of the others begins anew.
    pub(crate) fn link_lost(&mut self) {
        self.live.retain(|_, subscription| !subscription.is_ending);
        for subscription in self.live.values_mut() {
            subscription.received_before = subscription.received;
        }
    }

    pub(crate) fn encode(&self, sid: Sid, out: &mut Vec<u8>) {
        if let Some(subscription) = self.live.get(&sid) {
            encode::sub(out, &subscription.subject, subscription.queue.as_ref().map(SubjectBuf::as_subject), sid.0);
            self.encode_limit(sid, out);
        }
    }

    /// Tells the server, which counts from the SUB on, how many messages are wanted of it.
    pub(crate) fn encode_limit(&self, sid: Sid, out: &mut Vec<u8>) {
        if let Some(Subscription { max: Some(max), received_before, .. }) = self.live.get(&sid) {
            encode::unsub(out, sid.0, Some(max - received_before));
        }
    }

    pub(crate) fn encode_all(&self, out: &mut Vec<u8>) {
        for sid in self.live.keys() {
            self.encode(*sid, out);
        }
    }
}
