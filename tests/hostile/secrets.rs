//! A05 and A07: secrets are never shown, and do not stay in memory.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{Debug, Display, Write};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::rc::Rc;

use natsink::connection::{
    Action, Auth, Authenticator, Challenge, ConnectionOptions, Credentials, Creds, Secret, ServerList, ServerUrl,
    Transmit,
};
use natsink::credentials::{Callback, CredsFile, Held, Jwt, Nkey};
use natsink::proto::Connect;
use natsink::rng::Entropy;
use natsink::session::Session;
use natsink::time::Instant;

use super::case::Case;
use super::peer::INFO;
use super::support::Operator;
use super::support::jwt::nkey_user;

/// Everything that could be shown to anybody.
#[derive(Clone, Default)]
struct Shown(Rc<RefCell<String>>);

impl Shown {
    fn debug(&self, what: impl Debug) {
        write!(self.0.borrow_mut(), "{what:?} {what:#?} ").expect("a String grows");
    }

    fn display(&self, what: impl Display + Debug) {
        self.debug(&what);
        write!(self.0.borrow_mut(), "{what} ").expect("a String grows");
    }

    /// None of these stands in it: not as text, nor escaped, nor as a list of bytes.
    fn hides(&self, secrets: &[&str]) {
        let shown = self.0.borrow();
        assert!(shown.len() > 100, "something was shown");
        for secret in secrets {
            let bytes = format!("{:?}", secret.as_bytes());
            let bytes = bytes.trim_matches(['[', ']']);
            let lines = format!("{:#?}", secret.as_bytes());
            let lines = lines.trim_matches(['[', ']', '\n', ' ']);
            for form in [*secret, bytes, lines] {
                let at = shown.find(form);
                let around = shown[at.map_or(0, |at| at.saturating_sub(200))..].chars().take(400);
                assert_eq!(at, None, "a secret in {}", around.collect::<String>());
            }
        }
    }
}

/// A way to log in, and what of it must not be seen.
struct Login {
    auth: Auth,
    secrets: Vec<String>,
}

fn logins(dir: &tempfile::TempDir) -> Vec<Login> {
    let user = Operator::new().user("user");
    let (_, seed) = nkey_user();
    let creds = dir.path().join("user.creds");
    fs::write(&creds, user.creds()).expect("a file of ours");
    let jwt = dir.path().join("user.jwt");
    fs::write(&jwt, user.jwt()).expect("a file of ours");
    let word = || "canary-0x5ec7e7".to_owned();
    let url = ServerUrl::parse("nats://alice:canary-0x5ec7e7@h").expect("a URL").user_info.expect("it has them");
    let token = ServerUrl::parse("nats://canary-0x5ec7e7@h").expect("a URL").user_info.expect("it has them");
    let both = vec![user.jwt().to_owned(), user.seed()];
    let from = |text: &str| Secret::from(text);
    vec![
        Login { auth: Auth::Token(from(word().as_str())), secrets: vec![word()] },
        Login { auth: Auth::UserPassword { user: "alice".into(), password: word().into() }, secrets: vec![word()] },
        Login { auth: url.into(), secrets: vec![word()] },
        Login { auth: token.into(), secrets: vec![word()] },
        Login {
            auth: Auth::asked(Callback::new(|_| Ok(Credentials::Token("canary-0x5ec7e7".into())))),
            secrets: vec![word()],
        },
        Login { auth: Auth::asked(Nkey::new(from(seed.as_str()))), secrets: vec![seed] },
        Login { auth: Auth::asked(CredsFile::new(&creds)), secrets: both.clone() },
        Login { auth: Auth::asked(Jwt::new(from(user.jwt()), from(user.seed().as_str()))), secrets: both.clone() },
        Login { auth: Auth::asked(Jwt::bearer(jwt)), secrets: both },
    ]
}

#[test]
fn a05_secrets_are_not_shown() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let shown = Shown::default();
    types_that_hold_secrets(&shown);
    shown.hides(&["canary-0x5ec7e7"]);
    let asking = INFO.replacen('{', r#"{"nonce":"y7Md0mA0d62U9ng","#, 1);
    for Login { auth, secrets } in logins(&dir) {
        shown.debug(&auth);
        #[cfg(feature = "tracing")]
        super::traced::listen(&secrets);
        let signatures = RefCell::new(BTreeSet::new());
        // Tells all there is to tell of links that are refused in every way, at each stage of them.
        Case::new("A05").coarse().uncut().with(|options| options.auth = auth.clone()).play(|peer| {
            for end in ["-ERR 'Authorization Violation'\r\n", "-ERR 'Stale Connection'\r\n", "PONG\r\nXYZZY\r\n", ""] {
                peer.accept();
                peer.say(format!("INFO {asking}\r\n"));
                let connect = peer.connect();
                signatures.borrow_mut().extend(connect["sig"].as_str().map(str::to_owned));
                peer.stage.show(&mut |client| shown.debug(client));
                peer.say(end);
                let reason = if end.is_empty() { peer.hang_up() } else { peer.lost() };
                shown.display(reason);
                peer.stage.show(&mut |client| shown.debug(client));
            }
            shown.debug(&peer.notices);
            peer.greet_with(&asking);
        });
        let mut secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let signatures = signatures.into_inner();
        secrets.extend(signatures.iter().map(String::as_str));
        shown.hides(&secrets);
        shown.0.borrow_mut().clear();
    }
    #[cfg(feature = "tracing")]
    super::traced::hides();
}

