//! A model of nats-server with JetStream, without sockets or clock, and stricter than the real one.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::consumer::Consumer;
use super::peer::Peer;
use super::stream::{Offer, Stream};
use super::verdict::{Arrival, Late, Script, Verdict};
use super::violation::Violation;
use crate::proto::{Headers, Op, OpName, Pattern, Subject, encode};
use crate::time::Instant;

/// The server. Streams, ids and answers that are still to come survive every connection.
#[derive(Debug)]
pub struct Server {
    /// Its streams.
    pub streams: Vec<Stream>,
    /// The largest publish it takes, headers and payload.
    pub max_payload: usize,
    /// Whether JetStream answers; without it everything is 503.
    pub jetstream: bool,
    /// Subjects nobody may publish to.
    pub denied: Vec<Pattern>,
    /// How long an answer of JetStream's API takes. It tells what was so when the question came.
    pub api_delay: Duration,
    /// Swallows questions to JetStream's API.
    pub api_silent: bool,
    /// How far the replica is behind that leads consumers.
    pub consumer_lag: Duration,
    /// How many consumers a stream may have.
    pub consumers_max: usize,
    /// How many messages may be asked for at a time.
    pub batch_max: u64,
    /// Whether PINGs are answered.
    pub pongs: bool,
    pub(super) consumers: Vec<Consumer>,
    script: Script,
    /// Verdicts on the next publishes, before the script is asked.
    verdicts: VecDeque<Verdict>,
    peers: BTreeMap<ConnectionId, Peer>,
    connections: u64,
    held: Vec<Held>,
    arrivals: u64,
    attempts: BTreeMap<String, u32>,
    last_reply: Option<String>,
    /// When a publish came last that nobody took.
    pub(super) refused_at: Option<Instant>,
    pub(super) violations: Vec<Violation>,
    pub(super) counts: Counts,
}

/// A connection, as the server counts them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(u64);

/// What the server has counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Answers that nobody had subscribed to.
    pub undelivered: u64,
    /// Messages of which only a part had come when the connection ended.
    pub partial: u64,
    /// PONGs received.
    pub pongs: u64,
    /// `STREAM.INFO` questions.
    pub info_questions: u64,
    /// `STREAM.MSG.GET` questions for a sequence.
    pub read_backs: u64,
    /// Consumers made.
    pub consumers_made: u64,
    /// Messages that consumers have delivered.
    pub recalled: u64,
    /// Verdicts, and returns of JetStream, after which a later message may be stored before an earlier one.
    pub adverse: u64,
}

#[derive(Debug)]
struct Held {
    reply: String,
    answer: Answer,
    at: Instant,
    at_arrival: u64,
}

#[derive(Debug)]
pub(super) enum Answer {
    Payload(Vec<u8>),
    NoResponders { subject: String },
}

