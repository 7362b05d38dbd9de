//! A server that says anything at all: what must hold whatever it says, for the fuzz target, its corpus and tests alike.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::choices::Choices;
use crate::connection::{
    Action, Auth, AuthError, Authenticator, Challenge, ConnectionOptions, Credentials, Epoch, LinkError, Secret,
    ServerList, TlsOptions, Transmit,
};
use crate::jetstream::{Message, Outcome, PublisherOptions};
use crate::proto::{Pattern, Subject};
use crate::rng::Entropy;
use crate::session::{PublisherId, Session, SubscriptionLimits};
use crate::time::Instant;

/// Things that happen in one input.
const STEPS_MAX: usize = 400;
/// Messages in one input.
const MESSAGES_MAX: u64 = 64;
/// What must never be shown. No escape ends in its first letter.
const CANARY: &str = "Zecret-of-ours";
/// What servers say, and what they should not.
const SAYINGS: [&[u8]; 24] = [
    b"INFO {\"headers\":true,\"max_payload\":1048576,\"jetstream\":true,\"nonce\":\"abc\"} \r\n",
    b"INFO {\"headers\":true,\"tls_required\":true,\"nonce\":\"abc\",\"connect_urls\":[\"10.0.0.1:1\"]} \r\n",
    b"INFO {\"headers\":true,\"tls_available\":true,\"max_payload\":64} \r\n",
    b"INFO {\"headers\":true,\"ldm\":true,\"connect_urls\":[\"a.b:1\",\"[::1]:2\",\"x@y:3\"]} \r\n",
    b"INFO {\"headers\":false}\r\n",
    b"INFO {\"headers\":true,\"headers\":true}\r\n",
    b"PONG\r\n",
    b"PONG\r\n",
    b"PING\r\n",
    b"+OK\r\n",
    b"-ERR 'Authorization Violation'\r\n",
    b"-ERR 'Maximum Payload Violation'\r\n",
    b"-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n",
    b"-ERR 'Permissions Violation for Subscription to \"_INBOX.x\"'\r\n",
    b"-ERR 'Stale Connection'\r\n",
    b"-ERR 'Zecret-words'\r\n",
    b"MSG a 1 3\r\nabc\r\n",
    b"MSG a.b 2 r 3\r\nabc\r\n",
    b"HMSG a 2 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
    b"HMSG a 1 3 3\r\nabc\r\n",
    b"MSG a 9 999999999999\r\n",
    b"\x16\x03\x01\x00\x05hello",
    b"HTTP/1.1 400 Bad Request\r\n",
    b"\r\n",
];

/// Who would be asked for credentials in some of the worlds; the world answers itself.
struct Asked;

impl Authenticator for Asked {
    fn answer(&self, _: &Challenge<'_>) -> Result<Credentials, AuthError> {
        Err(AuthError::NoNonce)
    }
}

/// A link as the driver has it.
#[derive(Debug)]
struct Wire {
    epoch: Epoch,
    is_secure: bool,
    written: Vec<u8>,
    clear_len: usize,
}

struct World<'a> {
    choices: Choices<'a>,
    session: Session,
    publisher: PublisherId,
    now: Instant,
    wire: Option<Wire>,
    /// The link for which the authenticator owes its answer.
    asked: Option<Epoch>,
    /// All that servers have said: they may say what is a secret of ours by chance.
    said: Vec<u8>,
    is_tls_demanded: bool,
    submitted: u64,
    outcomes: Vec<(u64, Outcome)>,
}

/// Whatever a server says and whenever it goes: nothing is said before CONNECT, no CONNECT in clear where TLS is
/// demanded, no secret shows, nothing grows without bound, and each message has at most one outcome.
///
/// Each byte of `input` is a decision, or what the server says.
pub fn link_any(input: &[u8]) {
    let mut world = World::new(Choices::from_bytes(input));
    for _ in 0..STEPS_MAX {
        if world.choices.is_over() {
            break;
        }
        world.step();
        world.check();
    }
    world.session.close(world.now);
    world.check();
    let mut tags: Vec<u64> = world.outcomes.iter().map(|(tag, _)| *tag).collect();
    tags.sort_unstable();
    let expected: Vec<u64> = (0..world.submitted).collect();
    assert_eq!(tags, expected, "each message has one outcome, at the latest at the end");
}

impl<'a> World<'a> {
    fn new(mut choices: Choices<'a>) -> Self {
        let urls = choices.one_of(&["nats://a", "nats://a,b", "tls://a", "nats://a,tls://[::1]"]);
        let list = ServerList::parse(urls).expect("a good list");
        let mut options = ConnectionOptions::new(list.servers);
        options.auth = match choices.below(4) {
            0 => Auth::None,
            1 => Auth::Token(CANARY.into()),
            2 => Auth::UserPassword { user: "u".into(), password: CANARY.into() },
            _ => Auth::asked(Asked),
        };
        options.tls = TlsOptions { required: choices.one_in(4), first: choices.one_in(4), ..TlsOptions::default() };
        options.retry_at_start = !choices.one_in(4);
        let is_tls_demanded = urls.contains("tls://") || options.tls.is_demanded();
        let mut session = Session::new(options, &Entropy::new([9; 32]));
        let publisher = session.add_publisher(PublisherOptions::default(), Instant::ZERO).expect("an open session");
        session
            .subscribe(Pattern::new("a").expect("a pattern"), None, SubscriptionLimits::messages(8))
            .expect("an open session");
        let now = Instant::ZERO;
        Self {
            choices,
            session,
            publisher,
            now,
            wire: None,
            asked: None,
            said: Vec::new(),
            is_tls_demanded,
            submitted: 0,
            outcomes: Vec::new(),
        }
    }

