//! The scripted server: what a case's script says, what it waits for, and what it sees of the client.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use natsink::connection::{CloseReason, LinkError};
use natsink::jetstream::Outcome;
use natsink::proto::Parser;
use natsink::session::{LinkNotice, LinkState};
use serde_json::Value;

use super::ops::{ClientOp, Published, parser};
use super::stage::{Heard, Place, Stage};

/// The greeting of a server that wants nothing.
pub(crate) const INFO: &str = r#"{"server_id":"S","version":"2.15.1","proto":1,"headers":true,"max_payload":1048576,"jetstream":true,"tls_available":true}"#;

/// What JetStream says of the stream `ORD`.
pub(crate) const ORD: &str = r#"{"config":{"name":"ORD","subjects":["ord.>"],"num_replicas":1},"created":"2026-01-01T00:00:00Z","state":{"last_seq":99}}"#;

/// How long anything may take that has to happen. Virtual time has its own end.
const DEADLINE: Duration = Duration::from_secs(10);

/// A server that does what its script says, and the client before it.
pub(crate) struct Peer {
    pub(crate) stage: Box<dyn Stage>,
    parser: Parser,
    heard: Vec<u8>,
    /// What was published and not yet asked for by the script.
    waiting: Vec<Published>,
    sids: Vec<(String, u64)>,
    outcomes: BTreeMap<u64, Outcome>,
    last_reply: String,
    /// All that the client told of its link.
    pub(crate) notices: Vec<LinkNotice>,
    told: usize,
    has_link: bool,
    /// Whether hands are shaken behind INFO.
    upgrades: bool,
    over: bool,
}

