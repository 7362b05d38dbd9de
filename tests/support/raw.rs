//! A tiny blocking NATS client over `std::net`, which shares nothing with natsink.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::User;

/// How long an answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// One connection.
pub struct Raw {
    socket: BufReader<TcpStream>,
    inbox: String,
    sid_last: u64,
}

/// A message as the connection received it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    pub subject: String,
    pub sid: u64,
    pub reply: Option<String>,
    /// The number behind `NATS/1.0`, when there is one.
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    pub payload: Vec<u8>,
}

impl Received {
    /// The first value of this header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(is, _)| is == name).map(|(_, value)| value.as_str())
    }
}

/// A message as the stream holds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    pub seq: u64,
    pub subject: String,
    pub headers: Vec<(String, String)>,
    pub payload: Vec<u8>,
}

impl Stored {
    /// The `Nats-Msg-Id`.
    pub fn id(&self) -> Option<&str> {
        self.headers.iter().find(|(is, _)| is == "Nats-Msg-Id").map(|(_, value)| value.as_str())
    }
}

impl Raw {
    /// Connects to `nats://[user:password@|token@]host:port` and waits for the first PONG.
    pub fn connect(url: &str) -> Self {
        let rest = url.strip_prefix("nats://").expect("a nats:// URL");
        let (credentials, address) = rest.rsplit_once('@').unwrap_or(("", rest));
        Self::connect_as(address, |_| match credentials.split_once(':') {
            Some((user, password)) => json!({"user": user, "pass": password}),
            None if !credentials.is_empty() => json!({"auth_token": credentials}),
            None => json!({}),
        })
    }

    /// Connects with the JWT of this user and waits for the first PONG.
    pub fn connect_user(address: &str, user: &User) -> Self {
        Self::connect_as(address, |nonce| json!({"jwt": user.jwt(), "sig": user.signature(nonce)}))
    }

    /// Connects with what `credentials` makes of the greeting's nonce, empty when there is none.
    fn connect_as(address: &str, credentials: impl FnOnce(&str) -> Value) -> Self {
        let socket = TcpStream::connect(address).expect("the server listens");
        socket.set_read_timeout(Some(ANSWER_DEADLINE)).expect("a socket takes a timeout");
        socket.set_nodelay(true).expect("a socket takes nodelay");
        let inbox = format!("_INBOX.raw{}", socket.local_addr().expect("connected").port());
        let mut raw = Self { socket: BufReader::new(socket), inbox, sid_last: 0 };
        let greeting = raw.line();
        let info = greeting.strip_prefix("INFO ").expect("a server greets with INFO");
        let info: Value = serde_json::from_str(info).expect("INFO is JSON");
        let mut options = credentials(info["nonce"].as_str().unwrap_or_default());
        for (name, value) in [("lang", json!("raw")), ("protocol", json!(1))] {
            options[name] = value;
        }
        for (name, value) in [("verbose", false), ("pedantic", false), ("headers", true), ("no_responders", true)] {
            options[name] = json!(value);
        }
        raw.write(format!("CONNECT {options}\r\nPING\r\n").as_bytes());
        while raw.line() != "PONG" {}
        raw
    }

    /// Publishes without asking for an answer.
    pub fn send(&mut self, subject: &str, reply: Option<&str>, headers: &[(&str, &str)], payload: &[u8]) {
        let reply = reply.map_or(String::new(), |reply| format!(" {reply}"));
        let mut frame = if headers.is_empty() {
            format!("PUB {subject}{reply} {}\r\n", payload.len()).into_bytes()
        } else {
            let mut block = String::from("NATS/1.0\r\n");
            headers.iter().for_each(|(name, value)| write!(block, "{name}: {value}\r\n").expect("a String grows"));
            block.push_str("\r\n");
            format!("HPUB {subject}{reply} {} {}\r\n{block}", block.len(), block.len() + payload.len()).into_bytes()
        };
        frame.extend_from_slice(payload);
        frame.extend_from_slice(b"\r\n");
        self.write(&frame);
    }

    /// Subscribes and returns the subscription's number.
    pub fn subscribe(&mut self, pattern: &str) -> u64 {
        self.sid_last += 1;
        self.write(format!("SUB {pattern} {}\r\n", self.sid_last).as_bytes());
        self.sid_last
    }

    /// Ends the subscription.
    pub fn unsubscribe(&mut self, sid: u64) {
        self.write(format!("UNSUB {sid}\r\n").as_bytes());
    }

    /// Waits until the server has read all that was written before.
    pub fn flush(&mut self) {
        self.write(b"PING\r\n");
        while self.line() != "PONG" {}
    }

    /// The next message of any subscription; answers PING on the way.
    pub fn next(&mut self) -> Received {
        loop {
            let line = self.line();
            let mut words = line.split(' ');
            match words.next() {
                Some("MSG") => return self.message(&words.collect::<Vec<_>>(), false),
                Some("HMSG") => return self.message(&words.collect::<Vec<_>>(), true),
                Some("PING") => self.write(b"PONG\r\n"),
                Some("-ERR") => panic!("the server said {line}"),
                _ => {}
            }
        }
    }

