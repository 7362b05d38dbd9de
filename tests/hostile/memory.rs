//! The stage without sockets: the session by hand, on virtual time.

use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use natsink::connection::{
    Action, Challenge, ConnectionOptions, Epoch, LinkError, ServerAddr, Sid, Statistics, Transmit,
};
use natsink::jetstream::{
    Message, Notice, Outcome, PublisherError, PublisherOptions, PublisherStatistics, SubmitError,
};
use natsink::proto::Subject;
use natsink::rng::Entropy;
use natsink::session::{FlushId, LinkNotice, LinkState, PublisherId, Received, Session};
use natsink::time::Instant;
use rustls::ServerConfig;

use super::stage::{Chunking, Cutter, Heard, Place, Stage};

/// How far virtual time goes in one case.
const TIME_MAX: Duration = Duration::from_secs(3600);

/// The session, its clock, and a link whose other end is the script.
pub(crate) struct Memory {
    session: Session,
    chunking: Chunking,
    cutter: Cutter,
    now: Instant,
    epoch: Epoch,
    dials: Vec<(Epoch, ServerAddr)>,
    dialled: Option<ServerAddr>,
    /// The name in the wish for a handshake that is still open.
    wanted_name: Option<String>,
    gone: bool,
    publisher: Option<PublisherId>,
    inbox: Option<Sid>,
    flush: Option<FlushId>,
}

impl Memory {
    pub(crate) fn new(options: ConnectionOptions, chunking: Chunking) -> Self {
        let session = Session::new(options, &Entropy::new([7; 32]));
        Self {
            session,
            chunking,
            cutter: Cutter::new(chunking),
            now: Instant::ZERO,
            epoch: Epoch::default(),
            dials: Vec::new(),
            dialled: None,
            wanted_name: None,
            gone: true,
            publisher: None,
            inbox: None,
            flush: None,
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Dial { epoch, addr, .. } => self.dials.push((epoch, addr)),
                Action::Hangup(epoch) if epoch == self.epoch => self.gone = true,
                Action::Hangup(epoch) => self.dials.retain(|(of, _)| *of != epoch),
                Action::StartTls { server_name, .. } => self.wanted_name = Some(server_name),
                Action::Authenticate { epoch, nonce, is_secure } => {
                    let authenticator = self.session.authenticator().expect("who wants it asked has it");
                    let server = self.session.server().expect("there is a link").clone();
                    let answer = authenticator.answer(&Challenge::new(nonce.as_deref(), &server, is_secure));
                    self.session.handle_credentials(epoch, answer, self.now);
                }
            }
        }
    }

    fn publisher(&self) -> PublisherId {
        self.publisher.expect("the script has a publisher")
    }
}

impl Stage for Memory {
    fn place(&self) -> Place {
        Place::Memory(self.chunking)
    }

    fn accept(&mut self) -> bool {
        if self.session.poll_timeout() <= Some(self.now) {
            self.session.handle_timeout(self.now);
        }
        self.act();
        let Some((epoch, addr)) = self.dials.pop() else { return false };
        (self.epoch, self.dialled, self.gone, self.wanted_name) = (epoch, Some(addr), false, None);
        self.session.handle_connected(epoch, self.now);
        self.act();
        true
    }

    fn dialled(&self) -> ServerAddr {
        self.dialled.clone().expect("somebody was dialled")
    }

    fn say(&mut self, bytes: &[u8]) {
        for piece in self.cutter.pieces(bytes) {
            if !self.gone {
                self.session.handle_input(self.epoch, piece, self.now);
                self.act();
            }
        }
    }

    fn is_heard(&self) -> bool {
        !self.gone
    }

