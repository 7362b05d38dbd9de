//! The model server's side of one connection: what the client has said so far, and what it is owed.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;

use serde_json::Value;

use super::violation::Violation;
use crate::proto::{Parser, ParserLimits, Pattern, Side};

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) parser: Parser,
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    pub(super) connected: bool,
    /// Whether the first PONG was sent.
    pub(super) greeted: bool,
    pub(super) closing: bool,
    subscriptions: BTreeMap<u64, Subscription>,
}

#[derive(Debug)]
struct Subscription {
    pattern: Pattern,
    queue: Option<String>,
    delivered: u64,
    max: Option<u64>,
}

impl Peer {
    pub(super) fn new(max_payload: usize) -> Self {
        // A message that is too large must be read as one, to be answered as one.
        let limits = ParserLimits { payload_max: max_payload.max(16 << 20), ..ParserLimits::default() };
        Self {
            parser: Parser::new(Side::Client, limits),
            input: Vec::new(),
            output: Vec::new(),
            connected: false,
            greeted: false,
            closing: false,
            subscriptions: BTreeMap::new(),
        }
    }

    /// Adds to what was received and lends it out; nothing once the connection is closing.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.closing {
            return None;
        }
        self.input.extend_from_slice(bytes);
        Some(mem::take(&mut self.input))
    }

    pub(super) fn is_greeted(&self) -> bool {
        self.greeted && !self.closing
    }

    pub(super) fn connect(&mut self, json: &[u8]) -> Result<(), String> {
        let first = !mem::replace(&mut self.connected, true);
        let options: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let wanted = [
            ("verbose", Value::from(false)),
            ("pedantic", Value::from(false)),
            ("headers", Value::from(true)),
            ("no_responders", Value::from(true)),
            ("protocol", Value::from(1)),
        ];
        match wanted.iter().find(|(name, value)| options.get(*name) != Some(value)) {
            Some((name, _)) => Err((*name).to_string()),
            None if !first => Err("twice".to_string()),
            None => Ok(()),
        }
    }

    pub(super) fn subscribe(&mut self, subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) -> Result<(), Violation> {
        let malformed = || Violation::Malformed(String::from_utf8_lossy(subject).into_owned());
        let text = |bytes| core::str::from_utf8(bytes).map_err(|_| malformed());
        let pattern = Pattern::new(text(subject)?).map_err(|_| malformed())?;
        let queue = queue.map(text).transpose()?.map(ToString::to_string);
        let sid = text(sid)?.parse().map_err(|_| malformed())?;
        match self.subscriptions.insert(sid, Subscription { pattern, queue, delivered: 0, max: None }) {
            None => Ok(()),
            Some(_) => Err(Violation::SidReused(sid)),
        }
    }

    /// Ends a subscription, at once or after `max` messages in all.
    pub(super) fn unsubscribe(&mut self, sid: &[u8], max: Option<u64>) {
        let Some(sid) = core::str::from_utf8(sid).ok().and_then(|sid| sid.parse().ok()) else { return };
        match self.subscriptions.get_mut(&sid) {
            Some(subscription) if max.is_some_and(|max| max > subscription.delivered) => subscription.max = max,
            _ => drop(self.subscriptions.remove(&sid)),
        }
    }

    /// Counts a message that was delivered, perhaps the last one wanted.
    pub(super) fn delivered(&mut self, sid: u64) {
        let Some(subscription) = self.subscriptions.get_mut(&sid) else { return };
        subscription.delivered += 1;
        if subscription.max.is_some_and(|max| subscription.delivered >= max) {
            self.subscriptions.remove(&sid);
        }
    }

    pub(super) fn hears(&self, subject: &str) -> bool {
        self.subscriptions.values().any(|subscription| subscription.pattern.matches(subject))
    }

    /// The subscriptions that match, with their queue groups.
    pub(super) fn matching(&self, subject: &str) -> Vec<(u64, Option<String>)> {
        let matching = self.subscriptions.iter().filter(|(_, subscription)| subscription.pattern.matches(subject));
        matching.map(|(sid, subscription)| (*sid, subscription.queue.clone())).collect()
    }
}
