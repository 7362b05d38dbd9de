//! The connection's state machine: bytes and time in, bytes and wishes out.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::mem;
use core::time::Duration;

use super::link::{Link, Phase};
use super::servers::Servers;
use super::subscriptions::Subscriptions;
use super::{
    Action, Auth, AuthError, Authenticator, CloseReason, ConnectionOptions, Credentials, Delivery, Epoch, Event,
    LinkError, Outbox, ServerAddr, TlsError, TlsOptions, Transmit,
};
use crate::proto::{ServerError, ServerInfo};
use crate::rng::Entropy;
use crate::time::Instant;

/// A link that was up this long counts as a good one: what its server did before is forgotten.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// What a silent end after CONNECT usually means.
const SILENT_REFUSAL: &str =
    "it may demand TLS, or refuse this user, or not have understood CONNECT; its log tells which";
/// What it usually means under TLS, where the end of a handshake is not the end of its checks.
const SILENT_REFUSAL_UNDER_TLS: &str = "it may refuse this user, or the client certificate; its log tells which";
/// What a silent end before INFO usually means.
const SILENT_GREETING: &str = "it may want the TLS handshake before its INFO (tls_first), or be no NATS server";
/// What a silent end in the handshake usually means.
const SILENT_HANDSHAKE: &str = "it may speak no TLS on this port, or miss a client certificate; its log tells which";

/// What an answer in clear usually means where the handshake comes first.
const CLEAR_GREETING: &str = "a server that says its INFO in clear wants no tls_first";

/// What somebody says who speaks too early.
pub(super) const CLEAR_BYTES: &str = "bytes in clear before the TLS handshake";

/// One logical connection over many sockets.
///
/// It reads no clock and no entropy and does no I/O: whoever drives it tells it facts (`handle_*`) and asks for its
/// wishes (`poll_*`). Any order of calls is legal; a moment earlier than one already told is taken for that one, and
/// a fact about a link that is gone is ignored. After any fact, poll events until there are none, then actions, then
/// carry off what is to be transmitted, then ask for the timeout.
#[derive(Debug)]
pub struct Connection {
    pub(super) options: ConnectionOptions,
    pub(super) state: State,
    pub(super) servers: Servers,
    pub(super) subscriptions: Subscriptions,
    pub(super) events: VecDeque<Owned>,
    pub(super) actions: VecDeque<Action>,
    pub(super) info: Option<ServerInfo>,
    pub(super) statistics: Statistics,
    last_epoch: u64,
    /// Links in a row that were given up because nothing came.
    pub(super) silent_links: u32,
    inbox_id: u128,
    pub(super) now: Instant,
}

#[derive(Debug)]
pub(super) enum State {
    /// Between two dials.
    Resting,
    Linked(alloc::boxed::Box<Link>),
    Closed(CloseReason),
}

/// Events that borrow nothing.
#[derive(Debug)]
pub(super) enum Owned {
    Connected,
    Disconnected(LinkError),
    DialFailed(LinkError),
    ServerError(ServerError),
    Pong(u64),
    LameDuck,
    Info,
    Closed(CloseReason),
}

/// What a connection has counted since it began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes the sockets took.
    pub bytes_out: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Links that came up.
    pub connects: u64,
    /// Dials that came to nothing.
    pub dials_failed: u64,
    /// Messages for subscriptions that are gone, PONGs to no PING, and later INFOs that cannot be read.
    pub strays: u64,
}

impl Connection {
    /// A connection that will ask for its first dial at once.
    pub fn new(options: ConnectionOptions, entropy: &Entropy) -> Self {
        let options = options.timed();
        let servers = Servers::new(&options, entropy.jitter());
        let mut connection = Self {
            options,
            state: State::Resting,
            servers,
            subscriptions: Subscriptions::default(),
            events: VecDeque::new(),
            actions: VecDeque::new(),
            info: None,
            statistics: Statistics::default(),
            last_epoch: 0,
            silent_links: 0,
            inbox_id: entropy.inbox(),
            now: Instant::ZERO,
        };
        if connection.servers.next_at().is_none() {
            connection.close(CloseReason::Unreachable(LinkError::Transport("no server is named".into())));
        }
        connection
    }

    // Facts.