impl Server {
    /// A server with one stream.
    pub fn new(stream: Stream) -> Self {
        Self {
            streams: Vec::from([stream]),
            max_payload: 1 << 20,
            jetstream: true,
            denied: Vec::new(),
            api_delay: Duration::ZERO,
            api_silent: false,
            consumer_lag: Duration::ZERO,
            consumers_max: usize::MAX,
            batch_max: 1000,
            pongs: true,
            consumers: Vec::new(),
            script: Script::default(),
            verdicts: VecDeque::new(),
            peers: BTreeMap::new(),
            connections: 0,
            held: Vec::new(),
            arrivals: 0,
            attempts: BTreeMap::new(),
            last_reply: None,
            refused_at: None,
            violations: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Decides on publishes with this script from now on.
    pub fn script(&mut self, script: Script) {
        self.script = script;
        self.verdicts.clear();
    }

    /// Decides on one more of the next publishes.
    pub fn decide_next(&mut self, verdict: Verdict) {
        self.verdicts.push_back(verdict);
    }

    /// A client has dialled.
    pub fn accept(&mut self) -> ConnectionId {
        self.connections += 1;
        let id = ConnectionId(self.connections);
        let mut peer = Peer::new(self.max_payload);
        encode::info(&mut peer.output, &self.info(false));
        self.peers.insert(id, peer);
        id
    }

    /// Bytes have come from a client.
    pub fn handle_input(&mut self, id: ConnectionId, bytes: &[u8], now: Instant) {
        let Some(mut input) = self.peers.get_mut(&id).and_then(|peer| peer.receive(bytes)) else { return };
        let mut read = 0;
        while let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.closing) {
            match peer.parser.frame(&input[read..]) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let op = frame.op(&input[read..read + frame.len]);
                    self.take(id, op, frame.op.name(), now);
                    read += frame.len;
                }
                Err(error) => {
                    self.close(id, "Unknown Protocol Operation");
                    self.violations.push(Violation::Unparsable(error));
                }
            }
        }
        input.drain(..read);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.input = input;
        }
    }

    /// A client's connection is gone. What had come of an unfinished message goes with it.
    pub fn handle_closed(&mut self, id: ConnectionId) {
        if let Some(peer) = self.peers.remove(&id) {
            self.counts.partial += u64::from(!peer.input.is_empty());
        }
    }

    /// The server is gone, and comes back with what it had stored. Answers that were still to come are lost.
    pub fn restart(&mut self) {
        self.peers.clear();
        self.held.clear();
        self.consumers.clear();
    }

    /// All consumers are gone, as when the server is that held them.
    pub fn lose_consumers(&mut self) {
        for consumer in core::mem::take(&mut self.consumers) {
            self.say_all(consumer.end());
        }
    }

    /// How many consumers there are.
    pub fn consumers(&self) -> usize {
        self.consumers.len()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.release(now);
    }

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let consumers = self.consumers.iter().filter(|_| self.jetstream).filter_map(|consumer| {
            let stream = self.streams.iter().find(|stream| stream.name == consumer.stream);
            consumer.timeout(stream, self.consumer_lag)
        });
        self.held.iter().map(|held| held.at).chain(consumers).min()
    }

    /// Moves what is owed to this client into `into`. `false` when the server has closed the connection.
    pub fn take_output(&mut self, id: ConnectionId, into: &mut Vec<u8>) -> bool {
        match self.peers.get_mut(&id) {
            Some(peer) => {
                into.append(&mut peer.output);
                !peer.closing
            }
            None => false,
        }
    }

    /// Says something to all clients that nobody asked for.
    pub fn say(&mut self, write: impl Fn(&mut Vec<u8>)) {
        for peer in self.peers.values_mut().filter(|peer| peer.is_greeted()) {
            write(&mut peer.output);
        }
    }

    /// Publishes to all who have subscribed, as another client does.
    pub fn publish(&mut self, subject: &str, payload: &[u8]) {
        self.deliver(subject, None, None, payload);
    }

    /// How many connections there are.
    pub fn clients(&self) -> usize {
        self.peers.len()
    }

    /// What clients did wrong.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many publishes into streams have come.
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// How often each id has come.
    pub fn attempts(&self) -> &BTreeMap<String, u32> {
        &self.attempts
    }

    /// Where the answer to the last publish into a stream is wanted.
    pub fn last_reply(&self) -> Option<&str> {
        self.last_reply.as_deref()
    }

    fn info(&self, connect_info: bool) -> String {
        let more = if connect_info { r#","connect_info":true,"remote_account":"$G""# } else { "" };
        let Self { max_payload, jetstream, connections, .. } = self;
        let fixed = r#""server_id":"NMODEL","server_name":"model","version":"2.15.1","proto":1,"headers":true"#;
        format!(r#"{{{fixed},"max_payload":{max_payload},"jetstream":{jetstream},"client_id":{connections}{more}}}"#)
    }

    fn take(&mut self, id: ConnectionId, op: Op<'_>, name: OpName, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.connected && !matches!(op, Op::Connect(_)) {
            self.violations.push(Violation::BeforeConnect(name));
            return self.close(id, "Authorization Violation");
        }
        match op {
            Op::Connect(json) => match peer.connect(json) {
                Ok(()) => {}
                Err(why) => self.violations.push(Violation::Connect(why)),
            },
            Op::Ping if self.pongs => {
                let first = !peer.greeted;
                peer.greeted = true;
                encode::pong(&mut peer.output);
                if first {
                    // As the real one: a second INFO that nobody asked for, and an early first PING.
                    let info = self.info(true);
                    if let Some(peer) = self.peers.get_mut(&id) {
                        encode::info(&mut peer.output, &info);
                        encode::ping(&mut peer.output);
                    }
                }
            }
            Op::Ping => {}
            Op::Pong => self.counts.pongs += 1,
            Op::Sub { subject, queue, sid } => {
                if let Err(violation) = peer.subscribe(subject, queue, sid) {
                    self.violations.push(violation);
                }
            }
            Op::Unsub { sid, max } => peer.unsubscribe(sid, max),
            Op::Pub { subject, reply, payload } => self.take_publish(id, subject, reply, None, payload, now),
            Op::HPub { subject, reply, headers, payload } => {
                self.take_publish(id, subject, reply, Some(headers), payload, now);
            }
            Op::Info(_) | Op::Ok | Op::Err(_) | Op::Msg { .. } | Op::HMsg { .. } => {
                unreachable!("the parser reads only ops of a client")
            }
        }
    }

    fn take_publish(
        &mut self,
        id: ConnectionId,
        subject: &[u8],
        reply: Option<&[u8]>,
        headers: Option<&[u8]>,
        payload: &[u8],
        now: Instant,
    ) {
        let size = headers.map_or(0, <[u8]>::len) + payload.len();
        if size > self.max_payload {
            return self.close(id, "Maximum Payload Violation");
        }
        let (Some(name), Ok(reply)) = (subject_text(subject), reply.map(|r| subject_text(r).ok_or(r)).transpose())
        else {
            return self.violations.push(Violation::Malformed(String::from_utf8_lossy(subject).into_owned()));
        };
        let Ok(parsed) = headers.map(Headers::parse).transpose() else {
            return self.violations.push(Violation::Malformed(name.to_string()));
        };
        if let Some(reply) = reply
            && self.peers.get(&id).is_some_and(|peer| !peer.hears(reply))
        {
            self.violations.push(Violation::NotSubscribed(reply.to_string()));
        }
        if self.denied.iter().any(|pattern| pattern.matches(name)) {
            if let Some(peer) = self.peers.get_mut(&id) {
                encode::err(&mut peer.output, &format!("Permissions Violation for Publish to \"{name}\""));
            }
            return;
        }
        if name.starts_with("$JS.API.") {
            return self.take_question(name, reply, payload, now);
        }
        let heard = self.deliver(name, reply, headers, payload);
        let Some(stream) = self.streams.iter().position(|stream| stream.captures(name)).filter(|_| self.jetstream)
        else {
            if !heard && let Some(reply) = reply {
                self.refused_at = Some(now);
                self.answer(reply, &Answer::NoResponders { subject: name.to_string() });
            }
            return;
        };
        let header =
            |name| parsed.as_ref().and_then(|headers| headers.value(name)).and_then(|v| core::str::from_utf8(v).ok());
        let offer = Offer {
            subject: name,
            id: header("Nats-Msg-Id"),
            expected_stream: header("Nats-Expected-Stream"),
            size,
            payload,
        };
        if offer.id.is_none() && reply.is_some() {
            self.violations.push(Violation::NoMsgId(name.to_string()));
        }
        self.take_message(stream, &offer, reply, now);
    }

    /// Something outside of the script lets a later message be stored before an earlier one.
    pub(super) fn handle_adverse(&mut self) {
        self.counts.adverse += 1;
    }

    /// A message for a stream: what becomes of it is the script's to say.
    fn take_message(&mut self, stream: usize, offer: &Offer<'_>, reply: Option<&str>, now: Instant) {
        let id = offer.id.unwrap_or("");
        let attempts = self.attempts.entry(id.to_string()).or_insert(0);
        *attempts += 1;
        let arrival = Arrival { id, subject: offer.subject, attempt: *attempts, number: self.arrivals, now };
        let verdict = self.verdicts.pop_front().unwrap_or_else(|| self.script.decide(&arrival));
        self.counts.adverse += u64::from(verdict.can_invert());
        self.arrivals += 1;
        self.last_reply = reply.map(ToString::to_string);
        self.release(now);
        let stream = &mut self.streams[stream];
        let refused = || Answer::NoResponders { subject: offer.subject.to_string() };
        let (answer, late) = match verdict {
            Verdict::Store => (Answer::Payload(stream.take(offer, now)), None),
            Verdict::StoreLateAck(late) => (Answer::Payload(stream.take(offer, now)), Some(late)),
            Verdict::Refuse503 => (refused(), None),
            Verdict::Late503(late) => (refused(), Some(late)),
            Verdict::Refuse(refusal) => (Answer::Payload(stream.refuse_new(offer, refusal, now)), None),
            Verdict::WrongStream => (Answer::Payload(br#"{"stream":"ELSEWHERE","seq":1}"#.to_vec()), None),
            Verdict::Garble(bytes) => {
                stream.take(offer, now);
                (Answer::Payload(bytes.to_vec()), None)
            }
            Verdict::StoreButLoseAck => {
                stream.take(offer, now);
                return;
            }
            Verdict::Drop => return,
        };
        match (reply, late) {
            (Some(reply), None) => self.answer(reply, &answer),
            (Some(reply), Some(late)) => self.hold(reply, answer, late, now),
            (None, _) => {}
        }
    }

    fn take_question(&mut self, subject: &str, reply: Option<&str>, payload: &[u8], now: Instant) {
        if self.api_silent {
            return;
        }
        if self.jetstream
            && let Some(question) = subject.strip_prefix("$JS.API.CONSUMER.")
        {
            return self.take_consumer_question(question, reply, payload, now);
        }
        let Some(reply) = reply else { return };
        let of = |stream: &str| self.streams.iter().find(|known| known.name == stream).filter(|_| self.jetstream);
        let missing = || br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#.to_vec();
        let answer = if !self.jetstream {
            Answer::NoResponders { subject: subject.to_string() }
        } else if let Some(stream) = subject.strip_prefix("$JS.API.STREAM.INFO.") {
            self.counts.info_questions += 1;
            Answer::Payload(of(stream).map_or_else(missing, Stream::info))
        } else if let Some(stream) = subject.strip_prefix("$JS.API.STREAM.MSG.GET.") {
            let ask: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
            let seq = ask.get("seq").and_then(serde_json::Value::as_u64).unwrap_or(0);
            let is_next = ask.get("next_by_subj").is_some();
            self.counts.read_backs += u64::from(!is_next);
            Answer::Payload(of(stream).map_or_else(missing, |stream| {
                stream.message_answer(if is_next { stream.from(seq) } else { stream.at(seq) })
            }))
        } else {
            Answer::NoResponders { subject: subject.to_string() }
        };
        self.answer_in_time(reply, answer, now);
    }

    pub(super) fn answer_in_time(&mut self, reply: &str, answer: Answer, now: Instant) {
        if self.api_delay.is_zero() {
            self.answer(reply, &answer);
        } else {
            self.hold(reply, answer, Late::after(self.api_delay), now);
        }
    }

    fn hold(&mut self, reply: &str, answer: Answer, late: Late, now: Instant) {
        let at_arrival = self.arrivals + u64::from(late.arrivals);
        self.held.push(Held { reply: reply.to_string(), answer, at: now + late.after, at_arrival });
    }

    /// Sends the late answers whose time has come, in the order in which they were due to be sent.
    fn release(&mut self, now: Instant) {
        let arrivals = self.arrivals;
        let due = |held: &mut Held| held.at <= now || held.at_arrival <= arrivals;
        let released: Vec<Held> = self.held.extract_if(.., due).collect();
        for held in released {
            self.answer(&held.reply, &held.answer);
        }
        self.deliver_consumed(now);
    }

    pub(super) fn answer(&mut self, reply: &str, answer: &Answer) {
        let heard = match answer {
            Answer::Payload(payload) => self.deliver(reply, None, None, payload),
            Answer::NoResponders { subject } => {
                let block = format!("NATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n");
                self.deliver(reply, None, Some(block.as_bytes()), b"")
            }
        };
        self.counts.undelivered += u64::from(!heard);
    }

    /// Gives a message to all who have subscribed to it, and to one of each queue group. Whether anybody had.
    pub(super) fn deliver(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        headers: Option<&[u8]>,
        payload: &[u8],
    ) -> bool {
        self.deliver_as(subject, subject, reply, headers, payload)
    }

    /// As [`Server::deliver`], to those who have subscribed to `to`, as if it had come on `subject`.
    pub(super) fn deliver_as(
        &mut self,
        to: &str,
        subject: &str,
        reply: Option<&str>,
        headers: Option<&[u8]>,
        payload: &[u8],
    ) -> bool {
        let Ok(name) = Subject::new(subject) else { return false };
        let reply = reply.and_then(|reply| Subject::new(reply).ok());
        let mut heard = false;
        let mut groups = BTreeSet::new();
        for peer in self.peers.values_mut() {
            for (sid, queue) in peer.matching(to) {
                if queue.is_none_or(|queue| groups.insert(queue)) {
                    encode::msg(&mut peer.output, name, sid, reply, headers, payload);
                    peer.delivered(sid);
                    heard = true;
                }
            }
        }
        heard
    }

    fn close(&mut self, id: ConnectionId, words: &str) {
        if let Some(peer) = self.peers.get_mut(&id) {
            encode::err(&mut peer.output, words);
            peer.closing = true;
        }
    }
}

fn subject_text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok().filter(|text| Subject::new(text).is_ok())
}
