//! A session driven by hand: its clock, and a socket whose other end is the test.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use natsink::connection::{Action, ConnectionOptions, Epoch, LinkError, ServerList, Transmit};
use natsink::jetstream::{Message, Outcome, PublisherOptions, SubmitError};
use natsink::proto::{Frame, MsgId, Op, Parser, ParserLimits, Side, Subject};
use natsink::rng::Entropy;
use natsink::session::{LinkNotice, PublisherId, Session};
use natsink::time::Instant;

/// The greeting of a server that wants nothing.
pub const INFO: &[u8] = b"INFO {\"headers\":true,\"max_payload\":1048576,\"jetstream\":true}\r\n";

/// What the client wrote: where to, where the answer goes, and the payload.
#[derive(Clone, Debug)]
pub struct Written {
    pub subject: String,
    pub reply: String,
    pub payload: Vec<u8>,
}

/// A session, its clock, and a socket whose other end is the test.
pub struct Hand {
    pub session: Session,
    pub now: Instant,
    pub epoch: Epoch,
    /// The URL of the server that was dialled last.
    pub dialled: String,
    parser: Parser,
    read: Vec<u8>,
    pub seen: Vec<Outcome>,
}

/// A waker that counts how often it is woken.
#[derive(Default)]
pub struct Count(AtomicUsize);

impl Count {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn woken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Hand {
    pub fn new(options: PublisherOptions) -> (Self, PublisherId) {
        Self::with("nats://h", options)
    }

    /// A hand on a session with these servers, in this order.
    pub fn with(servers: &str, options: PublisherOptions) -> (Self, PublisherId) {
        let mut connection = ConnectionOptions::new(ServerList::parse(servers).unwrap().servers);
        connection.servers_in_order = true;
        let mut session = Session::new(connection, &Entropy::new([7; 32]));
        let publisher = session.add_publisher(options, Instant::ZERO).unwrap();
        let parser = Parser::new(Side::Client, ParserLimits::default());
        let mut hand = Self {
            session,
            now: Instant::ZERO,
            epoch: Epoch::default(),
            dialled: String::new(),
            parser,
            read: Vec::new(),
            seen: Vec::new(),
        };
        hand.connect();
        (hand, publisher)
    }

    /// Lets the session dial, and greets it.
    pub fn connect(&mut self) {
        self.session.handle_timeout(self.now);
        let dial = std::iter::from_fn(|| self.session.poll_action()).find_map(|action| match action {
            Action::Dial { epoch, addr, .. } => Some((epoch, addr.to_string())),
            _ => None,
        });
        (self.epoch, self.dialled) = dial.expect("a session without a link dials");
        self.read.clear();
        self.parser = Parser::new(Side::Client, ParserLimits::default());
        self.session.handle_connected(self.epoch, self.now);
        self.say(INFO);
        self.written();
        self.say(b"PONG\r\n");
    }

    /// Wakes all whom the session left to be woken.
    pub fn wake_all(&mut self) {
        std::iter::from_fn(|| self.session.pop_woken()).for_each(Waker::wake);
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.session.handle_input(self.epoch, bytes, self.now);
    }

    /// Answers what was asked for by `asked`.
    pub fn answer(&mut self, asked: &Written, payload: &str) {
        self.say(format!("MSG {} 1 {}\r\n{payload}\r\n", asked.reply, payload.len()).as_bytes());
    }

    pub fn no_responders(&mut self, asked: &Written) {
        let headers = "NATS/1.0 503\r\n\r\n";
        let len = headers.len();
        self.say(format!("HMSG {} 1 {len} {len}\r\n{headers}\r\n", asked.reply).as_bytes());
    }

    /// Takes all that the session writes and tells what is published.
    pub fn written(&mut self) -> Vec<Written> {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
        self.ops(|frame, bytes| match frame.op(bytes) {
            Op::Pub { subject, reply, payload } | Op::HPub { subject, reply, payload, .. } => {
                Some(Written { subject: text(Some(subject)), reply: text(reply), payload: payload.to_vec() })
            }
            _ => None,
        })
    }

