//! A virtual driver: a session and the model server on virtual time, with everything that can happen between them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;

use super::draft::{Draft, Sent};
use super::fault::{Cut, Direction, Fault};
use super::server::{ConnectionId, Server};
use super::wire::{Pace, Wire};
use crate::connection::{Action, ConnectionOptions, Epoch, LinkError, ServerAddr, Transmit};
use crate::jetstream::{Message, Notice, Outcome, Payload, PublisherOptions, SubmitError};
use crate::proto::{MsgId, Subject};
use crate::rng::Entropy;
use crate::session::{LinkNotice, PublisherId, Session};
use crate::time::Instant;

/// Turns at one moment after which nothing is taken to be going on but turning.
const TURNS_AT_ONCE_MAX: u32 = 2_000_000;

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
    now: Instant,
    links: Vec<Link>,
    /// The last link that the session knew of.
    last_epoch: Option<Epoch>,
    transmit: Transmit,
    drafts: BTreeMap<PublisherId, VecDeque<Draft>>,
    faults: BTreeMap<(Instant, u32), Fault>,
    faults_made: u32,
    server_resumes: Instant,
    server_up: Instant,
    outcomes: Vec<(u64, Outcome)>,
    turns: u64,
    turns_at_once: u32,
    dials: u64,
    /// How many of `sent` have an outcome.
    settled: usize,
    trace: u64,
}

/// The most that was ever held, for the check that memory is bounded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Peaks {
    /// Bytes written for the socket and not carried off.
    pub outbox: usize,
    /// Messages in flight of one publisher.
    pub in_flight: usize,
}

#[derive(Debug)]
struct Link {
    epoch: Epoch,
    connection: Option<ConnectionId>,
    opens_at: Instant,
    up: Wire,
    down: Wire,
    /// Whether the client's end is there.
    client: bool,
    /// Whether the server's end is there.
    server: bool,
}

impl World {
    /// A world in which nothing has happened yet, not even a dial.
    pub fn new(server: Server, options: ConnectionOptions, seed: u64) -> Self {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[24..].copy_from_slice(&seed.to_le_bytes());
        Self {
            session: Session::new(options, &Entropy::new(bytes)),
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
        self.server.jetstream = true;
        self.server_resumes = self.server_resumes.min(self.now);
        self.server_up = self.server_up.min(self.now);
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

    fn act(&mut self) -> bool {
        let Some(action) = self.session.poll_action() else { return false };
        match action {
            Action::Dial { epoch, .. } => {
                self.dials += 1;
                self.transmit.clear();
                self.speak_of_the_past();
                self.last_epoch = Some(epoch);
                let cut = self.cuts.pop_front().flatten();
                let after = |direction| cut.filter(|cut| cut.direction == direction).map(|cut| cut.after);
                self.links.push(Link {
                    epoch,
                    connection: None,
                    opens_at: self.now + self.up.latency + self.down.latency,
                    up: Wire::new(self.up, after(Direction::Up), self.dials),
                    down: Wire::new(self.down, after(Direction::Down), !self.dials),
                    client: true,
                    server: true,
                });
            }
            Action::Hangup(epoch) => {
                // What the socket had taken still reaches the server.
                if let Some(link) = self.links.iter_mut().find(|link| link.epoch == epoch) {
                    link.client = false;
                }
                self.links.retain(|link| link.client || link.connection.is_some());
                self.transmit.clear();
            }
        }
        true
    }

    /// A driver may be late to learn that a socket is no longer wanted: what it tells of an earlier one is ignored.
    fn speak_of_the_past(&mut self) {
        let Some(past) = self.last_epoch.take() else { return };
        self.session.handle_connected(past, self.now);
        self.session.handle_input(past, b"-ERR 'Authorization Violation'\r\n", Instant::ZERO);
        self.session.handle_transmitted(past, 1 << 20, self.now);
        self.session.handle_disconnected(past, LinkError::Closed { hint: None }, self.now);
    }

    fn submit(&mut self) -> bool {
        for (publisher, drafts) in &mut self.drafts {
            let Some(draft) = drafts.front() else { continue };
            let payload = match draft.shared {
                true => Payload::Shared(draft.payload.clone()),
                false => Payload::Slice(&draft.payload),
            };
            let subject = Subject::new(&draft.subject).expect("a test names legal subjects");
            let message = Message::new(subject, payload).id(MsgId::new(&draft.id).expect("a test names legal ids"));
            let outcomes = match self.session.submit(*publisher, None, self.sent.len() as u64, &message, self.now) {
                Err(SubmitError::Full) => continue,
                Ok(()) => Vec::new(),
                Err(SubmitError::Rejected(rejection)) => Vec::from([Outcome::Rejected(rejection)]),
                Err(SubmitError::Closed(_)) => Vec::from([Outcome::Unknown]),
            };
            if let Some(draft) = drafts.pop_front() {
                self.settled += outcomes.len();
                self.sent.push(Sent { publisher: *publisher, draft, outcomes });
            }
            return true;
        }
        false
    }

    fn open(&mut self) -> bool {
        let now = self.now;
        let dialling = |link: &&mut Link| link.client && link.connection.is_none() && link.opens_at <= now;
        let Some(link) = self.links.iter_mut().find(dialling) else { return false };
        let epoch = link.epoch;
        if self.server_up > now {
            self.links.retain(|link| link.epoch != epoch);
            self.session.handle_disconnected(epoch, LinkError::Transport("connection refused".into()), now);
        } else {
            link.connection = Some(self.server.accept());
            self.session.handle_connected(epoch, now);
        }
        true
    }

    fn transmit(&mut self) -> bool {
        let live = |link: &&mut Link| link.client && link.connection.is_some();
        let Some(link) = self.links.iter_mut().find(live) else { return false };
        if self.transmit.is_empty() && !self.session.poll_transmit(link.epoch, &mut self.transmit, self.now) {
            return false;
        }
        let mut slices = [&[][..]; 4];
        let filled = self.transmit.slices(&mut slices);
        let mut taken = 0;
        for slice in &slices[..filled] {
            let len = slice.len().min(link.up.room());
            link.up.push(&slice[..len], self.now);
            taken += len;
        }
        if taken > 0 {
            self.transmit.advance(taken);
            self.session.handle_transmitted(link.epoch, taken, self.now);
        }
        taken > 0
    }

    fn deliver_up(&mut self) -> bool {
        if self.server_resumes > self.now {
            return false;
        }
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            let Some(connection) = link.connection else { continue };
            if link.up.is_cut() {
                self.cut(at);
                return true;
            }
            let mut moved = false;
            while let Some(bytes) = link.up.pop(self.now) {
                self.trace = mixed(self.trace, self.now, bytes.len());
                self.server.handle_input(connection, bytes, self.now);
                moved = true;
            }
            if moved {
                return true;
            }
            if !link.client && (link.up.is_empty() || link.up.blackholed) {
                self.server.handle_closed(connection);
                self.links.remove(at);
                return true;
            }
        }
        false
    }

    fn answer(&mut self) -> bool {
        let mut moved = false;
        for link in self.links.iter_mut().filter(|link| link.server) {
            let Some(connection) = link.connection else { continue };
            let mut output = Vec::new();
            link.server = self.server.take_output(connection, &mut output);
            moved |= !output.is_empty() || !link.server;
            if !output.is_empty() && link.client && !link.down.blackholed {
                link.down.push(&output, self.now);
            }
        }
        moved
    }

    fn deliver_down(&mut self) -> bool {
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            if !link.client || link.connection.is_none() {
                continue;
            }
            if link.down.is_cut() {
                self.cut(at);
                return true;
            }
            let mut moved = false;
            while let Some(bytes) = link.down.pop(self.now) {
                self.trace = mixed(self.trace, self.now, bytes.len());
                self.session.handle_input(link.epoch, bytes, self.now);
                moved = true;
            }
            if moved {
                return true;
            }
            if !link.server && link.down.is_empty() {
                self.cut(at);
                return true;
            }
        }
        false
    }

