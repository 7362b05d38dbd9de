//! The session: one connection, its publishers and its subscribers, composed. What a driver drives.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;

use super::drain::Drain;
use super::flush::{FlushError, Flushes};
use super::line::Line;
use super::seat::Seat;
use super::subscriber::{Subscriber, SubscriptionEnd};
use super::{LinkNotice, LinkState, SessionError};
use crate::connection::{
    Action, AuthError, Authenticator, CloseReason, Connection, ConnectionOptions, Credentials, Epoch, Event, LinkError,
    ServerAddr, Sid, Statistics, TlsOptions, Transmit,
};
use crate::jetstream::{Publisher, SubmitError};
use crate::proto::ServerError;
use crate::rng::Entropy;
use crate::time::Instant;
use crate::wakers::Wakers;

/// Notices kept for a reader that does not come.
const NOTICES_MAX: usize = 64;
/// Between the moments when publishers write again of which one is to blame for a lost link.
const BLAME_STAGGER: Duration = Duration::from_millis(500);
/// How often those who may have stopped waiting are let go of, at most.
const DISPERSE_EVERY: Duration = Duration::from_secs(5);
/// How long answers are waited for before a link is left. Lame servers close links ten seconds after they said so.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// One connection with the publishers and subscribers that use it.
///
/// Drivers tell it facts and carry out its wishes, just as with a [`Connection`]; handles submit and wait. It does no
/// I/O and never blocks, so a driver can keep it behind a mutex that is only ever held for microseconds.
#[derive(Debug)]
pub struct Session {
    pub(super) connection: Connection,
    pub(super) seats: BTreeMap<PublisherId, Seat>,
    pub(super) subscribers: BTreeMap<Sid, Subscriber>,
    pub(super) inboxes_made: u64,
    pub(super) run: u64,
    pub(super) flushes: Flushes,
    /// Who waits for room to publish to core NATS.
    pub(super) line: Line,
    pub(super) drain: Option<Drain>,
    notices: VecDeque<LinkNotice>,
    /// Notices dropped before the oldest one kept.
    missed: u64,
    /// The latest moment told.
    pub(super) now: Instant,
    pub(super) state_watchers: Wakers,
    /// When those who may have stopped waiting were last let go of.
    dispersed_at: Instant,
    pub(super) woken: Vec<Waker>,
    /// The sleeping driver.
    pub(super) driver: Option<Waker>,
    /// The link that is left once its answers have come, why, and how long they are waited for.
    pub(super) leaving: Option<(Epoch, LinkError, Instant)>,
    /// Who was the first to write again when a link was last lost over something written to it.
    blamed_first: Option<PublisherId>,
}

/// Names a publisher of a session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PublisherId(pub(super) u64);

impl Session {
    /// A session that will ask for its first dial at once.
    pub fn new(options: ConnectionOptions, entropy: &Entropy) -> Self {
        Self {
            connection: Connection::new(options, entropy),
            seats: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            inboxes_made: 0,
            run: entropy.run(),
            flushes: Flushes::default(),
            line: Line::default(),
            drain: None,
            notices: VecDeque::new(),
            missed: 0,
            now: Instant::ZERO,
            state_watchers: Wakers::default(),
            dispersed_at: Instant::ZERO,
            woken: Vec::new(),
            driver: None,
            leaving: None,
            blamed_first: None,
        }
    }

    // Facts. Each is followed by all that it entails: events read, publishers told, what may be written written.

    /// The socket of this epoch is there.
    pub fn handle_connected(&mut self, epoch: Epoch, now: Instant) {
        self.connection.handle_connected(epoch, now);
        self.settle(now);
    }

    /// The socket of this epoch speaks TLS now.
    pub fn handle_secured(&mut self, epoch: Epoch, now: Instant) {
        self.connection.handle_secured(epoch, now);
        self.settle(now);
    }

    /// The authenticator has answered.
    pub fn handle_credentials(&mut self, epoch: Epoch, answer: Result<Credentials, AuthError>, now: Instant) {
        self.connection.handle_credentials(epoch, answer, now);
        self.settle(now);
    }

    /// Bytes came.
    pub fn handle_input(&mut self, epoch: Epoch, bytes: &[u8], now: Instant) {
        self.connection.handle_input(epoch, bytes, now);
        self.settle(now);
    }