    /// The socket of this epoch is there.
    pub fn handle_connected(&mut self, epoch: Epoch, now: Instant) {
        let now = self.clamp(now);
        let options = &self.options;
        if let Some(link) = link_of(&mut self.state, epoch)
            && let Phase::Dialing { deadline } = link.phase
        {
            link.heard(options, now);
            if options.tls.first {
                self.start_tls(deadline);
            } else {
                link.phase = Phase::AwaitInfo { deadline };
            }
        }
    }

    /// The socket of this epoch speaks TLS now.
    pub fn handle_secured(&mut self, epoch: Epoch, now: Instant) {
        let now = self.clamp(now);
        let options = &self.options;
        if let Some(link) = link_of(&mut self.state, epoch)
            && let Phase::Securing { deadline } = link.phase
        {
            link.heard(options, now);
            link.is_secure = true;
            if link.is_greeted {
                self.identify(deadline);
            } else {
                link.phase = Phase::AwaitInfo { deadline };
            }
        }
    }

    /// The authenticator has answered.
    pub fn handle_credentials(&mut self, epoch: Epoch, answer: Result<Credentials, AuthError>, now: Instant) {
        let now = self.clamp(now);
        if let Some(link) = link_of(&mut self.state, epoch)
            && let Phase::Authenticating { deadline } = link.phase
        {
            match answer {
                Ok(credentials) => self.introduce(Some(&credentials), deadline),
                Err(error) => self.hang_up(LinkError::Credentials(error), now),
            }
        }
    }

    /// Bytes came. They are stored, and read by `poll_event`.
    pub fn handle_input(&mut self, epoch: Epoch, bytes: &[u8], now: Instant) {
        let now = self.clamp(now);
        let options = &self.options;
        if let Some(link) = link_of(&mut self.state, epoch) {
            self.statistics.bytes_in += bytes.len() as u64;
            if matches!(link.phase, Phase::Securing { .. }) {
                // Whoever speaks in clear between INFO and the handshake wants it taken for what came under TLS.
                return self.hang_up(LinkError::OutOfPlace(CLEAR_BYTES), now);
            }
            link.inbox.push(bytes);
            link.heard(options, now);
        }
    }

    /// The socket took `len` bytes of what was carried off.
    pub fn handle_transmitted(&mut self, epoch: Epoch, len: usize, now: Instant) {
        self.clamp(now);
        if let Some(link) = link_of(&mut self.state, epoch) {
            self.statistics.bytes_out += len as u64;
            link.outbox.took(len);
            link.pay_pongs();
        }
    }