/// Every public type that can hold a secret, holding one; and every error about one.
fn types_that_hold_secrets(shown: &Shown) {
    const CANARY: &str = "canary-0x5ec7e7";
    shown.display(Secret::from(CANARY));
    shown.debug(Held::from(Secret::from(CANARY)));
    shown.debug((Nkey::new(Secret::from(CANARY)), Jwt::new(Secret::from(CANARY), Secret::from(CANARY))));
    shown.debug(Connect {
        pass: Some(CANARY),
        auth_token: Some(CANARY),
        jwt: Some(CANARY),
        sig: Some(CANARY),
        ..Connect::default()
    });
    for credentials in [
        Credentials::Token(CANARY.into()),
        Credentials::UserPassword { user: "alice".into(), password: CANARY.into() },
        Credentials::Nkey { public: "U".into(), signature: CANARY.into() },
        Credentials::Jwt { jwt: CANARY.into(), signature: Some(CANARY.into()) },
    ] {
        shown.debug(credentials);
    }
    for url in [format!("tls://alice:{CANARY}@h"), format!("{CANARY}@h")] {
        shown.debug(ServerUrl::parse(&url).expect("a URL"));
        let list = ServerList::parse(&url).expect("a URL");
        let mut options = ConnectionOptions::new(list.servers.clone());
        shown.debug(&list);
        options.auth = list.user_info.expect("it has them").into();
        shown.debug(&options);
        shown.debug(Session::new(options, &Entropy::new([7; 32])));
    }
    for bad in ["x://alice:{}@h", "alice:{}%zz@h", "alice:{}@", "alice:{}@h:port", "a,alice:{}@h", "alice:{}@h/{}"] {
        shown.display(ServerList::parse(&bad.replace("{}", CANARY)).expect_err(bad));
    }
    let server = ServerUrl::parse("h").expect("a URL").addr;
    let challenge = Challenge::new(Some("nonce"), &server, true);
    let seed = CANARY.to_uppercase();
    for text in [CANARY, &format!("SU{CANARY}"), &format!("SU{seed}"), &format!("{CANARY}.{CANARY}")] {
        shown.display(Nkey::new(Secret::from(text)).answer(&challenge).expect_err(text));
        shown.display(Jwt::new(Secret::from(text), Secret::from(text)).answer(&challenge).expect_err(text));
        shown.display(Creds::parse(text.as_bytes()).expect_err(text));
    }
}

/// A secret that stands nowhere in this program: only here is it put together.
fn unwritten(len: usize) -> String {
    let mut text = String::with_capacity(len);
    for at in 0..len {
        text.push(char::from(masked(at) ^ MASK));
    }
    text
}

const MASK: u8 = 0x15;

/// The secret's bytes, as they may stand in memory.
fn masked(at: usize) -> u8 {
    const TEXT: &[u8; 20] = b"zeroize me, all of m";
    TEXT[at % TEXT.len()] ^ MASK
}

/// How often `len` bytes of the secret stand in the memory of this process.
fn copies_in_memory(len: usize) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux tells");
    let mut memory = File::open("/proc/self/mem").expect("our own memory can be read");
    let mut copies = 0;
    let mut page = vec![0; 1 << 20];
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).expect("hexadecimal"));
        let mut at = start;
        while at < end {
            let wanted = page.len().min(usize::try_from(end - at).expect("a range fits"));
            // Another thread may give a range back meanwhile.
            if memory.seek(SeekFrom::Start(at)).and_then(|_| memory.read_exact(&mut page[..wanted])).is_err() {
                break;
            }
            copies += page[..wanted]
                .windows(len)
                .filter(|window| {
                    window[0] == masked(0) ^ MASK
                        && window.iter().enumerate().all(|(at, byte)| *byte == masked(at) ^ MASK)
                })
                .count();
            page.fill(0);
            at += wanted as u64;
        }
    }
    copies
}

#[test]
fn a07_secrets_are_overwritten() {
    const LEN: usize = 2000;
    const SEEN: usize = 40;
    let secret = Secret::new(unwritten(LEN));
    assert!(copies_in_memory(SEEN) > 0, "a secret that is held is found");
    drop(secret);
    assert_eq!(copies_in_memory(SEEN), 0, "a secret that was dropped is not");

    // A whole login: the options, the answer of an authenticator, CONNECT on its way to the socket.
    let server = ServerUrl::parse("h").expect("a URL").addr;
    for asked in [false, true] {
        let mut options = ConnectionOptions::new(vec![server.clone()]);
        options.auth = match asked {
            false => Auth::Token(Secret::new(unwritten(LEN))),
            true => Auth::asked(Callback::new(|_| Ok(Credentials::Token(Secret::new(unwritten(LEN)))))),
        };
        let mut session = Session::new(options, &Entropy::new([7; 32]));
        session.handle_timeout(Instant::ZERO);
        let Some(Action::Dial { epoch, .. }) = session.poll_action() else { panic!("a dial is wanted") };
        session.handle_connected(epoch, Instant::ZERO);
        session.handle_input(epoch, format!("INFO {INFO}\r\n").as_bytes(), Instant::ZERO);
        if let Some(Action::Authenticate { epoch, .. }) = session.poll_action() {
            let authenticator = session.authenticator().expect("who wants it asked has it");
            let answer = authenticator.answer(&Challenge::new(None, &server, false));
            session.handle_credentials(epoch, answer, Instant::ZERO);
        }
        let mut transmit = Transmit::new();
        assert!(session.poll_transmit(epoch, &mut transmit, Instant::ZERO));
        assert!(copies_in_memory(SEEN) > 0, "CONNECT is on its way");
        let len = transmit.len();
        transmit.advance(len);
        session.handle_transmitted(epoch, len, Instant::ZERO);
        if asked {
            assert_eq!(copies_in_memory(SEEN), 0, "CONNECT is written, and nobody holds it any more");
        }
        drop((session, transmit));
        assert_eq!(copies_in_memory(SEEN), 0, "the session is gone");
    }
}
