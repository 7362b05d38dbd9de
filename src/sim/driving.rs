//! What the virtual driver does at one moment: what the session wishes, what the wires deliver, what goes wrong.

use alloc::vec::Vec;
use core::task::Waker;

use super::draft::Sent;
use super::fault::{Direction, Fault};
use super::link::Link;
use super::wire::Wire;
use super::world::World;
use crate::connection::{Action, Challenge, LinkError, TlsError};
use crate::jetstream::{Message, Outcome, Payload, SubmitError};
use crate::proto::{MsgId, Subject};
use crate::time::Instant;

impl World {
    pub(super) fn act(&mut self) -> bool {
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
            Action::StartTls { epoch, .. } => {
                let cause = LinkError::Tls(TlsError::NotBuilt);
                self.session.handle_disconnected(epoch, cause, self.now);
            }
            Action::Authenticate { epoch, nonce, is_secure } => {
                let asked = self.session.authenticator().zip(self.session.server().cloned());
                if let Some((authenticator, server)) = asked {
                    let answer = authenticator.answer(&Challenge::new(nonce.as_deref(), &server, is_secure));
                    self.session.handle_credentials(epoch, answer, self.now);
                }
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

    pub(super) fn submit(&mut self) -> bool {
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

    pub(super) fn open(&mut self) -> bool {
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

    pub(super) fn transmit(&mut self) -> bool {
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

    pub(super) fn deliver_up(&mut self) -> bool {
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

    pub(super) fn answer(&mut self) -> bool {
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

    pub(super) fn deliver_down(&mut self) -> bool {
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

    pub(super) fn time_out(&mut self) -> bool {
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

    pub(super) fn strike(&mut self) -> bool {
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
                let on = on || !publishers.all(|publisher| publisher.stream().is_some());
                self.switch_jetstream(on);
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
    pub(super) fn collect(&mut self) {
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