    /// Takes all that the session writes and tells the first line of each op.
    pub fn written_lines(&mut self) -> Vec<String> {
        self.ops(|frame, bytes| {
            let op = String::from_utf8_lossy(&bytes[..frame.len]);
            Some(op.split("\r\n").next().unwrap().to_owned())
        })
    }

    /// Takes all that the session writes and tells what is wanted of each op.
    fn ops<T>(&mut self, wanted: impl Fn(Frame, &[u8]) -> Option<T>) -> Vec<T> {
        let mut transmit = Transmit::new();
        while self.session.poll_transmit(self.epoch, &mut transmit, self.now) {
            while !transmit.is_empty() {
                let mut slices = [&[][..]; 8];
                let filled = transmit.slices(&mut slices);
                let before = self.read.len();
                self.read.extend(slices[..filled].concat());
                let len = self.read.len() - before;
                transmit.advance(len);
                self.session.handle_transmitted(self.epoch, len, self.now);
            }
        }
        let (mut all, mut read) = (Vec::new(), 0);
        while let Some(frame) = self.parser.frame(&self.read[read..]).unwrap() {
            all.extend(wanted(frame, &self.read[read..]));
            read += frame.len;
        }
        self.read.drain(..read);
        all
    }

    /// Goes from timer to timer until `later`, PINGs answered. Fails where a timer asks to be called for ever.
    pub fn pass(&mut self, later: Duration) -> Vec<Written> {
        let end = self.now + later;
        let mut all = self.written();
        let mut calls = 0;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            calls = if at > self.now { 0 } else { calls + 1 };
            assert!(calls < 5, "a timer that is never over keeps its driver awake for ever");
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            all.extend(self.written());
            self.say(b"PONG\r\n");
        }
        self.now = end;
        all
    }

    pub fn submit(
        &mut self,
        publisher: PublisherId,
        subject: &str,
        id: &str,
        payload: &str,
    ) -> Result<(), SubmitError> {
        let message = Message::new(Subject::new(subject).unwrap(), payload).id(MsgId::new(id).unwrap());
        self.session.submit(publisher, None, 0, &message, self.now)
    }

    pub fn outcomes(&mut self, publisher: PublisherId) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        self.session.take_outcomes(publisher, &mut outcomes, None);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// All outcomes since the beginning.
    pub fn outcomes_so_far(&mut self, publisher: PublisherId) -> &[Outcome] {
        let new = self.outcomes(publisher);
        self.seen.extend(new);
        &self.seen
    }

    /// Why links were lost since this was last asked.
    pub fn lost(&mut self) -> Vec<LinkError> {
        std::iter::from_fn(|| self.session.poll_notice())
            .filter_map(|notice| match notice {
                LinkNotice::Lost(cause) => Some(cause),
                _ => None,
            })
            .collect()
    }

    /// Answers the look at the stream on a later link, the stream grown meanwhile.
    pub fn verify_again(&mut self) {
        let asked = self.written();
        assert!(asked.len() == 1 && asked[0].subject == "$JS.API.STREAM.INFO.ORD", "{asked:?}");
        self.answer(&asked[0], &info("ord.>").replace("99", "9999"));
    }

    /// Answers the look at the stream.
    pub fn verify(&mut self, subjects: &str) {
        let asked = self.written();
        assert!(asked.len() == 1 && asked[0].subject == "$JS.API.STREAM.INFO.ORD", "{asked:?}");
        self.answer(&asked[0], &info(subjects));
    }
}

pub fn info(subjects: &str) -> String {
    format!(
        r#"{{"config":{{"name":"ORD","subjects":["{subjects}"],"num_replicas":1}},"created":"2026-01-01T00:00:00Z","state":{{"last_seq":99}}}}"#
    )
}

pub fn verified(options: PublisherOptions) -> (Hand, PublisherId) {
    let (mut hand, publisher) = Hand::new(options);
    hand.verify("ord.>");
    assert!(hand.session.publisher(publisher).unwrap().is_verified());
    (hand, publisher)
}

pub fn stream() -> PublisherOptions {
    PublisherOptions::stream("ORD")
}
