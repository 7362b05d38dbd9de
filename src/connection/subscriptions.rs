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
}

impl Subscriptions {
    /// Adds one and gives its number; the server ignores a second SUB with a number in use, so numbers only grow.
    pub(crate) fn add(&mut self, subject: Pattern, queue: Option<SubjectBuf>) -> Sid {
        self.last += 1;
        let sid = Sid(self.last);
        self.live.insert(sid, Subscription { subject, queue });
        sid
    }

    pub(crate) fn remove(&mut self, sid: Sid) -> bool {
        self.live.remove(&sid).is_some()
    }

    pub(crate) fn contains(&self, sid: Sid) -> bool {
        self.live.contains_key(&sid)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn encode(&self, sid: Sid, out: &mut Vec<u8>) {
        if let Some(subscription) = self.live.get(&sid) {
            encode::sub(out, &subscription.subject, subscription.queue.as_ref().map(SubjectBuf::as_subject), sid.0);
        }
    }

    pub(crate) fn encode_all(&self, out: &mut Vec<u8>) {
        for sid in self.live.keys() {
            self.encode(*sid, out);
        }
    }
}