    /// The socket took `len` bytes.
    pub fn handle_transmitted(&mut self, epoch: Epoch, len: usize, now: Instant) {
        self.connection.handle_transmitted(epoch, len, now);
        self.settle(now);
    }

    /// The socket is gone, or the dial failed.
    pub fn handle_disconnected(&mut self, epoch: Epoch, cause: LinkError, now: Instant) {
        self.connection.handle_disconnected(epoch, cause, now);
        self.settle(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let epoch = self.connection.epoch();
        self.connection.handle_timeout(now);
        if self.connection.epoch() != epoch {
            self.state_watchers.wake(&mut self.woken);
        }
        for seat in self.seats.values_mut() {
            seat.publisher.handle_timeout(now);
        }
        if self.dispersed_at + DISPERSE_EVERY <= now {
            self.dispersed_at = now;
            self.state_watchers.disperse(&mut self.woken);
            self.seats.values_mut().for_each(|seat| seat.disperse(&mut self.woken));
        }
        self.settle(now);
    }

    // Wishes.

    /// The next thing the driver shall do.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.connection.poll_action()
    }

    /// Hands over all bytes owed to this epoch's socket, then lets publishers write more. `transmit` must be empty.
    pub fn poll_transmit(&mut self, epoch: Epoch, transmit: &mut Transmit, now: Instant) -> bool {
        let some = self.connection.poll_transmit(epoch, transmit);
        if some {
            self.pump(now);
            if self.connection.is_up() {
                self.line.wake_first(&mut self.woken);
            }
        }
        some
    }

