//! The session: one connection, its publishers and its subscribers, composed. What a driver drives.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::task::Waker;

use super::seat::{Seat, Ticket};
use super::subscriber::{Received, Subscriber};
use super::{LinkNotice, LinkState, SessionError};
use crate::connection::{
    Action, CloseReason, Connection, ConnectionOptions, Epoch, Event, LinkError, Sid, Statistics, Transmit,
};
use crate::jetstream::{AckSlot, Message, Outcome, Publisher, PublisherOptions, SubmitError};
use crate::proto::{Pattern, Subject, SubjectBuf, is_token};
use crate::rng::Entropy;
use crate::time::Instant;
use crate::wakers::Wakers;

/// Notices kept for a reader that does not come.
const NOTICES_MAX: usize = 64;

/// One connection with the publishers and subscribers that use it.
///
/// Drivers tell it facts and carry out its wishes, just as with a [`Connection`]; handles submit and wait. It does no
/// I/O and never blocks, so a driver can keep it behind a mutex that is only ever held for microseconds.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    seats: BTreeMap<PublisherId, Seat>,
    subscribers: BTreeMap<Sid, Subscriber>,
    inboxes_made: u32,
    run: u64,
    notices: VecDeque<LinkNotice>,
    state_watchers: Wakers,
    woken: Vec<Waker>,
    /// The sleeping driver.
    driver: Option<Waker>,
}

/// Names a publisher of a session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PublisherId(u32);

impl Session {
    /// A session that will ask for its first dial at once.
    pub fn new(options: ConnectionOptions, entropy: &Entropy) -> Self {
        Self {
            connection: Connection::new(options, entropy),
            seats: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            inboxes_made: 0,
            run: entropy.run(),
            notices: VecDeque::new(),
            state_watchers: Wakers::default(),
            woken: Vec::new(),
            driver: None,
        }
    }

    // Facts. Each is followed by all that it entails: events read, publishers told, what may be written written.