impl Peer {
    pub(crate) fn new(stage: Box<dyn Stage>, upgrades: bool) -> Self {
        Self {
            stage,
            parser: parser(),
            heard: Vec::new(),
            waiting: Vec::new(),
            sids: Vec::new(),
            outcomes: BTreeMap::new(),
            last_reply: String::new(),
            notices: Vec::new(),
            told: 0,
            has_link: false,
            upgrades,
            over: false,
        }
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.stage.place(), Place::Memory(_))
    }

    // What the server does.

    /// Takes the client's next dial.
    pub(crate) fn accept(&mut self) {
        self.wait("a dial", |peer| peer.stage.accept().then_some(()));
        self.parser = parser();
        self.heard.clear();
        self.waiting.clear();
        self.sids.clear();
        self.has_link = true;
    }

    /// Takes the client's next dial and greets it as a good server does. Gives its CONNECT.
    pub(crate) fn greet(&mut self) -> Value {
        self.greet_with(INFO)
    }

    /// As [`Peer::greet`], with another INFO.
    pub(crate) fn greet_with(&mut self, info: &str) -> Value {
        self.accept();
        self.say(format!("INFO {info} \r\n"));
        if self.upgrades {
            self.stage.secure();
        }
        let connect = self.connect();
        self.say("PONG\r\n");
        self.wait("the link to be up", |peer| (peer.stage.link_state() == LinkState::Up).then_some(()));
        connect
    }

    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stage.say(bytes.as_ref());
    }

    /// Hangs up.
    pub(crate) fn close(&mut self) {
        self.stage.close();
        self.has_link = false;
    }

    /// Brings a message to the inbox that a publish named.
    pub(crate) fn answer(&mut self, published: &Published, payload: impl AsRef<[u8]>) {
        let (sid, payload) = (self.sid_of(&published.reply), payload.as_ref());
        let line = format!("MSG {} {sid} {}\r\n", published.reply, payload.len());
        self.say([line.as_bytes(), payload, b"\r\n"].concat());
    }

    /// As [`Peer::answer`], with a header block, which is sent as it is.
    pub(crate) fn answer_with(&mut self, published: &Published, block: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) {
        let (block, payload) = (block.as_ref(), payload.as_ref());
        let (sid, total) = (self.sid_of(&published.reply), block.len() + payload.len());
        let line = format!("HMSG {} {sid} {} {total}\r\n", published.reply, block.len());
        self.say([line.as_bytes(), block, payload, b"\r\n"].concat());
    }

    /// Acknowledges a publish at this sequence of the stream `ORD`.
    pub(crate) fn ack(&mut self, published: &Published, seq: u64) {
        self.answer(published, format!(r#"{{"stream":"ORD","seq":{seq}}}"#));
    }

    /// The number of the subscription that a subject belongs to.
    pub(crate) fn sid_of(&mut self, subject: &str) -> u64 {
        let is_of =
            |pattern: &str| pattern == subject || pattern.strip_suffix('*').is_some_and(|p| subject.starts_with(p));
        let found = self.sids.iter().rev().find(|(pattern, _)| is_of(pattern));
        found.unwrap_or_else(|| panic!("nobody subscribed to {subject}")).1
    }

    /// The client's next dials, none of which is taken any further: to whom they went.
    pub(crate) fn dials(&mut self, count: usize) -> BTreeSet<String> {
        let mut dialled = BTreeSet::new();
        for _ in 0..count {
            self.accept();
            dialled.insert(self.stage.dialled().to_string());
            self.hang_up();
        }
        dialled
    }

    // What the server waits for.

    /// Waits for CONNECT and the PING behind it.
    pub(crate) fn connect(&mut self) -> Value {
        let ClientOp::Connect(connect) = self.next() else { panic!("CONNECT comes first") };
        assert!(matches!(self.next(), ClientOp::Ping), "a PING comes with CONNECT");
        connect
    }

    /// Waits for a PING of the client, and does not answer it.
    pub(crate) fn ping(&mut self) {
        loop {
            match self.next() {
                ClientOp::Ping => return,
                ClientOp::Sub { pattern, sid } => self.sids.push((pattern, sid)),
                ClientOp::Pub(published) => self.waiting.push(published),
                _ => {}
            }
        }
    }

    /// Waits for the next publish.
    pub(crate) fn published(&mut self) -> Published {
        if !self.waiting.is_empty() {
            return self.waiting.remove(0);
        }
        loop {
            match self.next_answered() {
                ClientOp::Pub(published) => return published,
                ClientOp::Pong => {}
                other => panic!("a publish is wanted, not {other:?}"),
            }
        }
    }

    /// Waits until the client has read all that was said, and says that it is still here.
    pub(crate) fn fence(&mut self) {
        self.say("PING\r\n");
        loop {
            match self.next_answered() {
                ClientOp::Pong => return,
                ClientOp::Pub(published) => self.waiting.push(published),
                other => panic!("a PONG is wanted, not {other:?}"),
            }
        }
    }

    /// What was published and not taken by the script yet.
    pub(crate) fn waiting(&self) -> &[Published] {
        &self.waiting
    }

    /// Waits for the end of the link, which is the client's doing, and gives the reason it tells.
    pub(crate) fn lost(&mut self) -> LinkError {
        self.wait("the client to hang up", |peer| match peer.stage.hear() {
            Heard::Gone => Some(()),
            _ => None,
        });
        self.reason()
    }

    /// The server hangs up, and the client tells how it takes that.
    pub(crate) fn hang_up(&mut self) -> LinkError {
        self.close();
        self.reason()
    }

    /// Waits for the reason the client tells for the end of a link.
    pub(crate) fn reason(&mut self) -> LinkError {
        self.wait("the reason of an end", Self::next_loss)
    }

    /// The reason that the client tells for the next end of a link, if it has told one.
    pub(crate) fn next_loss(&mut self) -> Option<LinkError> {
        self.read_notices();
        while let Some(notice) = self.notices.get(self.told) {
            self.told += 1;
            if let LinkNotice::Lost(cause) | LinkNotice::DialFailed(cause) = notice {
                self.has_link = false;
                return Some(cause.clone());
            }
        }
        None
    }

    /// Forgets all that the client told of its link.
    pub(crate) fn forget_notices(&mut self) {
        self.notices.clear();
        self.told = 0;
    }

    /// Waits for the end of the connection.
    pub(crate) fn closed(&mut self) -> CloseReason {
        self.over = true;
        self.wait("the connection to be over", |peer| match peer.stage.link_state() {
            LinkState::Closed(reason) => Some(reason),
            _ => None,
        })
    }

    /// Every byte that the client says on this link until it hangs up.
    pub(crate) fn said_until_lost(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.heard);
        self.wait("the client to hang up", |peer| match peer.stage.hear() {
            Heard::Gone => Some(()),
            Heard::Bytes(bytes) => {
                all.extend(bytes);
                None
            }
            Heard::Nothing => None,
        });
        all
    }

    // What is seen of it.

    /// Waits for the outcome of the message with this tag.
    pub(crate) fn outcome(&mut self, tag: u64) -> Outcome {
        self.wait("an outcome", |peer| {
            peer.read_outcomes();
            peer.outcomes.get(&tag).cloned()
        })
    }

    /// As [`Peer::outcome`], and the tag can be used again.
    pub(crate) fn take_outcome(&mut self, tag: u64) -> Outcome {
        let outcome = self.outcome(tag);
        self.outcomes.remove(&tag);
        outcome
    }

    /// The reply subject of the publish that came last.
    pub(crate) fn last_reply(&self) -> String {
        self.last_reply.clone()
    }

    /// Whether the message with this tag has an outcome, as far as the client has read.
    pub(crate) fn is_settled(&mut self, tag: u64) -> bool {
        self.read_outcomes();
        self.outcomes.contains_key(&tag)
    }

    /// What the client told of its link since this was last asked.
    pub(crate) fn new_notices(&mut self) -> Vec<LinkNotice> {
        self.read_notices();
        let new = self.notices[self.told..].to_vec();
        self.told = self.notices.len();
        new
    }

    /// A good server would come too late for a test that must not take long.
    pub(crate) fn ends_here(&mut self) {
        self.over = true;
    }

    /// A good server cures everything: where there is no link one comes up, and a question is answered.
    pub(crate) fn end(&mut self) {
        if self.over {
            return;
        }
        if !self.has_link {
            self.greet();
        }
        let question = self.ask();
        self.answer(&question, "cured");
        assert_eq!(self.received().payload, "cured", "a good server after all");
    }

    /// Waits for what must come.
    pub(crate) fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(seen) = look(self) {
                return seen;
            }
            let goes_on = self.stage.turn() && Instant::now() < deadline;
            assert!(goes_on, "{what} does not come; link {:?}, notices {:?}", self.stage.link_state(), self.notices);
        }
    }

    fn read_notices(&mut self) {
        self.notices.extend(self.stage.notices());
    }

    fn read_outcomes(&mut self) {
        for (tag, outcome) in self.stage.outcomes() {
            let before = self.outcomes.insert(tag, outcome);
            assert_eq!(before, None, "message {tag} has two outcomes");
        }
    }

    /// The next op that is not kept up with by itself: PINGs are answered, subscriptions noted.
    fn next_answered(&mut self) -> ClientOp {
        loop {
            match self.next() {
                ClientOp::Ping => self.say("PONG\r\n"),
                ClientOp::Sub { pattern, sid } => self.sids.push((pattern, sid)),
                ClientOp::Unsub => {}
                ClientOp::Pub(published) => {
                    self.last_reply.clone_from(&published.reply);
                    return ClientOp::Pub(published);
                }
                op => return op,
            }
        }
    }

    fn next(&mut self) -> ClientOp {
        self.wait("an op of the client", |peer| {
            if let Some(frame) = peer.parser.frame(&peer.heard).expect("the client speaks NATS") {
                let op = ClientOp::of(frame.op(&peer.heard));
                peer.heard.drain(..frame.len);
                return Some(op);
            }
            match peer.stage.hear() {
                Heard::Bytes(bytes) => {
                    peer.heard.extend(bytes);
                    let frame = peer.parser.frame(&peer.heard).expect("the client speaks NATS")?;
                    let op = ClientOp::of(frame.op(&peer.heard));
                    peer.heard.drain(..frame.len);
                    Some(op)
                }
                Heard::Nothing => None,
                Heard::Gone => {
                    peer.read_notices();
                    panic!("the client hung up: {:?}", peer.notices)
                }
            }
        })
    }
}