    /// The socket is gone, or the dial failed. What had come before is lost unless events were polled first.
    pub fn handle_disconnected(&mut self, epoch: Epoch, cause: LinkError, now: Instant) {
        let now = self.clamp(now);
        if let Some(link) = link_of(&mut self.state, epoch) {
            let cause = match cause {
                LinkError::Closed { hint: None } => LinkError::Closed { hint: silence_means(link) },
                LinkError::Tls(TlsError::NotTls(words)) if !link.is_greeted => {
                    LinkError::Tls(TlsError::NotTls(format!("{words}; {CLEAR_GREETING}")))
                }
                cause => cause,
            };
            self.lose(cause, now);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clamp(now);
        match &mut self.state {
            State::Closed(_) => {}
            State::Resting => {
                if self.servers.next_at().is_some_and(|at| at <= now) {
                    self.dial(now);
                }
            }
            State::Linked(link) if link.timeout() > now => {}
            State::Linked(link) => match link.phase {
                Phase::Up { since } => {
                    let pings_max = self.options.pings_max(self.silent_links);
                    if link.is_heard() && now.since(since) > self.options.ping_interval.saturating_mul(pings_max) {
                        self.silent_links = 0;
                    }
                    if !link.is_taken(&self.options, now) {
                        self.hang_up(LinkError::WriteStalled, now);
                    } else if !link.ask_sign_of_life(pings_max, &self.options, now) {
                        self.hang_up(LinkError::Silent, now);
                    }
                }
                _ => self.hang_up(LinkError::ConnectTimeout, now),
            },
        }
    }

    // Wishes.

    /// The next thing the connection has to say. Borrowed messages come straight out of the received bytes.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        let frame = loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event.into());
            }
            let State::Linked(link) = &mut self.state else { return None };
            link.inbox.consume(mem::take(&mut link.given_out));
            match link.parser.frame(link.inbox.unread()) {
                Ok(None) => return None,
                Err(error) => self.hang_up(LinkError::Protocol(error), self.now),
                Ok(Some(frame)) => {
                    link.given_out = frame.len;
                    #[cfg(feature = "tracing")]
                    super::telling::came(link.epoch, &frame);
                    if self.is_delivery(&frame) {
                        break frame;
                    }
                    self.read(frame);
                }
            }
        };
        let State::Linked(link) = &self.state else { return None };
        Some(Event::Message(Delivery::of(frame, link.inbox.unread())?))
    }

    /// The next thing the driver shall do.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        #[cfg(feature = "tracing")]
        action.iter().for_each(super::telling::wanted);
        action
    }

    /// Hands over all bytes owed to this epoch's socket. `transmit` must be empty. `false` when there are none.
    pub fn poll_transmit(&mut self, epoch: Epoch, transmit: &mut Transmit) -> bool {
        match link_of(&mut self.state, epoch) {
            Some(link) if !link.outbox.is_empty() => {
                link.outbox.carry_off(transmit);
                link.pay_pongs();
                true
            }
            _ => false,
        }
    }

    /// When `handle_timeout` is wanted next. Changes with every fact and command.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Closed(_) => None,
            State::Resting => self.servers.next_at(),
            State::Linked(link) => Some(link.timeout()),
        }
    }

    // Commands.

    /// Where machines write what they publish; `None` while there is no link.
    pub fn outbox(&mut self) -> Option<&mut Outbox> {
        match &mut self.state {
            State::Linked(link) if link.is_up() => Some(&mut link.outbox),
            _ => None,
        }
    }

    /// Gives the present link up and dials again.
    pub fn reconnect(&mut self, cause: LinkError, now: Instant) {
        let now = self.clamp(now);
        if matches!(self.state, State::Linked(_)) {
            self.hang_up(cause, now);
        }
    }

    /// Ends the connection. What is not transmitted is lost.
    pub fn close(&mut self, reason: CloseReason) {
        if matches!(self.state, State::Closed(_)) {
            return;
        }
        if let State::Linked(link) = mem::replace(&mut self.state, State::Closed(reason.clone())) {
            self.actions.push_back(Action::Hangup(link.epoch));
        }
        self.events.push_back(Owned::Closed(reason));
    }

    // Getters.

    /// Bytes that wait for the driver to carry them off.
    pub fn outbox_len(&self) -> usize {
        match &self.state {
            State::Linked(link) => link.outbox.len(),
            _ => 0,
        }
    }

    /// Whether there is something for the driver to do.
    pub fn has_action(&self) -> bool {
        !self.actions.is_empty()
    }

    /// The present link, from its dial on.
    pub fn epoch(&self) -> Option<Epoch> {
        match &self.state {
            State::Linked(link) => Some(link.epoch),
            _ => None,
        }
    }

    /// The server of the present link, from its dial on.
    pub fn server(&self) -> Option<&ServerAddr> {
        match &self.state {
            State::Linked(link) => Some(&link.addr),
            _ => None,
        }
    }

    /// Whether there is another server than the present one.
    pub fn has_other_server(&self) -> bool {
        self.servers.len() > 1
    }

    /// Who is to be asked for credentials, if somebody is.
    pub fn authenticator(&self) -> Option<Arc<dyn Authenticator>> {
        match &self.options.auth {
            Auth::Asked(authenticator) => Some(Arc::clone(authenticator)),
            _ => None,
        }
    }

    /// What is demanded of TLS.
    pub fn tls_options(&self) -> &TlsOptions {
        &self.options.tls
    }

    /// Whether the present link speaks TLS.
    pub fn is_secure(&self) -> bool {
        matches!(&self.state, State::Linked(link) if link.is_secure)
    }

    /// Whether publishes can be written.
    pub fn is_up(&self) -> bool {
        matches!(&self.state, State::Linked(link) if link.is_up())
    }

    /// Why the connection is over, if it is.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        match &self.state {
            State::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// What the server last said of itself; `None` before the first connect.
    pub fn info(&self) -> Option<&ServerInfo> {
        self.info.as_ref()
    }

    /// The counts.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Bytes the present link's socket took, and bytes written for it; zeros while there is none.
    pub fn progress(&self) -> (u64, u64) {
        match &self.state {
            State::Linked(link) => (link.outbox.transmitted(), link.outbox.pushed()),
            _ => (0, 0),
        }
    }

    /// How many of the bytes written for the present link its server is known to have read, by a PONG.
    pub fn proven(&self) -> u64 {
        match &self.state {
            State::Linked(link) => link.proven,
            _ => 0,
        }
    }

    /// What this connection's inboxes begin with: 128 bits that nobody can guess stand in it. A number goes right behind
    /// it: every further token, and every byte, of a reply subject costs the server time for each message.
    pub fn inbox_root(&self) -> String {
        let mut root = self.options.inbox_prefix.clone();
        root.push('.');
        push_base62(&mut root, self.inbox_id);
        root
    }

    // Inside.

    fn clamp(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn dial(&mut self, now: Instant) {
        let Some(turn) = self.servers.take_next() else { return };
        self.last_epoch += 1;
        let epoch = Epoch(self.last_epoch);
        self.actions.push_back(Action::Dial { epoch, addr: turn.addr.clone(), turn: turn.turn });
        self.state = State::Linked(alloc::boxed::Box::new(Link::new(epoch, turn, &self.options, now)));
    }

    pub(super) fn hang_up(&mut self, cause: LinkError, now: Instant) {
        if let State::Linked(link) = &self.state {
            self.actions.push_back(Action::Hangup(link.epoch));
            self.lose(cause, now);
        }
    }

    /// The link is gone: decides what comes next.
    fn lose(&mut self, cause: LinkError, now: Instant) {
        let State::Linked(link) = mem::replace(&mut self.state, State::Resting) else { return };
        let at_start = self.statistics.connects == 0;
        self.subscriptions.link_lost();
        match link.phase {
            Phase::Up { since } => {
                if now.since(since) >= SETTLED_AFTER {
                    self.servers.settled();
                }
                self.silent_links += u32::from(matches!(cause, LinkError::Silent | LinkError::NoProgress));
                self.events.push_back(Owned::Disconnected(cause.clone()));
            }
            _ => {
                self.statistics.dials_failed += 1;
                self.events.push_back(Owned::DialFailed(cause.clone()));
            }
        }
        match cause {
            LinkError::LameDuck => return self.servers.left(now),
            LinkError::Requested => return self.servers.settled(),
            _ => {}
        }
        if cause.is_refusal() {
            let refused_for = self.servers.refused(at_start, now);
            if (at_start && self.servers.all_refused()) || refused_for >= self.options.auth_budget {
                return self.close(CloseReason::AuthRefused(cause));
            }
        } else {
            self.servers.failed(now);
        }
        if at_start && cause.is_incompatible() && self.servers.all_failed() {
            self.close(CloseReason::Incompatible(cause));
        } else if at_start && !self.options.retry_at_start && self.servers.all_failed() && !cause.is_refusal() {
            self.close(CloseReason::Unreachable(cause));
        }
    }
}