    fn step(&mut self) {
        if let Some(epoch) = self.asked.take_if(|_| !self.choices.one_in(3)) {
            let answer = match self.choices.one_in(8) {
                true => Err(AuthError::NoNonce),
                false => Ok(Credentials::Jwt { jwt: Secret::from(CANARY), signature: Some("sig".into()) }),
            };
            self.session.handle_credentials(epoch, answer, self.now);
        }
        match self.choices.below(8) {
            0..3 => {
                let saying = self.choices.one_of(&SAYINGS);
                self.say(saying);
            }
            3 => {
                let len = self.choices.below(32);
                let bytes: Vec<u8> = (0..len).map(|_| self.choices.below(256) as u8).collect();
                self.say(&bytes);
            }
            4 => self.carry(),
            5 => {
                let step = self.choices.time(Duration::from_secs(32));
                self.now = self.session.poll_timeout().map_or(self.now, |at| at.max(self.now)).min(self.now + step);
                self.session.handle_timeout(self.now);
            }
            6 => self.submit(),
            _ => {
                if let Some(wire) = self.wire.take() {
                    self.session.handle_disconnected(wire.epoch, LinkError::Closed { hint: None }, self.now);
                }
            }
        }
        self.act();
    }

    /// The server says something, whole or in pieces, and all that is asked for is done in between.
    fn say(&mut self, bytes: &[u8]) {
        let piece = self.choices.one_of(&[usize::MAX, 1, 3]).min(bytes.len()).max(1);
        for piece in bytes.chunks(piece) {
            let Some(wire) = &self.wire else { return };
            self.said.extend_from_slice(piece);
            self.session.handle_input(wire.epoch, piece, self.now);
            self.act();
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.session.poll_action() {
            self.check_shown(&format!("{action:?}"));
            match action {
                Action::Dial { epoch, .. } => {
                    self.wire = Some(Wire { epoch, is_secure: false, written: vec![], clear_len: 0 });
                    self.session.handle_connected(epoch, self.now);
                }
                Action::StartTls { epoch, server_name } => {
                    assert!(!server_name.is_empty());
                    if self.choices.one_in(8) {
                        self.session.handle_disconnected(epoch, LinkError::Closed { hint: None }, self.now);
                    } else if let Some(wire) = self.wire.as_mut().filter(|wire| wire.epoch == epoch) {
                        assert!(wire.written.is_empty(), "something was said before the handshake");
                        wire.is_secure = true;
                        self.session.handle_secured(epoch, self.now);
                    }
                }
                Action::Authenticate { epoch, .. } => self.asked = Some(epoch),
                Action::Hangup(epoch) => {
                    if self.wire.as_ref().is_some_and(|wire| wire.epoch == epoch) {
                        self.wire = None;
                    }
                }
            }
        }
    }

    fn carry(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let mut transmit = Transmit::new();
        if !self.session.poll_transmit(wire.epoch, &mut transmit, self.now) {
            return;
        }
        let mut len = 0;
        while !transmit.is_empty() {
            let mut slices = [&[][..]; 4];
            let filled = transmit.slices(&mut slices);
            let flat = slices[..filled].concat();
            wire.written.extend_from_slice(&flat);
            transmit.advance(flat.len());
            len += flat.len();
        }
        if !wire.is_secure {
            wire.clear_len += len;
        }
        let epoch = wire.epoch;
        self.session.handle_transmitted(epoch, len, self.now);
    }

    fn submit(&mut self) {
        if self.submitted < MESSAGES_MAX {
            let payload = vec![b'x'; self.choices.one_of(&[0, 10, 100, 20_000])];
            let message = Message::new(Subject::new("a.b").expect("a subject"), payload.as_slice());
            if self.session.submit(self.publisher, None, self.submitted, &message, self.now).is_ok() {
                self.submitted += 1;
            }
        }
    }

    fn check(&mut self) {
        if let Some(wire) = &self.wire {
            let begin = &wire.written[..wire.written.len().min(8)];
            assert!(b"CONNECT ".starts_with(begin), "{:?} before CONNECT", String::from_utf8_lossy(begin));
            assert!(!self.is_tls_demanded || wire.clear_len == 0, "in clear, and TLS is demanded");
        }
        while let Some(notice) = self.session.poll_notice() {
            self.check_shown(&format!("{notice:?}"));
        }
        assert!(self.session.outbox_len() <= 1 << 20, "the outbox is bounded");
        let before = self.outcomes.len();
        self.session.take_outcomes(self.publisher, &mut self.outcomes, None);
        for (tag, _) in &self.outcomes[before..] {
            assert!(*tag < self.submitted, "an outcome of nothing");
        }
    }

    fn check_shown(&self, shown: &str) {
        let is_said = || self.said.windows(CANARY.len()).any(|said| said == CANARY.as_bytes());
        assert!(!shown.contains(CANARY) || is_said(), "{shown}");
    }
}
