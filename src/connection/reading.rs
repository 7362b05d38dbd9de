//! What a connection makes of each op: the greeting, the pings, the complaints, and the messages it gives out.

use super::link::{Phase, Pong};
use super::machine::{CLEAR_BYTES, Connection, Owned, State};
use super::{Action, Auth, Credentials, LinkError, Sid};
use crate::proto::{Connect, Frame, FrameOp, ServerError, ServerInfo, encode};
use crate::time::Instant;

impl Connection {
    /// Whether this is a message for a live subscription. It is counted as that, so each frame is asked about once.
    pub(super) fn is_delivery(&mut self, frame: &Frame) -> bool {
        let (FrameOp::Msg { sid, .. } | FrameOp::HMsg { sid, .. }) = frame.op else { return false };
        let ours = self.is_up() && self.subscriptions.receive(Sid(sid));
        if ours {
            self.statistics.messages_in += 1;
        }
        ours
    }

    /// Reads an op that is no message for a live subscription.
    pub(super) fn read(&mut self, frame: Frame) {
        let State::Linked(link) = &mut self.state else { return };
        let bytes = link.inbox.unread();
        match (frame.op, link.phase) {
            (FrameOp::Info(json), Phase::AwaitInfo { deadline }) => match ServerInfo::parse(json.of(bytes)) {
                Ok(info) => self.greet(info, deadline),
                Err(error) => self.hang_up(LinkError::Info(error), self.now),
            },
            (FrameOp::Err(text), _) => {
                let error = ServerError::parse(text.of(bytes));
                if error.closes() {
                    self.hang_up(LinkError::Refused(error), self.now);
                } else {
                    self.events.push_back(Owned::ServerError(error));
                }
            }
            (_, Phase::AwaitInfo { .. } | Phase::Dialing { .. } | Phase::Securing { .. }) => {
                self.hang_up(LinkError::OutOfPlace("an op before INFO"), self.now);
            }
            (FrameOp::Info(json), _) => {
                // A later INFO that cannot be read changes nothing: the first one stands.
                match ServerInfo::parse(json.of(bytes)) {
                    Ok(info) => self.renew(info),
                    Err(_) => self.statistics.strays += 1,
                }
            }
            (FrameOp::Ping, _) => link.pong(self.options.limits.pings_max),
            (FrameOp::Pong, _) => match link.take_pong() {
                Pong::Greeting => self.come_up(),
                Pong::Caller(number) => {
                    self.silent_links = 0;
                    self.events.push_back(Owned::Pong(number));
                }
                Pong::SignOfLife => self.silent_links = 0,
                Pong::Unasked => self.statistics.strays += 1,
            },
            (FrameOp::Ok, _) => {}
            (FrameOp::Msg { .. } | FrameOp::HMsg { .. }, _) => self.statistics.strays += 1,
            (_, _) => self.hang_up(LinkError::OutOfPlace("a client's op from the server"), self.now),
        }
    }

    fn greet(&mut self, mut info: ServerInfo, deadline: Instant) {
        let now = self.now;
        let State::Linked(link) = &mut self.state else { return };
        link.is_greeted = true;
        if !info.headers {
            return self.hang_up(LinkError::Unsupported("headers"), now);
        }
        if info.proto == 0 {
            return self.hang_up(LinkError::Unsupported("protocol 1"), now);
        }
        let is_demanded = link.addr.tls || self.servers.demands_tls();
        let wants_tls = !link.is_secure && (info.tls_required || is_demanded);
        if !wants_tls {
            self.info = Some(info);
            return self.identify(deadline);
        }
        if !info.tls_required && !info.tls_available {
            return self.hang_up(LinkError::TlsUnavailable, now);
        }
        if link.inbox.unread().len() > link.given_out {
            return self.hang_up(LinkError::OutOfPlace(CLEAR_BYTES), now);
        }
        // Anybody may have written this in clear; the server says it again under TLS.
        info.connect_urls.clear();
        self.info = Some(info);
        self.start_tls(deadline);
    }

    pub(super) fn start_tls(&mut self, deadline: Instant) {
        let State::Linked(link) = &mut self.state else { return };
        link.phase = Phase::Securing { deadline };
        self.servers.wants_tls();
        let server_name = self.options.tls.server_name.clone().unwrap_or_else(|| link.tls_name.clone());
        self.actions.push_back(Action::StartTls { epoch: link.epoch, server_name });
    }

    /// The channel is as it shall be: says who asks to be let in, or has that asked first.
    pub(super) fn identify(&mut self, deadline: Instant) {
        let State::Linked(link) = &mut self.state else { return };
        if !matches!(self.options.auth, Auth::Asked(_)) {
            return self.introduce(None, deadline);
        }
        link.phase = Phase::Authenticating { deadline };
        let (epoch, is_secure) = (link.epoch, link.is_secure);
        let nonce = self.info.as_ref().and_then(|info| info.nonce.clone());
        self.actions.push_back(Action::Authenticate { epoch, nonce, is_secure });
    }

    /// Sends CONNECT, with what was answered or what is fixed.
    pub(super) fn introduce(&mut self, answer: Option<&Credentials>, deadline: Instant) {
        let State::Linked(link) = &mut self.state else { return };
        let mut connect =
            Connect { name: self.options.name.as_deref(), tls_required: link.is_secure, ..Connect::default() };
        match answer {
            Some(credentials) => credentials.apply(&mut connect),
            None => self.options.auth.apply(&mut connect),
        }
        #[cfg(feature = "tracing")]
        super::telling::introduced(link.epoch, link.is_secure);
        link.outbox.write_secret(|out| encode::connect(out, &connect));
        link.ping_greeting();
        link.phase = Phase::AwaitPong { deadline };
        link.pay_pongs();
    }

    fn come_up(&mut self) {
        let State::Linked(link) = &mut self.state else { return };
        link.phase = Phase::Up { since: self.now };
        link.outbox.write(|out| self.subscriptions.encode_all(out));
        self.statistics.connects += 1;
        self.servers.accepted();
        self.events.push_back(Owned::Connected);
        self.learn();
    }

    fn renew(&mut self, info: ServerInfo) {
        self.info = Some(info);
        if self.is_up() {
            self.events.push_back(Owned::Info);
            self.learn();
        }
    }

    /// Takes from the present INFO, once the link is up, what it says of other servers and of this one's end.
    fn learn(&mut self) {
        let State::Linked(link) = &mut self.state else { return };
        let Some(info) = &self.info else { return };
        if !self.options.ignore_discovered {
            self.servers.discover(&info.connect_urls);
        }
        if info.ldm && !link.is_lame {
            link.is_lame = true;
            self.events.push_back(Owned::LameDuck);
        }
    }
}
