//! All that lives and dies with one socket: received bytes, owed bytes, questions open, deadlines.

use alloc::collections::VecDeque;

use super::inbox::Inbox;
use super::{ConnectionOptions, Epoch, Outbox, ServerAddr};
use crate::proto::{Parser, ParserLimits, Side, encode};
use crate::time::Instant;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) epoch: Epoch,
    pub(crate) phase: Phase,
    pub(crate) addr: ServerAddr,
    pub(crate) inbox: Inbox,
    pub(crate) parser: Parser,
    pub(crate) outbox: Outbox,
    /// What each PING that is still unanswered was for, oldest first.
    pings: VecDeque<Ping>,
    /// PINGs of the server that the outbox had no room to answer yet.
    pongs_owed: usize,
    /// Signs of life asked for since the peer last showed one.
    pings_unheard: u32,
    next_ping_at: Instant,
    /// The bytes of the message last given out: read by now, dropped before the next op.
    pub(crate) given_out: usize,
}

/// How far the greeting has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// The socket is not there yet.
    Dialing { deadline: Instant },
    /// The server owes its INFO.
    AwaitInfo { deadline: Instant },
    /// CONNECT and PING are sent; the server owes its PONG.
    AwaitPong { deadline: Instant },
    /// Both sides talk.
    Up { since: Instant },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ping {
    Greeting,
    SignOfLife,
    Caller(u64),
}

/// What a PONG meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pong {
    Greeting,
    Caller(u64),
    /// A sign of life, or an answer to nothing.
    Other,
}

impl Link {
    pub(crate) fn new(epoch: Epoch, addr: ServerAddr, options: &ConnectionOptions, now: Instant) -> Self {
        let limits = &options.limits;
        let parser_limits = ParserLimits {
            control_line_max: limits.control_line_max,
            info_max: limits.info_max,
            payload_max: limits.payload_max,
        };
        Self {
            epoch,
            phase: Phase::Dialing { deadline: now + options.connect_timeout },
            addr,
            inbox: Inbox::default(),
            parser: Parser::new(Side::Server, parser_limits),
            outbox: Outbox::new(limits.outbox_max),
            pings: VecDeque::new(),
            pongs_owed: 0,
            pings_unheard: 0,
            next_ping_at: now + options.ping_interval,
            given_out: 0,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }

    pub(crate) fn ping_greeting(&mut self) {
        self.ping(Ping::Greeting);
    }

    pub(crate) fn ping_caller(&mut self, number: u64, pings_max: usize) -> bool {
        let fits = self.pings.len() < pings_max;
        if fits {
            self.ping(Ping::Caller(number));
        }
        fits
    }

    /// Answers a PING, or remembers that it must be answered: a flood does not grow the outbox.
    pub(crate) fn pong(&mut self, pongs_max: usize) {
        self.pongs_owed = (self.pongs_owed + 1).min(pongs_max);
        self.pay_pongs();
    }

    pub(crate) fn pay_pongs(&mut self) {
        while self.pongs_owed > 0 && self.outbox.has_room() {
            self.outbox.write(encode::pong);
            self.pongs_owed -= 1;
        }
    }

    /// The oldest unanswered PING is answered. A PONG to no PING answers no later one.
    pub(crate) fn take_pong(&mut self) -> Pong {
        match self.pings.pop_front() {
            Some(Ping::Greeting) => Pong::Greeting,
            Some(Ping::Caller(number)) => Pong::Caller(number),
            Some(Ping::SignOfLife) | None => Pong::Other,
        }
    }

    pub(crate) fn heard(&mut self, options: &ConnectionOptions, now: Instant) {
        self.pings_unheard = 0;
        self.next_ping_at = now + options.ping_interval;
    }

    pub(crate) fn timeout(&self) -> Instant {
        match self.phase {
            Phase::Dialing { deadline } | Phase::AwaitInfo { deadline } | Phase::AwaitPong { deadline } => deadline,
            Phase::Up { .. } => self.next_ping_at,
        }
    }

    /// Asks for a sign of life. `false` when enough were asked for in vain.
    pub(crate) fn ask_sign_of_life(&mut self, options: &ConnectionOptions, now: Instant) -> bool {
        if self.pings_unheard >= options.pings_out_max {
            return false;
        }
        self.pings_unheard += 1;
        self.next_ping_at = now + options.ping_interval;
        // One PING in the outbox is enough for a peer that does not read; callers' own PINGs count as well.
        if self.pings.len() < options.limits.pings_max {
            self.ping(Ping::SignOfLife);
        }
        true
    }

    fn ping(&mut self, ping: Ping) {
        self.outbox.write(encode::ping);
        self.pings.push_back(ping);
    }
}