    /// The socket of this epoch is there.
    pub fn handle_connected(&mut self, epoch: Epoch, now: Instant) {
        self.connection.handle_connected(epoch, now);
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
        }
        some
    }

    /// When `handle_timeout` is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let publishers = self.seats.values().filter_map(|seat| seat.publisher.poll_timeout());
        publishers.chain(self.connection.poll_timeout()).min()
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

    /// What happened to links that a person would want to know. The latest are kept, a few dozen.
    #[must_use]
    pub fn poll_notice(&mut self) -> Option<LinkNotice> {
        self.notices.pop_front()
    }

    // Commands.

    /// Adds a publisher.
    ///
    /// # Errors
    /// When the connection is over, or has as many subscriptions as its limit allows, or a name in the options is none.
    pub fn add_publisher(&mut self, options: PublisherOptions, now: Instant) -> Result<PublisherId, SessionError> {
        self.check_open()?;
        if options.stream.as_ref().is_some_and(|stream| !is_token(stream)) {
            return Err(SessionError::StreamName);
        }
        let stream = options.stream.as_deref().unwrap_or("any");
        Subject::new(&format!("{}.STREAM.MSG.GET.{stream}", options.api_prefix)).map_err(SessionError::ApiPrefix)?;
        self.inboxes_made += 1;
        let number = self.inboxes_made;
        let reply_root = format!("{}.{number}.", self.connection.inbox_root());
        let inbox = Pattern::new(format!("{reply_root}*")).map_err(SessionError::InboxPrefix)?;
        let sid = self.connection.subscribe(inbox, None).ok_or(SessionError::TooManySubscriptions)?;
        let own_id_root = format!("{:016x}.{number}.", self.run);
        let mut publisher = Publisher::new(options, reply_root, own_id_root);
        if self.connection.is_up()
            && let Some(info) = self.connection.info()
        {
            publisher.handle_connected(info, now);
        }
        let id = PublisherId(number);
        self.seats.insert(id, Seat::new(publisher, sid));
        self.pump(now);
        self.wake_driver();
        Ok(id)
    }

    /// Ends a publisher. What it had not settled is `Unknown`; outcomes can still be read until it is removed.
    pub fn close_publisher(&mut self, id: PublisherId) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.publisher.close();
            seat.publisher.take_woken(&mut self.woken);
            seat.wake_all(&mut self.woken);
            // Who waits for the stream to be looked at will not see it.
            self.state_watchers.wake(&mut self.woken);
            self.connection.unsubscribe(seat.sid);
            self.wake_driver();
        }
    }

    /// Forgets a publisher and its unread outcomes.
    pub fn remove_publisher(&mut self, id: PublisherId) {
        self.close_publisher(id);
        self.seats.remove(&id);
    }

    /// Takes a message for this publisher; its outcome will come under `tag`. `ticket` is the caller's place in the
    /// queue, if it has one.
    ///
    /// # Errors
    /// See [`SubmitError`]; nothing was sent then. `Full` also while others wait in the queue.
    pub fn submit(
        &mut self,
        id: PublisherId,
        ticket: Option<Ticket>,
        tag: u64,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<(), SubmitError> {
        self.seat(id)?.submit(ticket, tag, message, now)?;
        self.submitted(id, now);
        Ok(())
    }

    /// As [`Session::submit`], for a message whose outcome will be read with [`Session::poll_ack`].
    ///
    /// # Errors
    /// As for [`Session::submit`].
    pub fn submit_for_ack(
        &mut self,
        id: PublisherId,
        ticket: Option<Ticket>,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<AckSlot, SubmitError> {
        let slot = self.seat(id)?.submit_for_ack(ticket, message, now)?;
        self.submitted(id, now);
        Ok(slot)
    }

    /// Waits in line for room in this publisher's window; the place is written into `ticket` and must be given back
    /// with [`Session::leave`].
    pub fn wait(&mut self, id: PublisherId, ticket: &mut Option<Ticket>, waker: &Waker) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.wait(ticket, waker);
        }
    }

    /// Gives a place in the line back.
    pub fn leave(&mut self, id: PublisherId, ticket: Ticket) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.leave(ticket, &mut self.woken);
        }
    }

    /// Whether a message would be taken from this place in the line: a small one, or the one last refused for its size.
    pub fn has_room(&self, id: PublisherId, ticket: Option<Ticket>) -> bool {
        self.seats.get(&id).is_none_or(|seat| seat.has_room(ticket))
    }

    /// Moves all tagged outcomes that are there into `into`, and says how many; where there are none, wakes the
    /// waker when there are.
    pub fn take_outcomes(&mut self, id: PublisherId, into: &mut Vec<(u64, Outcome)>, waker: Option<&Waker>) -> usize {
        let Some(seat) = self.seats.get_mut(&id) else { return 0 };
        let taken = seat.take_outcomes(into, &mut self.woken);
        if let (0, Some(waker)) = (taken, waker) {
            seat.publisher.await_outcomes(waker);
        }
        taken
    }

    /// The outcome in a slot, which frees it; or none yet, and then the waker is woken when there is one.
    pub fn poll_ack(&mut self, id: PublisherId, slot: AckSlot, waker: &Waker) -> Option<Outcome> {
        match self.seats.get_mut(&id) {
            Some(seat) => seat.publisher.poll_ack(slot, waker),
            None => Some(Outcome::Unknown),
        }
    }

    /// Frees a slot whose outcome nobody will read.
    pub fn give_up_ack(&mut self, id: PublisherId, slot: AckSlot) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.publisher.give_up_ack(slot);
        }
    }

    /// Wakes the waker once no message of this publisher is in flight, or it is over.
    pub fn await_settled(&mut self, id: PublisherId, waker: &Waker) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.await_settled(waker);
        }
    }

    /// Subscribes. Of the messages that wait for their reader at most `waiting_max` are kept; more are counted.
    ///
    /// # Errors
    /// When the connection is over, or has as many subscriptions as its limit allows.
    pub fn subscribe(
        &mut self,
        subject: Pattern,
        queue: Option<SubjectBuf>,
        waiting_max: usize,
    ) -> Result<Sid, SessionError> {
        self.check_open()?;
        let sid = self.connection.subscribe(subject, queue).ok_or(SessionError::TooManySubscriptions)?;
        self.subscribers.insert(sid, Subscriber::new(waiting_max));
        self.wake_driver();
        Ok(sid)
    }

    /// Subscribes to an inbox for one answer, and gives its subject.
    ///
    /// # Errors
    /// As for [`Session::subscribe`].
    pub fn add_inbox(&mut self) -> Result<(Sid, String), SessionError> {
        self.inboxes_made += 1;
        let subject = format!("{}.{}", self.connection.inbox_root(), self.inboxes_made);
        let pattern = Pattern::new(subject.as_str()).map_err(SessionError::InboxPrefix)?;
        Ok((self.subscribe(pattern, None, 1)?, subject))
    }

    /// Ends a subscription, and drops what waits for its reader.
    pub fn unsubscribe(&mut self, sid: Sid) {
        self.connection.unsubscribe(sid);
        self.subscribers.remove(&sid);
        self.wake_driver();
    }

    /// The next message of a subscription, or none yet, and then the waker is woken when there is one.
    pub fn next_received(&mut self, sid: Sid, waker: &Waker) -> Option<Received> {
        self.subscribers.get_mut(&sid)?.next(waker)
    }

    /// Messages that a slow reader has missed.
    pub fn dropped(&self, sid: Sid) -> u64 {
        self.subscribers.get(&sid).map_or(0, Subscriber::dropped)
    }

    /// Publishes to core NATS: at most once. `false` when there is no link or no room, or when the server would close the
    /// link over a payload or subjects so long.
    pub fn publish(&mut self, subject: Subject<'_>, reply: Option<Subject<'_>>, payload: &[u8]) -> bool {
        let written = self.connection.publish(subject, reply, payload);
        if written {
            self.wake_driver();
        }
        written
    }

    /// Ends the session at once. What is unsettled is `Unknown`.
    pub fn close(&mut self, now: Instant) {
        self.connection.close(CloseReason::Requested);
        self.settle(now);
        self.wake_driver();
    }

    /// Wakes the waker at the next change of the link's state.
    pub fn watch(&mut self, waker: &Waker) {
        self.state_watchers.add(waker);
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
    pub fn outbox_len(&mut self) -> usize {
        self.connection.outbox().map_or(0, |outbox| outbox.len())
    }

    /// Whether the session is over and the driver has nothing more to do for it.
    pub fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    // Inside.

    fn check_open(&self) -> Result<(), SessionError> {
        self.connection.close_reason().map_or(Ok(()), |reason| Err(SessionError::Closed(reason.clone())))
    }

    fn seat(&mut self, id: PublisherId) -> Result<&mut Seat, SubmitError> {
        self.seats.get_mut(&id).ok_or(SubmitError::Closed(crate::jetstream::PublisherError::Closed))
    }

    fn submitted(&mut self, id: PublisherId, now: Instant) {
        if let Some(outbox) = self.connection.outbox()
            && let Some(seat) = self.seats.get_mut(&id)
        {
            seat.publisher.pump(outbox, now);
        }
        self.wake_driver();
    }

    fn wake_driver(&mut self) {
        self.woken.extend(self.driver.take());
    }

    /// Reads what the connection has to say, tells the publishers, and lets them write.
    fn settle(&mut self, now: Instant) {
        loop {
            self.read_events(now);
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

    fn read_events(&mut self, now: Instant) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Message(delivery) => {
                    if let Some(seat) = self.seats.values_mut().find(|seat| seat.sid == delivery.sid) {
                        seat.publisher.handle_message(&delivery, now);
                    } else if let Some(subscriber) = self.subscribers.get_mut(&delivery.sid) {
                        subscriber.deliver(&delivery, &mut self.woken);
                    }
                }
                Event::Connected => {
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
                    for seat in self.seats.values_mut() {
                        seat.publisher.handle_disconnected();
                    }
                    self.note(LinkNotice::Lost(cause));
                }
                Event::DialFailed(cause) => self.note(LinkNotice::DialFailed(cause)),
                Event::ServerError(error) => {
                    for seat in self.seats.values_mut() {
                        seat.publisher.handle_server_error(&error, now);
                    }
                    self.note(LinkNotice::ServerError(error));
                }
                Event::LameDuck => self.note(LinkNotice::LameDuck),
                Event::Pong(_) => {}
                Event::Closed(reason) => self.closed(&reason),
            }
        }
    }

    fn closed(&mut self, reason: &CloseReason) {
        for seat in self.seats.values_mut() {
            seat.publisher.handle_closed(reason);
            seat.wake_all(&mut self.woken);
        }
        for subscriber in self.subscribers.values_mut() {
            subscriber.wake(&mut self.woken);
        }
        self.note(LinkNotice::Closed(reason.clone()));
    }

    fn note(&mut self, notice: LinkNotice) {
        if self.notices.len() == NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
        self.state_watchers.wake(&mut self.woken);
    }

    fn pump(&mut self, now: Instant) {
        let Some(outbox) = self.connection.outbox() else { return };
        for seat in self.seats.values_mut() {
            seat.publisher.pump(outbox, now);
        }
    }
}
