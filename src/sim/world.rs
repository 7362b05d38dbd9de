//! A virtual driver: a session and the model server on virtual time, with everything that can happen between them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::draft::{Draft, Sent};
use super::fault::{Cut, Fault};
use super::link::Link;
use super::server::Server;
use super::wire::Pace;
use crate::connection::{ConnectionOptions, Epoch, ServerAddr, Transmit};
use crate::jetstream::{Notice, Outcome, PublisherOptions};
use crate::rng::Entropy;
use crate::session::{LinkNotice, PublisherId, Session};
use crate::time::Instant;

/// Turns at one moment after which nothing is taken to be going on but turning.
const TURNS_AT_ONCE_MAX: u32 = 2_000_000;
/// How long a publisher writes on behind a message that has no answer: the send timeout of these worlds, and a little.
const UNHEARD_MAX: Duration = Duration::from_secs(6);

/// Everything there is, and its clock.
#[derive(Debug)]
pub struct World {
    /// The machine under test.
    pub session: Session,
    /// Its server.
    pub server: Server,
    /// How bytes travel to the server on links that begin from now on.
    pub up: Pace,
    /// How bytes travel back.
    pub down: Pace,
    /// Where the next links are cut, one entry for each; later links are not.
    pub cuts: VecDeque<Option<Cut>>,
    /// What every message so far has come to, in the order of submission.
    pub sent: Vec<Sent>,
    /// What the session told of its link.
    pub notices: Vec<LinkNotice>,
    /// What publishers told.
    pub publisher_notices: Vec<Notice>,
    /// The most that was ever held.
    pub peaks: Peaks,
    pub(super) now: Instant,
    pub(super) links: Vec<Link>,
    /// The last link that the session knew of.
    pub(super) last_epoch: Option<Epoch>,
    pub(super) transmit: Transmit,
    pub(super) drafts: BTreeMap<PublisherId, VecDeque<Draft>>,
    pub(super) faults: BTreeMap<(Instant, u32), Fault>,
    pub(super) faults_made: u32,
    pub(super) server_resumes: Instant,
    pub(super) server_up: Instant,
    pub(super) outcomes: Vec<(u64, Outcome)>,
    pub(super) turns: u64,
    pub(super) turns_at_once: u32,
    pub(super) dials: u64,
    /// How many of `sent` have an outcome.
    pub(super) settled: usize,
    pub(super) trace: u64,
}

/// The most that was ever held, for the check that memory is bounded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Peaks {
    /// Bytes written for the socket and not carried off.
    pub outbox: usize,
    /// Messages in flight of one publisher.
    pub in_flight: usize,
}

impl World {
    /// A world in which nothing has happened yet, not even a dial.
    pub fn new(server: Server, options: ConnectionOptions, seed: u64) -> Self {
        Self {
            session: Session::new(options, &entropy(seed)),
            server,
            up: Pace::default(),
            down: Pace::default(),
            cuts: VecDeque::new(),
            sent: Vec::new(),
            notices: Vec::new(),
            publisher_notices: Vec::new(),
            peaks: Peaks::default(),
            now: Instant::ZERO,
            links: Vec::new(),
            last_epoch: None,
            transmit: Transmit::new(),
            drafts: BTreeMap::new(),
            faults: BTreeMap::new(),
            faults_made: 0,
            server_resumes: Instant::ZERO,
            server_up: Instant::ZERO,
            outcomes: Vec::new(),
            turns: 0,
            turns_at_once: 0,
            dials: 0,
            settled: 0,
            trace: seed,
        }
    }

    /// Options for a connection to the one server there is. An outage at the start is no reason to give up.
    pub fn connection_options() -> ConnectionOptions {
        let addr = ServerAddr { host: "model".into(), port: 4222, tls: false };
        ConnectionOptions { retry_at_start: true, ..ConnectionOptions::new(Vec::from([addr])) }
    }

    /// Adds a publisher.
    pub fn add_publisher(&mut self, options: PublisherOptions) -> PublisherId {
        let id = self.session.add_publisher(options, self.now).expect("the session is open");
        self.drafts.insert(id, VecDeque::new());
        id
    }

    /// The process of the client dies, and another begins: with a new session, and nothing submitted yet. What the server
    /// has, it keeps.
    pub fn restart_client(&mut self, options: ConnectionOptions, seed: u64) {
        while let Some(link) = self.links.pop() {
            if let Some(connection) = link.connection {
                self.server.handle_closed(connection);
            }
        }
        self.session = Session::new(options, &entropy(seed));
        self.transmit.clear();
        self.last_epoch = None;
        self.drafts.clear();
        self.outcomes.clear();
        self.sent.clear();
        self.settled = 0;
    }

