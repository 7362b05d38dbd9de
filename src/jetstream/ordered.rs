//! The `ordered` lane: pipelined acks, and at the first anomaly stop, pause, and replay from the first unsettled.

use core::time::Duration;

use super::in_flight::{InFlight, State};
use crate::connection::{Backoff, Outbox};
use crate::time::Instant;

/// How long the front may stay unanswered once a later message of the same pass is answered. The acks of one
/// connection and stream come in the order of the publishes; only the server's error answers overtake, and by little.
const OVERTAKEN_GRACE: Duration = Duration::from_millis(250);

/// The short pauses that double; later ones are as long as the last. A message can be in process for as long as its
/// stream has no quorum.
const SOON_PAUSES_MAX: u32 = 4;

/// When and from where messages are written to the link.
///
/// A pass is one run through the window, from the first unsettled on. An anomaly ends it. The next begins with one
/// message alone, and the rest follows when that one is settled: a server that is just coming back could otherwise
/// refuse the first and store the second.
#[derive(Debug)]
pub(crate) struct Ordered {
    pass: u32,
    /// The next message to write.
    cursor: u64,
    gait: Gait,
    /// Whether the link is about to be left: nothing more is written to it.
    is_held: bool,
    /// Whether the front has been silent for too long for anything to be written behind it.
    is_stalled: bool,
    /// The server closed a link over a message before this one, and it is not known over which: up to here each is
    /// written alone, so long after the link has come up.
    careful_until: u64,
    careful_pause: Duration,
    backoff: Backoff,
    /// Whether all answers come from one stream, and so in order.
    one_stream: bool,
    /// Slow pauses since the watermark last moved.
    pauses: u32,
    /// Short ones since then, as many as double.
    soon_pauses: u32,
    /// The highest message settled in this pass.
    settled_max: Option<u64>,
    /// Since when the front is overtaken by a later answer.
    overtaken_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Gait {
    /// Nothing is written before this moment.
    Paused { until: Instant },
    /// One message is written and must be settled before others follow.
    Probing { probe: Option<u64> },
    /// As much as there is room for.
    Open,
}

/// What became of a chance to write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pumped {
    /// Messages written that had been written before.
    pub(crate) resent: u64,
    /// Whether the next message may be stored already, and its id forgotten.
    pub(crate) is_doubtful: bool,
}

/// How an anomaly is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    /// With a short pause, which doubles a few times.
    Soon,
    /// With a pause that doubles each time, up to the longest.
    Slowly,
}

impl Ordered {
    pub(crate) fn new(backoff: Backoff, one_stream: bool) -> Self {
        Self {
            pass: 0,
            cursor: 0,
            gait: Gait::Probing { probe: None },
            is_held: false,
            is_stalled: false,
            careful_until: 0,
            careful_pause: Duration::ZERO,
            backoff,
            one_stream,
            pauses: 0,
            soon_pauses: 0,
            settled_max: None,
            overtaken_since: None,
        }
    }

    /// The present pass.
    pub(crate) fn pass(&self) -> u32 {
        self.pass
    }

    /// Whether this message was written in the present pass.
    pub(crate) fn is_out(&self, ledger: &InFlight, ordinal: u64) -> bool {
        ledger.entry(ordinal).is_some_and(|entry| entry.pass == Some(self.pass))
    }

    /// Writes what may be written, up to the message `until`, but nothing again that was in doubt for longer than `trust`: then the stream may have
    /// forgotten its id.
    pub(crate) fn pump(
        &mut self,
        ledger: &mut InFlight,
        until: u64,
        outbox: &mut Outbox,
        trust: Duration,
        now: Instant,
    ) -> Pumped {
        let mut resent = 0;
        self.cursor = self.cursor.max(ledger.front());
        while self.cursor < ledger.back().min(until) && outbox.has_room() && !self.is_held && !self.is_stalled {
            if !matches!(self.gait, Gait::Open | Gait::Probing { probe: None }) {
                break;
            }
            let ordinal = self.cursor;
            let Some(entry) = ledger.entry(ordinal) else { break };
            if entry.state == State::Open {
                if entry.pass.is_some() {
                    if now.since(entry.doubtful_since) > trust {
                        return Pumped { resent, is_doubtful: true };
                    }
                    resent += 1;
                }
                ledger.send(ordinal, self.pass, outbox, now);
                if let Gait::Probing { probe } = &mut self.gait {
                    *probe = Some(ordinal);
                }
            }
            self.cursor += 1;
        }
        Pumped { resent, is_doubtful: false }
    }