    /// One request and its first answer.
    pub fn request(&mut self, subject: &str, headers: &[(&str, &str)], payload: &[u8]) -> Received {
        let inbox = format!("{}.{}", self.inbox, self.sid_last);
        let sid = self.subscribe(&inbox);
        self.send(subject, Some(&inbox), headers, payload);
        loop {
            let answer = self.next();
            if answer.sid == sid {
                self.unsubscribe(sid);
                return answer;
            }
        }
    }

    /// Publishes into a stream and returns the PubAck, or the error in its place.
    pub fn publish(&mut self, subject: &str, headers: &[(&str, &str)], payload: &[u8]) -> Value {
        let answer = self.request(subject, headers, payload);
        assert_eq!(answer.status, None, "no stream answers for {subject}");
        serde_json::from_slice(&answer.payload).expect("a PubAck is JSON")
    }

    /// One call of the JetStream API: `STREAM.INFO.ORDERS`.
    pub fn api(&mut self, call: &str, body: &Value) -> Value {
        let answer = self.request(&format!("$JS.API.{call}"), &[], body.to_string().as_bytes());
        assert_eq!(answer.status, None, "JetStream does not answer {call}");
        serde_json::from_slice(&answer.payload).expect("JetStream answers JSON")
    }

    /// Creates a stream from a configuration with at least `name` and `subjects`; file storage unless it says else.
    pub fn create_stream(&mut self, mut config: Value) -> Value {
        config["storage"] = config.get("storage").cloned().unwrap_or(json!("file"));
        let call = format!("STREAM.CREATE.{}", config["name"].as_str().expect("a stream has a name"));
        let answer = self.api(&call, &config);
        assert_eq!(answer["error"], Value::Null, "{call} failed");
        answer
    }

    /// `STREAM.INFO`: `config`, `state`, `created`, or `error`.
    pub fn stream_info(&mut self, stream: &str) -> Value {
        self.api(&format!("STREAM.INFO.{stream}"), &json!({}))
    }

    /// How many messages the stream holds.
    pub fn stream_messages(&mut self, stream: &str) -> u64 {
        self.stream_info(stream)["state"]["messages"].as_u64().expect("the stream exists")
    }

    /// All that the stream holds, in its order.
    pub fn stored(&mut self, stream: &str) -> Vec<Stored> {
        let count = self.stream_messages(stream);
        if count == 0 {
            return Vec::new();
        }
        let deliver = format!("{}.stored", self.inbox);
        let sid = self.subscribe(&deliver);
        let config = json!({"deliver_subject": deliver, "ack_policy": "none", "deliver_policy": "all", "max_deliver": 1,
            "mem_storage": true, "inactive_threshold": 5_000_000_000_u64});
        let call = format!("CONSUMER.CREATE.{stream}");
        self.send(
            &format!("$JS.API.{call}"),
            None,
            &[],
            json!({"stream_name": stream, "config": config}).to_string().as_bytes(),
        );
        let mut all = Vec::new();
        while (all.len() as u64) < count {
            let message = self.next();
            if message.sid == sid {
                all.push(stored(message));
            }
        }
        self.unsubscribe(sid);
        all
    }

    fn message(&mut self, words: &[&str], has_headers: bool) -> Received {
        let sizes = if has_headers { 2 } else { 1 };
        let (names, sizes) = words.split_at(words.len() - sizes);
        let size = |word: &str| word.parse::<usize>().expect("a size is a number");
        let total = size(sizes[sizes.len() - 1]);
        let mut bytes = vec![0; total + 2];
        self.socket.read_exact(&mut bytes).expect("a message arrives whole");
        bytes.truncate(total);
        let payload = bytes.split_off(if has_headers { size(sizes[0]) } else { 0 });
        let block = String::from_utf8(bytes).expect("headers are text");
        let mut lines = block.split("\r\n").filter(|line| !line.is_empty());
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim_start().to_owned()))
            .collect();
        Received {
            subject: names[0].to_owned(),
            sid: names[1].parse().expect("a sid is a number"),
            reply: names.get(2).map(|&reply| reply.to_owned()),
            status,
            headers,
            payload,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.socket.read_line(&mut line).expect("the server answers in time");
        assert!(read > 0, "the server hung up");
        assert!(!line.starts_with("-ERR"), "the server said {line}");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).expect("the server reads");
    }
}

/// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, as a push consumer replies.
fn stored(message: Received) -> Stored {
    let reply = message.reply.expect("a consumer's message has a reply subject");
    let seq = reply.rsplit('.').nth(3).and_then(|word| word.parse().ok()).expect("an ack subject holds the sequence");
    Stored { seq, subject: message.subject, headers: message.headers, payload: message.payload }
}