    /// Leaves a message with a publisher, to be submitted as soon as its window has room.
    pub fn enqueue(&mut self, publisher: PublisherId, draft: Draft) {
        self.drafts.entry(publisher).or_default().push_back(draft);
    }

    /// Lets something happen after a while.
    pub fn fault(&mut self, after: Duration, fault: Fault) {
        self.faults_made += 1;
        self.faults.insert((self.now + after, self.faults_made), fault);
    }

    /// Calls off what has not happened yet, and lets a stopped or dead server be there again.
    pub fn calm(&mut self) {
        self.faults.clear();
        self.cuts.clear();
        self.switch_jetstream(true);
        self.server_resumes = self.server_resumes.min(self.now);
        self.server_up = self.server_up.min(self.now);
    }

    /// JetStream goes, or comes back. When it comes back while something is on its way, one message can be refused and the one
    /// behind it be stored; also when the refusal was swallowed, for as long as a publisher goes on without an answer.
    pub(super) fn switch_jetstream(&mut self, on: bool) {
        let mut wires = self.links.iter().flat_map(|link| [&link.up, &link.down]);
        let is_on_its_way = wires.any(|wire| !wire.is_empty()) || self.session.outbox_len() > 0;
        let is_unheard = self.links.iter().any(|link| link.down.blackholed)
            && self.server.refused_at.is_some_and(|at| self.now.since(at) < UNHEARD_MAX);
        if on && !self.server.jetstream && (is_on_its_way || is_unheard) {
            self.server.handle_adverse();
        }
        self.server.jetstream = on;
    }

    /// The world's time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How often the client has dialled.
    pub fn dials(&self) -> u64 {
        self.dials
    }

    /// Turns of the driver so far.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// A number that depends on everything that has happened, and when.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// Messages not yet submitted.
    pub fn waiting(&self) -> usize {
        self.drafts.values().map(VecDeque::len).sum()
    }

    /// Whether every message was submitted and has an outcome.
    pub fn is_settled(&self) -> bool {
        self.waiting() == 0 && self.settled == self.sent.len()
    }

    /// Runs until every message has its outcome, or so much time has passed. Whether it came to that.
    pub fn settle(&mut self, within: Duration) -> bool {
        self.run_until(within, Self::is_settled)
    }

    /// Runs until `done`, or so much time has passed. Whether it came to that.
    pub fn run_until(&mut self, within: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let deadline = self.now + within;
        loop {
            while self.turn() {}
            if done(self) {
                return true;
            }
            match self.next_at() {
                Some(at) if at <= deadline => self.advance(at),
                _ => {
                    self.advance(deadline);
                    return false;
                }
            }
        }
    }

    /// Runs for so much time.
    pub fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Does what is to be done at this moment, one thing at a time. `false` when there is nothing.
    fn turn(&mut self) -> bool {
        self.turns += 1;
        self.turns_at_once += 1;
        assert!(self.turns_at_once < TURNS_AT_ONCE_MAX, "livelock: {self:?}");
        let moved = self.act()
            || self.submit()
            || self.open()
            || self.transmit()
            || self.deliver_up()
            || self.answer()
            || self.deliver_down()
            || self.time_out()
            || self.strike();
        self.collect();
        moved
    }

    fn advance(&mut self, at: Instant) {
        if at > self.now {
            self.now = at;
            self.turns_at_once = 0;
        }
    }

    fn next_at(&self) -> Option<Instant> {
        let running = |at: Instant| at.max(self.server_resumes);
        let links = self.links.iter().flat_map(|link| {
            let opening = (link.client && link.connection.is_none()).then_some(link.opens_at);
            let up = link.up.next_at().filter(|_| link.connection.is_some()).map(running);
            let down = link.down.next_at().filter(|_| link.client);
            [opening, up, down]
        });
        let others = [
            self.session.poll_timeout(),
            self.server.poll_timeout().map(running),
            self.faults.keys().next().map(|(at, _)| *at),
        ];
        links.chain(others).flatten().min()
    }
}

fn entropy(seed: u64) -> Entropy {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[24..].copy_from_slice(&seed.to_le_bytes());
    Entropy::new(bytes)
}