    /// A message is settled; `now_front` is the first unsettled after it, `moved` whether that moved.
    pub(crate) fn settled(&mut self, ordinal: u64, ledger: &InFlight, moved: bool, now: Instant) {
        if self.gait == (Gait::Probing { probe: Some(ordinal) }) {
            self.gait = if self.is_careful(ledger) { Gait::Probing { probe: None } } else { Gait::Open };
        }
        if moved {
            self.is_stalled = false;
            (self.pauses, self.soon_pauses) = (0, 0);
            self.overtaken_since = None;
        }
        self.settled_max = self.settled_max.max(Some(ordinal));
        let front = ledger.front();
        let overtaken = self.one_stream
            && self.settled_max > Some(front)
            && self.is_out(ledger, front)
            && ledger.entry(front).is_some_and(|entry| entry.state == State::Open);
        match (overtaken, self.overtaken_since) {
            (true, None) => self.overtaken_since = Some(now),
            (false, _) => self.overtaken_since = None,
            (true, Some(_)) => {}
        }
    }

    /// The pass is over: pause, then begin again at the first unsettled.
    pub(crate) fn anomaly(&mut self, pace: Pace, front: u64, now: Instant) -> Duration {
        let pause = match pace {
            Pace::Soon => {
                self.soon_pauses = (self.soon_pauses + 1).min(SOON_PAUSES_MAX);
                self.backoff.pause(self.soon_pauses)
            }
            Pace::Slowly => {
                self.pauses = self.pauses.saturating_add(1);
                self.backoff.pause(self.pauses)
            }
        };
        self.rewind(front);
        self.gait = Gait::Paused { until: now + pause };
        pause
    }

    /// The pass is over because its link is, and that over one of the messages written in it: those that are unsettled
    /// are written again one by one, so long after the next link has come up.
    pub(crate) fn link_lost_over_one(&mut self, front: u64, pause: Duration) {
        self.careful_until = self.careful_until.max(self.cursor);
        self.careful_pause = pause;
        self.link_lost(front);
    }

    /// There is a link again.
    pub(crate) fn link_up(&mut self, ledger: &InFlight, now: Instant) {
        if self.is_careful(ledger) {
            self.gait = Gait::Paused { until: now + self.careful_pause };
        }
    }

    /// Whether messages are written one by one.
    pub(crate) fn is_careful(&self, ledger: &InFlight) -> bool {
        ledger.front() < self.careful_until
    }

    /// The messages written in this pass that are unanswered: how many, and the first of them.
    pub(crate) fn unanswered(&self, ledger: &InFlight) -> (usize, Option<u64>) {
        let is_open = |ordinal: &u64| ledger.entry(*ordinal).is_some_and(|entry| entry.state == State::Open);
        let mut out = (ledger.front()..self.cursor).filter(|at| is_open(at) && self.is_out(ledger, *at));
        let first = out.next();
        (usize::from(first.is_some()) + out.count(), first)
    }

    /// Writes nothing more until the front is settled, or the pass is over.
    pub(crate) fn stall(&mut self) {
        self.is_stalled = true;
    }

    /// Writes nothing more until there is another link.
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
    }

    /// The pass is over because its link is.
    pub(crate) fn link_lost(&mut self, front: u64) {
        self.rewind(front);
        self.is_held = false;
        self.gait = Gait::Probing { probe: None };
    }

    /// Ends a pause that is over.
    pub(crate) fn wake(&mut self, now: Instant) -> bool {
        let over = matches!(self.gait, Gait::Paused { until } if until <= now);
        if over {
            self.gait = Gait::Probing { probe: None };
        }
        over
    }

    /// Whether passes have ended since the watermark last moved.
    pub(crate) fn has_paused(&self) -> bool {
        self.pauses + self.soon_pauses > 0
    }

    pub(crate) fn is_paused(&self) -> bool {
        matches!(self.gait, Gait::Paused { .. })
    }

    /// When the pause ends, or the overtaken front is given up.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        match self.gait {
            Gait::Paused { until } => Some(until),
            Gait::Probing { .. } | Gait::Open => self.overtaken_since.map(|since| since + OVERTAKEN_GRACE),
        }
    }

    /// Whether a later message's answer has overtaken the front's for too long.
    pub(crate) fn is_overtaken(&self, now: Instant) -> bool {
        !self.is_paused() && self.overtaken_since.is_some_and(|since| since + OVERTAKEN_GRACE <= now)
    }

    fn rewind(&mut self, front: u64) {
        self.pass = self.pass.wrapping_add(1);
        self.is_stalled = false;
        self.cursor = front;
        self.settled_max = None;
        self.overtaken_since = None;
    }
}
