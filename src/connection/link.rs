//! All that lives and dies with one socket: received bytes, owed bytes, questions open, deadlines.

use alloc::collections::VecDeque;
use alloc::string::String;

use super::inbox::Inbox;
use super::servers::Turn;
use super::{ConnectionOptions, Epoch, Outbox, ServerAddr};
use crate::proto::{Parser, ParserLimits, Side, encode};
use crate::time::Instant;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) epoch: Epoch,
    pub(crate) phase: Phase,
    pub(crate) addr: ServerAddr,
    /// The name that the server's certificate must bear.
    pub(crate) tls_name: String,
    /// Whether all that is written is written under TLS.
    pub(crate) is_secure: bool,
    /// Whether the server has said its INFO.
    pub(crate) is_greeted: bool,
    /// Whether the server has said that it will shut down.
    pub(crate) is_lame: bool,
    pub(crate) inbox: Inbox,
    pub(crate) parser: Parser,
    pub(crate) outbox: Outbox,
    /// What each PING that is still unanswered was for, oldest first, and how much was pushed when it was.
    pings: VecDeque<(Ping, u64)>,
    /// How much of what was pushed the server is known to have read.
    pub(crate) proven: u64,
    /// PINGs of the server that the outbox had no room to answer yet.
    pongs_owed: usize,
    /// Signs of life asked for since the peer last showed one.
    pings_unheard: u32,
    next_ping_at: Instant,
    /// When it is looked at next whether the socket takes what is written, and what it had taken at the last look, if
    /// something was owed then.
    next_look_at: Instant,
    owed_at: Option<u64>,
    /// The bytes of the message last given out: read by now, dropped before the next op.
    pub(crate) given_out: usize,
}

/// How far the greeting has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// The socket is not there yet.
    Dialing { deadline: Instant },
    /// The TLS handshake is under way.
    Securing { deadline: Instant },
    /// The server owes its INFO.
    AwaitInfo { deadline: Instant },
    /// The authenticator owes its answer.
    Authenticating { deadline: Instant },
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
    SignOfLife,
    /// An answer to nothing.
    Unasked,
}

impl Link {
    pub(crate) fn new(epoch: Epoch, turn: Turn, options: &ConnectionOptions, now: Instant) -> Self {
        let limits = &options.limits;
        let parser_limits = ParserLimits {
            control_line_max: limits.control_line_max,
            info_max: limits.info_max,
            payload_max: limits.payload_max,
        };
        Self {
            epoch,
            phase: Phase::Dialing { deadline: now + options.connect_timeout },
            addr: turn.addr,
            tls_name: turn.tls_name,
            is_secure: false,
            is_greeted: false,
            is_lame: false,
            inbox: Inbox::default(),
            parser: Parser::new(Side::Server, parser_limits),
            outbox: Outbox::new(limits.outbox_max),
            pings: VecDeque::new(),
            proven: 0,
            pongs_owed: 0,
            pings_unheard: 0,
            next_ping_at: now + options.ping_interval,
            next_look_at: now + options.write_timeout,
            owed_at: None,
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
        // Nothing is said before CONNECT.
        let may_speak = matches!(self.phase, Phase::AwaitPong { .. } | Phase::Up { .. });
        while may_speak && self.pongs_owed > 0 && self.outbox.has_room() {
            self.outbox.write(encode::pong);
            self.pongs_owed -= 1;
        }
    }

    /// The oldest unanswered PING is answered. A PONG that came before its PING was carried off answers nothing, and no
    /// later PING.
    pub(crate) fn take_pong(&mut self) -> Pong {
        let carried_off = self.outbox.pushed() - self.outbox.len() as u64;
        let Some(&(ping, pushed)) = self.pings.front().filter(|(_, pushed)| *pushed <= carried_off) else {
            return Pong::Unasked;
        };
        self.pings.pop_front();
        self.proven = pushed;
        match ping {
            Ping::Greeting => Pong::Greeting,
            Ping::Caller(number) => Pong::Caller(number),
            Ping::SignOfLife => Pong::SignOfLife,
        }
    }

    pub(crate) fn heard(&mut self, options: &ConnectionOptions, now: Instant) {
        self.pings_unheard = 0;
        self.next_ping_at = now + options.ping_interval;
    }

    /// Whether the peer is not being asked for a sign of life.
    pub(crate) fn is_heard(&self) -> bool {
        self.pings_unheard == 0
    }

    pub(crate) fn timeout(&self) -> Instant {
        match self.phase {
            Phase::Dialing { deadline }
            | Phase::Securing { deadline }
            | Phase::AwaitInfo { deadline }
            | Phase::Authenticating { deadline }
            | Phase::AwaitPong { deadline } => deadline,
            Phase::Up { .. } => self.next_ping_at.min(self.next_look_at),
        }
    }

    /// Looks whether the socket takes what is written. `false` when it took nothing since the last look, though
    /// something was owed all the time.
    pub(crate) fn is_taken(&mut self, options: &ConnectionOptions, now: Instant) -> bool {
        if self.next_look_at > now {
            return true;
        }
        self.next_look_at = now + options.write_timeout;
        let taken = self.outbox.transmitted();
        let owed_at = (self.outbox.pushed() > taken).then_some(taken);
        let is_stalled = owed_at.is_some() && owed_at == self.owed_at;
        self.owed_at = owed_at;
        !is_stalled
    }

    /// Asks for a sign of life, if it is time to. `false` when `pings_max` were asked for in vain.
    pub(crate) fn ask_sign_of_life(&mut self, pings_max: u32, options: &ConnectionOptions, now: Instant) -> bool {
        if self.next_ping_at > now {
            return true;
        }
        if self.pings_unheard >= pings_max {
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
        self.pings.push_back((ping, self.outbox.pushed()));
    }
}