    fn hear(&mut self) -> Heard {
        let mut heard = Vec::new();
        let mut transmit = Transmit::new();
        while self.session.poll_transmit(self.epoch, &mut transmit, self.now) {
            while !transmit.is_empty() {
                let mut slices = [&[][..]; 8];
                let filled = transmit.slices(&mut slices);
                let before = heard.len();
                heard.extend(slices[..filled].concat());
                let len = heard.len() - before;
                transmit.advance(len);
                self.session.handle_transmitted(self.epoch, len, self.now);
            }
        }
        match (heard.is_empty(), self.gone) {
            (false, _) => Heard::Bytes(heard),
            (true, true) => Heard::Gone,
            (true, false) => Heard::Nothing,
        }
    }

    fn said(&self) -> usize {
        self.cutter.said()
    }

    fn close(&mut self) {
        self.gone = true;
        self.session.handle_disconnected(self.epoch, LinkError::Closed { hint: None }, self.now);
        self.act();
    }

    fn secure(&mut self) -> Option<String> {
        let name = self.wanted_name.take().expect("the client wants the handshake");
        self.session.handle_secured(self.epoch, self.now);
        self.act();
        Some(name)
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn become_another(&mut self, _: Arc<ServerConfig>) {
        panic!("no handshake in memory")
    }

    fn turn(&mut self) -> bool {
        let Some(at) = self.session.poll_timeout().filter(|at| at.since(Instant::ZERO) < TIME_MAX) else {
            return false;
        };
        self.now = self.now.max(at);
        self.session.handle_timeout(self.now);
        self.act();
        true
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.act();
        }
        self.now = end;
    }

    fn now(&self) -> Duration {
        self.now.since(Instant::ZERO)
    }

    fn notices(&mut self) -> Vec<LinkNotice> {
        std::iter::from_fn(|| self.session.poll_notice()).collect()
    }

    fn link_state(&self) -> LinkState {
        self.session.link_state()
    }

    fn statistics(&self) -> Statistics {
        self.session.statistics()
    }

    fn add_publisher(&mut self, options: PublisherOptions) {
        self.publisher = Some(self.session.add_publisher(options, self.now).expect("options of a test are good"));
    }

    fn submit(&mut self, tag: u64, message: &Message<'_>) -> Result<(), SubmitError> {
        self.session.submit(self.publisher(), None, tag, message, self.now)
    }

    fn outcomes(&mut self) -> Vec<(u64, Outcome)> {
        let mut outcomes = Vec::new();
        self.session.take_outcomes(self.publisher(), &mut outcomes, None);
        outcomes
    }

    fn failure(&self) -> Option<PublisherError> {
        self.session.publisher(self.publisher()).and_then(|publisher| publisher.failure().cloned())
    }

    fn publisher_statistics(&self) -> PublisherStatistics {
        self.session.publisher(self.publisher()).expect("it is there").statistics()
    }

    fn publisher_notices(&mut self) -> Vec<Notice> {
        let id = self.publisher();
        let publisher = self.session.publisher_mut(id).expect("it is there");
        std::iter::from_fn(|| publisher.poll_notice()).collect()
    }

    fn outbox_len(&mut self) -> usize {
        self.session.outbox_len()
    }

    fn ask(&mut self, subject: &str) {
        let subject = Subject::new(subject).expect("a subject");
        self.inbox = Some(self.session.request(None, subject, None, b"").expect("there is a link to ask over"));
    }

    fn answer(&mut self) -> Option<Received> {
        let inbox = self.inbox.expect("something was asked");
        let received = self.session.next_received(inbox, Waker::noop())?;
        self.session.unsubscribe(inbox);
        Some(received)
    }

    fn reconnect(&mut self) {
        self.session.reconnect(self.now);
        self.act();
    }

    fn flush(&mut self) {
        self.flush = Some(self.session.begin_flush(self.now).expect("there is a link"));
    }

    fn is_flushed(&mut self) -> bool {
        let flush = self.flush.expect("it was asked");
        matches!(self.session.poll_flush(flush, Waker::noop()), Poll::Ready(Ok(_)))
    }

    fn show(&self, to: &mut dyn FnMut(&dyn Debug)) {
        to(&self.session);
    }
}
