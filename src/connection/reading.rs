//! What a connection makes of each op: the greeting, the pings, the complaints, and the messages it gives out.

use super::link::{Phase, Pong};
use super::machine::{Connection, Owned, State};
use super::{LinkError, Sid};
use crate::proto::{Connect, Frame, FrameOp, ServerError, ServerInfo, encode};
use crate::time::Instant;

impl Connection {
    pub(super) fn is_delivery(&mut self, frame: &Frame) -> bool {
        let (FrameOp::Msg { sid, .. } | FrameOp::HMsg { sid, .. }) = frame.op else { return false };
        let ours = self.is_up() && self.subscriptions.contains(Sid(sid));
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
            (_, Phase::AwaitInfo { .. } | Phase::Dialing { .. }) => {
                self.hang_up(LinkError::OutOfPlace("an op before INFO"), self.now);
            }
            (FrameOp::Info(json), _) => {
                // A later INFO that cannot be read changes nothing: the first one stands.
                if let Ok(info) = ServerInfo::parse(json.of(bytes)) {
                    self.renew(info);
                }
            }
            (FrameOp::Ping, _) => link.pong(self.options.limits.pings_max),
            (FrameOp::Pong, _) => match link.take_pong() {
                Pong::Greeting => self.come_up(),
                Pong::Caller(number) => self.events.push_back(Owned::Pong(number)),
                Pong::Other => {}
            },
            (FrameOp::Ok, _) => {}
            (FrameOp::Msg { .. } | FrameOp::HMsg { .. }, _) => self.statistics.strays += 1,
            (_, _) => self.hang_up(LinkError::OutOfPlace("a client's op from the server"), self.now),
        }
    }

    fn greet(&mut self, info: ServerInfo, deadline: Instant) {
        let now = self.now;
        let State::Linked(link) = &mut self.state else { return };
        if info.tls_required || link.addr.tls {
            return self.hang_up(LinkError::TlsRequired, now);
        }
        if !info.headers {
            return self.hang_up(LinkError::Unsupported("headers"), now);
        }
        let mut connect = Connect { name: self.options.name.as_deref(), ..Connect::default() };
        self.options.auth.apply(&mut connect);
        link.outbox.write(|out| encode::connect(out, &connect));
        link.ping_greeting();
        link.phase = Phase::AwaitPong { deadline };
        self.info = Some(info);
    }

    fn come_up(&mut self) {
        let State::Linked(link) = &mut self.state else { return };
        link.phase = Phase::Up { since: self.now };
        link.outbox.write(|out| self.subscriptions.encode_all(out));
        self.statistics.connects += 1;
        self.servers.accepted();
        self.events.push_back(Owned::Connected);
    }

    fn renew(&mut self, info: ServerInfo) {
        if info.ldm && !self.info.as_ref().is_some_and(|known| known.ldm) {
            self.events.push_back(Owned::LameDuck);
        }
        self.info = Some(info);
    }
}