    /// When `handle_timeout` is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let publishers = self.seats.values().filter_map(|seat| seat.publisher.poll_timeout());
        let leaving = self.leaving.as_ref().map(|(_, _, until)| *until);
        publishers.chain(self.connection.poll_timeout()).chain(leaving).chain(self.drain_timeout()).min()
    }

    /// One of those to wake, outside any lock.
    #[must_use]
    pub fn pop_woken(&mut self) -> Option<Waker> {
        self.woken.pop()
    }

    /// All of those to wake, outside any lock.
    pub fn take_woken(&mut self, into: &mut Vec<Waker>) {
        into.append(&mut self.woken);
    }

    /// The driver goes to sleep: wake it when a handle has something for it to do.
    pub fn sleep(&mut self, driver: &Waker) {
        match &mut self.driver {
            Some(kept) => kept.clone_from(driver),
            none => *none = Some(driver.clone()),
        }
    }

    /// Whether a driver that sleeps until then would miss something: an action, an earlier moment, the end.
    pub fn is_due(&self, until: Instant) -> bool {
        self.connection.has_action() || self.is_closed() || self.poll_timeout().is_some_and(|at| at < until)
    }

    /// What happened to links that a person would want to know, oldest first. Each is told once, to whoever asks. The
    /// latest 64 are kept; how many were dropped before them is told first.
    #[must_use]
    pub fn poll_notice(&mut self) -> Option<LinkNotice> {
        match core::mem::take(&mut self.missed) {
            0 => self.notices.pop_front(),
            missed => Some(LinkNotice::Missed(missed)),
        }
    }

    // Getters.

    /// The link's state.
    pub fn link_state(&self) -> LinkState {
        match (self.connection.close_reason(), self.connection.epoch()) {
            (Some(reason), _) => LinkState::Closed(reason.clone()),
            (None, Some(_)) if self.connection.is_up() => LinkState::Up,
            (None, Some(_)) => LinkState::Dialing,
            (None, None) => LinkState::Resting,
        }
    }

    /// The server of the present link, from its dial on.
    pub fn server(&self) -> Option<&ServerAddr> {
        self.connection.server()
    }

    /// Who is to be asked for credentials, if somebody is.
    pub fn authenticator(&self) -> Option<Arc<dyn Authenticator>> {
        self.connection.authenticator()
    }

    /// What is demanded of TLS.
    pub fn tls_options(&self) -> &TlsOptions {
        self.connection.tls_options()
    }

    /// A publisher's machine, to look at.
    pub fn publisher(&self, id: PublisherId) -> Option<&Publisher> {
        self.seats.get(&id).map(|seat| &seat.publisher)
    }

    /// A publisher's machine, to take its notices.
    pub fn publisher_mut(&mut self, id: PublisherId) -> Option<&mut Publisher> {
        self.seats.get_mut(&id).map(|seat| &mut seat.publisher)
    }

    /// The connection's counts.
    pub fn statistics(&self) -> Statistics {
        self.connection.statistics()
    }

    /// Sixteen hexadecimal digits, the same for all publishers of this session and for no other session.
    pub fn run_id(&self) -> String {
        format!("{:016x}", self.run)
    }

    /// Bytes that wait for the driver to carry them off.
    pub fn outbox_len(&self) -> usize {
        self.connection.outbox_len()
    }

    /// Whether the session is over and the driver has nothing more to do for it.
    pub fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    // Inside.

    pub(super) fn check_open(&self) -> Result<(), SessionError> {
        self.connection.close_reason().map_or(Ok(()), |reason| Err(SessionError::Closed(reason.clone())))
    }

    pub(super) fn seat(&mut self, id: PublisherId) -> Result<&mut Seat, SubmitError> {
        let seat = if self.is_sealed() { None } else { self.seats.get_mut(&id) };
        seat.ok_or(SubmitError::Closed(crate::jetstream::PublisherError::Closed))
    }

    pub(super) fn submitted(&mut self, id: PublisherId, now: Instant) {
        if let Some(outbox) = self.connection.outbox()
            && let Some(seat) = self.seats.get_mut(&id)
        {
            seat.publisher.pump(outbox, now);
        }
        self.wake_driver();
    }

    pub(crate) fn wake_driver(&mut self) {
        self.woken.extend(self.driver.take());
    }

    /// Reads what the connection has to say, tells the publishers, and lets them write.
    pub(super) fn settle(&mut self, now: Instant) {
        self.now = self.now.max(now);
        loop {
            self.read_events(now);
            self.leave_when_quiet(now);
            let (transmitted, _) = self.connection.progress();
            let mut dead = false;
            for seat in self.seats.values_mut() {
                if self.connection.is_up() {
                    seat.publisher.handle_transmitted(transmitted, now);
                }
                dead |= seat.publisher.poll_dead_link();
            }
            if !dead {
                break;
            }
            self.connection.reconnect(LinkError::NoProgress, now);
        }
        self.ask_for_publishers(now);
        self.settle_flushes(now);
        self.settle_drain(now);
        self.pump(now);
        let mut verified = false;
        for seat in self.seats.values_mut() {
            seat.publisher.take_woken(&mut self.woken);
            seat.wake_first(&mut self.woken);
            seat.wake_settled(&mut self.woken);
            verified |= seat.publisher.poll_changed();
        }
        if verified {
            self.state_watchers.wake(&mut self.woken);
        }
    }

    /// Leaves the present link in an orderly way: nothing more is written to it, and the answers to what was written
    /// are waited for, a few seconds at most.
    pub(super) fn move_away(&mut self, cause: LinkError, now: Instant) {
        if let Some(epoch) = self.connection.epoch() {
            // A dial has nothing to hold back from, and its end would let nobody go on.
            if self.connection.is_up() {
                self.seats.values_mut().for_each(|seat| seat.publisher.hold());
            }
            self.leaving.get_or_insert((epoch, cause, now + LEAVE_MAX));
            self.prove(now);
        }
    }

    fn leave_when_quiet(&mut self, now: Instant) {
        let Some((epoch, _, until)) = &self.leaving else { return };
        let is_gone = self.connection.epoch() != Some(*epoch);
        let is_quiet = || self.is_answered() && self.seats.values().all(|seat| seat.publisher.is_quiet());
        if !is_gone && *until > now && !is_quiet() {
            return;
        }
        if let Some((_, cause, _)) = self.leaving.take()
            && !is_gone
        {
            self.connection.reconnect(cause, now);
            self.read_events(now);
        }
    }

    pub(super) fn read_events(&mut self, now: Instant) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Message(delivery) => {
                    if let Some(seat) = self.seats.values_mut().find(|seat| seat.sid == delivery.sid) {
                        seat.publisher.handle_message(&delivery, now);
                    } else if let Some(subscriber) = self.subscribers.get_mut(&delivery.sid) {
                        let sid = delivery.sid;
                        let is_slow = subscriber.deliver(&delivery, &mut self.woken);
                        self.received(is_slow, sid);
                    }
                }
                Event::Connected => {
                    self.line.wake_first(&mut self.woken);
                    let info = self.connection.info().cloned();
                    for seat in self.seats.values_mut() {
                        if let Some(info) = &info {
                            seat.publisher.handle_connected(info, now);
                        }
                    }
                    // A server without a name calls itself by its id.
                    let named = info.filter(|info| info.server_name != info.server_id);
                    let server = named.map(|info| info.server_name).filter(|name| !name.is_empty());
                    if let Some(addr) = self.connection.server().cloned() {
                        self.note(LinkNotice::Up { addr, server });
                    }
                }
                Event::Disconnected(cause) => {
                    match &cause {
                        LinkError::Refused(error) if error.is_about_input() => self.blame(error, now),
                        _ => self.seats.values_mut().for_each(|seat| seat.publisher.handle_disconnected()),
                    }
                    let loss = self.fail_flushes(&FlushError::LinkLost(cause.clone()));
                    if loss.is_possible {
                        self.drain_lost(&cause);
                    }
                    self.note(LinkNotice::Lost(cause));
                    self.note_unsent(loss.unsent);
                }
                Event::DialFailed(cause) => self.note(LinkNotice::DialFailed(cause)),
                Event::ServerError(error) => {
                    for seat in self.seats.values_mut() {
                        seat.publisher.handle_server_error(&error, now);
                    }
                    self.deny_subscribers(&error);
                    self.note(LinkNotice::ServerError(error));
                }
                Event::LameDuck => {
                    self.note(LinkNotice::LameDuck);
                    if self.connection.has_other_server() {
                        self.move_away(LinkError::LameDuck, now);
                    }
                }
                Event::Info => {
                    if let Some(info) = self.connection.info() {
                        self.seats.values_mut().for_each(|seat| seat.publisher.handle_info(info, now));
                    }
                }
                Event::Pong(number) => self.answered(number, now),
                Event::Closed(reason) => self.closed(&reason),
            }
        }
    }

    /// The server has closed the link over something written to it, and does not say over what. Publishers write again at
    /// different times, so that only one has anything out when it happens again. Each is the first in turn: one that is
    /// never idle would otherwise be suspected for ever beside the one behind it.
    fn blame(&mut self, error: &ServerError, now: Instant) {
        let is_suspect = |(id, seat): (&PublisherId, &Seat)| (seat.publisher.unanswered() > 0).then_some(*id);
        let mut suspects: Vec<PublisherId> = self.seats.iter().filter_map(is_suspect).collect();
        let turn = suspects.partition_point(|id| Some(*id) <= self.blamed_first) % suspects.len().max(1);
        suspects.rotate_left(turn);
        self.blamed_first = suspects.first().copied().or(self.blamed_first);
        let mut pause = Duration::ZERO;
        for id in &suspects {
            if let Some(seat) = self.seats.get_mut(id) {
                seat.publisher.handle_violation(error, suspects.len() == 1, pause, now);
            }
            pause = pause.saturating_add(BLAME_STAGGER);
        }
        for seat in self.seats.iter_mut().filter(|(id, _)| !suspects.contains(id)).map(|(_, seat)| seat) {
            seat.publisher.handle_disconnected();
        }
    }

    fn closed(&mut self, reason: &CloseReason) {
        for seat in self.seats.values_mut() {
            seat.publisher.handle_closed(reason);
            seat.publisher.take_woken(&mut self.woken);
            seat.wake_all(&mut self.woken);
        }
        let loss = self.fail_flushes(&FlushError::Closed(reason.clone()));
        self.note_unsent(loss.unsent);
        for subscriber in self.subscribers.values_mut() {
            subscriber.end(SubscriptionEnd::Closed(reason.clone()), &mut self.woken);
        }
        self.line.wake_all(&mut self.woken);
        self.drain_closed(reason);
        self.note(LinkNotice::Closed(reason.clone()));
    }

    fn note_unsent(&mut self, unsent: u64) {
        if unsent > 0 {
            self.note(LinkNotice::Unsent(unsent));
        }
    }

    pub(super) fn note(&mut self, notice: LinkNotice) {
        #[cfg(feature = "tracing")]
        super::telling::tell(&notice);
        if self.notices.len() == NOTICES_MAX {
            self.notices.pop_front();
            self.missed += 1;
        }
        self.notices.push_back(notice);
        self.state_watchers.wake(&mut self.woken);
    }

    pub(super) fn pump(&mut self, now: Instant) {
        let Some(outbox) = self.connection.outbox() else { return };
        for seat in self.seats.values_mut() {
            seat.publisher.pump(outbox, now);
        }
    }
}