/// What it usually means that a server closes a link without a word, so far into the greeting.
fn silence_means(link: &Link) -> Option<&'static str> {
    match link.phase {
        Phase::AwaitInfo { .. } if !link.is_secure => Some(SILENT_GREETING),
        Phase::Securing { .. } => Some(SILENT_HANDSHAKE),
        Phase::AwaitPong { .. } if link.is_secure => Some(SILENT_REFUSAL_UNDER_TLS),
        Phase::AwaitPong { .. } => Some(SILENT_REFUSAL),
        _ => None,
    }
}

fn link_of(state: &mut State, epoch: Epoch) -> Option<&mut Link> {
    match state {
        State::Linked(link) if link.epoch == epoch => Some(link),
        _ => None,
    }
}

fn push_base62(out: &mut String, mut number: u128) {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..22 {
        out.push(char::from(DIGITS[(number % 62) as usize]));
        number /= 62;
    }
}

impl From<Owned> for Event<'_> {
    fn from(event: Owned) -> Self {
        match event {
            Owned::Connected => Self::Connected,
            Owned::Disconnected(cause) => Self::Disconnected(cause),
            Owned::DialFailed(cause) => Self::DialFailed(cause),
            Owned::ServerError(error) => Self::ServerError(error),
            Owned::Pong(number) => Self::Pong(number),
            Owned::LameDuck => Self::LameDuck,
            Owned::Info => Self::Info,
            Owned::Closed(reason) => Self::Closed(reason),
        }
    }
}
