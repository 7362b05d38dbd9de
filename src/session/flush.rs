//! What is asked of the present link, and who waits for the answers: a PING behind all that was written proves, by its
//! PONG, that the server has read it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;
use core::time::Duration;

use crate::connection::{CloseReason, LinkError, Sid};
use crate::time::Instant;

/// Names a flush of a session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FlushId(pub(super) u64);

/// Why it is not known whether the server has read all.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FlushError {
    /// There is no link: nothing is on its way.
    NoLink,
    /// The link was lost before the answer. What was on its way may be lost.
    LinkLost(LinkError),
    /// The server has not answered in time. It may still read all.
    NoAnswer,
    /// The connection is over.
    Closed(CloseReason),
}

/// The questions of a session to the present link, and who waits for the answers.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    pub(super) made: u64,
    pub(super) open: BTreeMap<FlushId, Flush>,
    /// Subscriptions that end with the answer to this PING.
    pub(super) ending: Vec<(Sid, Asked)>,
    /// PINGs unanswered, oldest first.
    pub(super) pings: VecDeque<Ping>,
    pub(super) pings_made: u64,
    /// Somebody waits for a PING that could not be sent.
    pub(super) has_unasked: bool,
    /// Where the last message to core NATS ends that is not known to be read.
    pub(super) unproven: Option<u64>,
    /// Where each message to core NATS ends that the socket has not taken.
    pub(super) unsent: VecDeque<u64>,
    /// How often a link was lost with messages to core NATS that were not known to be read, and why the last time.
    pub(super) losses: u64,
    pub(super) last_loss: Option<LinkError>,
}

/// What goes with a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Loss {
    /// Messages to core NATS that had not left.
    pub(super) unsent: u64,
    /// Whether anything to or from core NATS may be lost.
    pub(super) is_possible: bool,
}

/// The PING that was sent for somebody; none yet where there were too many.
pub(super) type Asked = Option<u64>;

#[derive(Debug)]
pub(super) struct Flush {
    pub(super) state: FlushState,
    pub(super) reader: Option<Waker>,
}

#[derive(Debug)]
pub(super) enum FlushState {
    Open(Asked),
    Over(Result<Duration, FlushError>),
}

#[derive(Debug)]
pub(super) struct Ping {
    pub(super) number: u64,
    /// How much was pushed with it.
    pub(super) pushed: u64,
    pub(super) asked_at: Instant,
    pub(super) left_at: Option<Instant>,
}

impl Flushes {
    /// This PING was sent for all who could not ask yet.
    pub(super) fn asked(&mut self, number: u64) {
        self.has_unasked = false;
        let flushes = self.open.values_mut().filter_map(|flush| match &mut flush.state {
            FlushState::Open(asked) => Some(asked),
            FlushState::Over(_) => None,
        });
        for asked in flushes.chain(self.ending.iter_mut().map(|(_, asked)| asked)) {
            asked.get_or_insert(number);
        }
    }
}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLink => f.write_str("there is no connection to flush"),
            Self::LinkLost(cause) => write!(f, "the connection was lost before the server had answered: {cause}"),
            Self::NoAnswer => f.write_str("the server has not answered in time"),
            Self::Closed(reason) => write!(f, "{reason}"),
        }
    }
}

impl core::error::Error for FlushError {}