    fn time_out(&mut self) -> bool {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= self.now);
        if due(self.session.poll_timeout()) {
            self.session.handle_timeout(self.now);
            return true;
        }
        let due = due(self.server.poll_timeout()) && self.server_resumes <= self.now;
        if due {
            self.server.handle_timeout(self.now);
        }
        due
    }

    fn strike(&mut self) -> bool {
        let Some(entry) = self.faults.first_entry().filter(|entry| entry.key().0 <= self.now) else { return false };
        match entry.remove() {
            Fault::Cut => {
                if let Some(at) = self.links.iter().position(|link| link.client && link.connection.is_some()) {
                    self.cut(at);
                }
            }
            Fault::Blackhole(direction) => {
                if let Some(link) = self.links.iter_mut().find(|link| link.client && link.connection.is_some()) {
                    match direction {
                        Direction::Up => link.up.blackholed = true,
                        Direction::Down => link.down.blackholed = true,
                    }
                }
            }
            Fault::JetStream(on) => {
                let mut publishers = self.drafts.keys().filter_map(|id| self.session.publisher(*id));
                self.server.jetstream = on || !publishers.all(|publisher| publisher.stream().is_some());
            }
            Fault::Stop(time) => self.server_resumes = self.server_resumes.max(self.now + time),
            Fault::Restart(time) => {
                self.server_up = self.server_up.max(self.now + time);
                self.server.restart();
                while let Some(at) = self.links.iter().position(|link| link.connection.is_some()) {
                    self.cut(at);
                }
            }
        }
        true
    }

    /// Both ends of a link are gone, with all that was on its way.
    fn cut(&mut self, at: usize) {
        let link = self.links.remove(at);
        if let Some(connection) = link.connection {
            self.server.handle_closed(connection);
        }
        if link.client {
            self.transmit.clear();
            self.session.handle_disconnected(link.epoch, LinkError::Closed { hint: None }, self.now);
        }
    }

    /// Takes what the session has to say, and notes how much it holds.
    fn collect(&mut self) {
        while self.session.pop_woken().is_some() {}
        self.session.sleep(Waker::noop());
        self.peaks.outbox = self.peaks.outbox.max(self.session.outbox_len());
        while let Some(notice) = self.session.poll_notice() {
            self.notices.push(notice);
        }
        for id in self.drafts.keys() {
            self.session.take_outcomes(*id, &mut self.outcomes, None);
            for (tag, outcome) in self.outcomes.drain(..) {
                self.trace = mixed(self.trace, self.now, tag as usize);
                let outcomes = &mut self.sent[tag as usize].outcomes;
                self.settled += usize::from(outcomes.is_empty());
                outcomes.push(outcome);
            }
            let Some(publisher) = self.session.publisher_mut(*id) else { continue };
            self.peaks.in_flight = self.peaks.in_flight.max(publisher.in_flight());
            while let Some(notice) = publisher.poll_notice() {
                self.publisher_notices.push(notice);
            }
        }
    }
}

/// FNV-1a, over what happened and when.
fn mixed(trace: u64, now: Instant, what: usize) -> u64 {
    [now.as_micros(), what as u64].iter().fold(trace, |trace, word| (trace ^ word).wrapping_mul(0x100_0000_01b3))
}
