//! Links that are left, and links that are lost over a message: a session driven by hand.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use natsink::connection::{
    Action, Auth, AuthError, Authenticator, Challenge, ConnectionOptions, Credentials, LinkError, ServerList, Transmit,
};
use natsink::jetstream::{Outcome, PublisherOptions, Rejection};
use natsink::proto::ServerError;
use natsink::rng::Entropy;
use natsink::session::{LinkNotice, LinkState, PublisherId, Session};
use natsink::time::Instant;
use support::hand::{Hand, Written, stream};

const LAME: &[u8] = b"INFO {\"headers\":true,\"max_payload\":1048576,\"jetstream\":true,\"ldm\":true}\r\n";
const VIOLATION: &[u8] = b"-ERR 'Maximum Payload Violation'\r\n";

/// Who never answers by itself.
struct Nobody;

impl Authenticator for Nobody {
    fn answer(&self, _: &Challenge<'_>) -> Result<Credentials, AuthError> {
        Err(AuthError::NoNonce)
    }
}

fn verified(servers: &str) -> (Hand, PublisherId) {
    let (mut hand, publisher) = Hand::with(servers, stream());
    hand.verify("ord.>");
    (hand, publisher)
}

fn ids(written: &[Written]) -> Vec<String> {
    written.iter().map(|written| String::from_utf8(written.payload.clone()).unwrap()).collect()
}

fn store(hand: &mut Hand, written: &[Written], seq: u64) {
    for (asked, seq) in written.iter().zip(seq..) {
        hand.answer(asked, &format!(r#"{{"stream":"ORD","seq":{seq}}}"#));
    }
}

/// Dials again, after the pause.
fn again(hand: &mut Hand) {
    hand.pass(Duration::from_millis(200));
    hand.connect();
    hand.verify_again();
    hand.session.handle_timeout(hand.now);
}

/// Submits messages whose payloads are these words, and stores the first, which goes alone.
fn fill(hand: &mut Hand, publisher: PublisherId, words: &[&str]) -> Vec<Written> {
    for word in words {
        hand.submit(publisher, "ord.1", word, word).unwrap();
    }
    let probe = hand.written();
    assert_eq!(ids(&probe), words[..1]);
    store(hand, &probe, 100);
    hand.written()
}

#[test]
fn a_lame_server_is_left_once_all_is_answered() {
    let (mut hand, publisher) = verified("a,b");
    let out = fill(&mut hand, publisher, &["0", "1", "2"]);
    assert_eq!(ids(&out), ["1", "2"]);
    for _ in 0..1000 {
        hand.say(LAME);
    }
    hand.submit(publisher, "ord.1", "3", "3").unwrap();
    assert!(hand.written().is_empty(), "nothing more is written to a link that is left");
    store(&mut hand, &out[..1], 101);
    assert_eq!(hand.session.link_state(), LinkState::Up, "an answer is missing");
    store(&mut hand, &out[1..], 102);
    assert_eq!(hand.lost(), [LinkError::LameDuck], "left, and that once");
    hand.connect();
    assert_eq!(hand.dialled, "nats://b:4222");
    hand.verify_again();
    assert_eq!(ids(&hand.written()), ["3"]);
    assert_eq!(hand.session.publisher(publisher).unwrap().statistics().replayed, 0);
    assert_eq!(hand.outcomes(publisher).len(), 3);
}

#[test]
fn a_lame_server_that_does_not_answer_is_left_all_the_same() {
    let (mut hand, publisher) = verified("a,b");
    let out = fill(&mut hand, publisher, &["0", "1", "2"]);
    hand.say(LAME);
    hand.pass(Duration::from_millis(4900));
    assert!(hand.lost().is_empty());
    hand.pass(Duration::from_millis(200));
    assert_eq!(hand.lost(), [LinkError::LameDuck]);
    hand.connect();
    hand.verify_again();
    assert_eq!(ids(&hand.written()), ids(&out)[..1], "the next link begins with the first unsettled");
}

#[test]
fn the_only_server_is_not_left() {
    let (mut hand, publisher) = verified("a");
    fill(&mut hand, publisher, &["0"]);
    hand.say(LAME);
    hand.pass(Duration::from_secs(8));
    assert!(hand.lost().is_empty());
    hand.submit(publisher, "ord.1", "1", "1").unwrap();
    assert_eq!(ids(&hand.written()), ["1"], "it still takes messages");
}

#[test]
fn another_link_is_made_on_request() {
    let (mut hand, publisher) = verified("a");
    let out = fill(&mut hand, publisher, &["0", "1"]);
    hand.session.reconnect(hand.now);
    assert!(hand.lost().is_empty(), "an answer is missing");
    store(&mut hand, &out, 101);
    assert_eq!(hand.lost(), [LinkError::Requested]);
    hand.connect();
    assert_eq!(hand.session.statistics().connects, 2);
}

#[test]
fn a_violation_is_blamed_on_its_message_alone() {
    let (mut hand, publisher) = verified("a");
    let words = ["0", "1", "2", "bad", "4", "5"];
    let out = fill(&mut hand, publisher, &words);
    assert_eq!(ids(&out), words[1..]);
    store(&mut hand, &out[..1], 101);
    let (mut seq, mut violations, mut alone) = (102, 1, Vec::new());
    hand.say(VIOLATION);
    again(&mut hand);
    while hand.session.publisher(publisher).unwrap().in_flight() > 0 {
        let written = hand.written();
        alone.push(ids(&written));
        if ids(&written).contains(&"bad".to_owned()) {
            hand.say(VIOLATION);
            violations += 1;
            again(&mut hand);
        } else {
            store(&mut hand, &written, seq);
            seq += written.len() as u64;
        }
    }
    assert_eq!(violations, 2, "the link is lost over it twice, and never again");
    assert_eq!(alone, [vec!["2"], vec!["bad"], vec!["4"], vec!["5"]], "one by one, as far as the window had gone");
    let expected = Outcome::Rejected(Rejection::Violation(ServerError::MaximumPayloadViolation));
    let outcomes = hand.outcomes(publisher);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == expected).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Stored { .. })).count(), 5);
    hand.submit(publisher, "ord.1", "6", "6").unwrap();
    hand.submit(publisher, "ord.1", "7", "7").unwrap();
    let probe = hand.written();
    assert_eq!(ids(&probe), ["6", "7"], "then there is no more need for care");
}

#[test]
fn an_innocent_publisher_pays_nothing_for_another_ones_message() {
    let (mut hand, guilty) = verified("a");
    let innocent = hand.session.add_publisher(PublisherOptions::default(), hand.now).unwrap();
    hand.submit(guilty, "ord.1", "bad", "bad").unwrap();
    hand.submit(innocent, "any.1", "good", "good").unwrap();
    let mut written = hand.written();
    for _ in 0..10 {
        if ids(&written).contains(&"bad".to_owned()) {
            hand.say(VIOLATION);
            hand.pass(Duration::from_secs(2));
            hand.connect();
            hand.verify_again();
        } else {
            for asked in &written {
                // The second publisher's inbox is the second subscription.
                let ack = r#"{"stream":"ORD","seq":7}"#;
                hand.say(format!("MSG {} 2 {}\r\n{ack}\r\n", asked.reply, ack.len()).as_bytes());
            }
        }
        written = hand.pass(Duration::from_millis(400));
    }
    let expected = Outcome::Rejected(Rejection::Violation(ServerError::MaximumPayloadViolation));
    assert_eq!(hand.outcomes(guilty), [expected]);
    assert_eq!(hand.outcomes(innocent), [Outcome::Stored { seq: 7 }]);
}

#[test]
fn a_publisher_that_is_never_idle_does_not_hide_another_ones_message() {
    let (mut hand, busy) = Hand::with("a", PublisherOptions::default());
    let guilty = hand.session.add_publisher(PublisherOptions::default(), hand.now).unwrap();
    hand.submit(guilty, "any.1", "bad", "bad").unwrap();
    for round in 0..100 {
        // Whatever it is that is answered, there is always something out.
        hand.submit(busy, "any.1", &format!("good{round}"), "good").unwrap();
        let written = hand.pass(Duration::from_millis(100));
        if ids(&written).contains(&"bad".to_owned()) {
            hand.say(VIOLATION);
            while hand.session.link_state() == LinkState::Resting {
                hand.pass(Duration::from_millis(100));
            }
            hand.connect();
            continue;
        }
        for asked in &written {
            let ack = format!(r#"{{"stream":"ORD","seq":{}}}"#, round + 1);
            hand.say(format!("MSG {} 1 {}\r\n{ack}\r\n", asked.reply, ack.len()).as_bytes());
        }
    }
    let expected = Outcome::Rejected(Rejection::Violation(ServerError::MaximumPayloadViolation));
    assert_eq!(hand.outcomes(guilty), [expected]);
    assert!(hand.outcomes(busy).iter().all(|outcome| matches!(outcome, Outcome::Stored { .. })));
}

#[test]
fn what_is_out_is_not_rejected_before_its_answer() {
    let (mut hand, publisher) = verified("a");
    hand.submit(publisher, "ord.1", "large", &"x".repeat(2000)).unwrap();
    let out = hand.written();
    hand.say(b"INFO {\"headers\":true,\"max_payload\":1000,\"jetstream\":true}\r\n");
    store(&mut hand, &out, 100);
    assert_eq!(hand.outcomes(publisher), [Outcome::Stored { seq: 100 }], "it came before the limit did");
}

#[test]
fn another_link_asked_for_while_dialling_leaves_nobody_held() {
    let (mut hand, publisher) = verified("a");
    hand.session.handle_disconnected(hand.epoch, LinkError::Closed { hint: None }, hand.now);
    hand.session.handle_timeout(hand.now);
    assert!(matches!(hand.session.poll_action(), Some(Action::Dial { .. })));
    hand.session.reconnect(hand.now);
    assert_eq!(hand.session.link_state(), LinkState::Resting);
    hand.connect();
    hand.verify_again();
    hand.submit(publisher, "ord.1", "0", "0").unwrap();
    assert_eq!(ids(&hand.written()), ["0"]);
}

#[test]
fn what_the_server_takes_no_longer_is_rejected_when_it_says_so() {
    let (mut hand, publisher) = verified("a");
    hand.submit(publisher, "ord.1", "probe", "probe").unwrap();
    let probe = hand.written();
    hand.submit(publisher, "ord.1", "large", &"x".repeat(2000)).unwrap();
    hand.say(b"INFO {\"headers\":true,\"max_payload\":1000,\"jetstream\":true}\r\n");
    store(&mut hand, &probe, 100);
    assert!(hand.written().is_empty());
    let outcomes = hand.outcomes(publisher);
    assert!(
        outcomes.iter().any(|outcome| matches!(outcome, Outcome::Rejected(Rejection::TooLarge { max: 1000, .. }))),
        "{outcomes:?}"
    );
}

#[test]
fn nothing_is_said_before_connect_even_when_asked() {
    let mut options = ConnectionOptions::new(ServerList::parse("a").unwrap().servers);
    options.auth = Auth::asked(Nobody);
    let mut session = Session::new(options, &Entropy::new([1; 32]));
    let now = Instant::ZERO;
    session.handle_timeout(now);
    let Some(Action::Dial { epoch, .. }) = session.poll_action() else { panic!("it dials") };
    session.handle_connected(epoch, now);
    session.handle_input(epoch, b"INFO {\"headers\":true,\"nonce\":\"n\"}\r\n", now);
    for _ in 0..100_000 {
        session.handle_input(epoch, b"PING\r\n", now);
    }
    let mut transmit = Transmit::new();
    assert!(!session.poll_transmit(epoch, &mut transmit, now), "the authenticator has not answered");
    session.handle_credentials(epoch, Ok(Credentials::Token("t".into())), now);
    assert!(session.poll_transmit(epoch, &mut transmit, now));
    let mut slices = [&[][..]; 4];
    let filled = transmit.slices(&mut slices);
    let written = String::from_utf8(slices[..filled].concat()).unwrap();
    assert!(written.starts_with("CONNECT {") && written.contains("\r\nPING\r\nPONG\r\n"), "{written}");
    assert!(written.matches("PONG").count() <= 1024, "what is owed is bounded");
}

#[test]
fn those_who_stopped_watching_are_let_go_of() {
    struct Task(AtomicUsize);
    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (mut hand, _) = verified("a");
    let tasks: Vec<Arc<Task>> = (0..1000).map(|_| Arc::new(Task(AtomicUsize::new(0)))).collect();
    tasks.iter().for_each(|task| hand.session.watch(&Waker::from(Arc::clone(task))));
    assert!(tasks.iter().all(|task| Arc::strong_count(task) == 2));
    hand.pass(Duration::from_secs(30));
    while let Some(waker) = hand.session.pop_woken() {
        waker.wake();
    }
    assert!(tasks.iter().all(|task| Arc::strong_count(task) == 1), "nothing is kept of them");
    assert!(tasks.iter().all(|task| task.0.load(Ordering::Relaxed) == 1), "who still waits is woken to say so");
}

#[test]
fn a_peer_that_is_silent_is_given_up() {
    let (mut hand, _) = verified("a");
    let end = hand.now + Duration::from_secs(31);
    while let Some(at) = hand.session.poll_timeout().filter(|at| *at <= end) {
        hand.now = at;
        hand.session.handle_timeout(at);
        hand.written();
    }
    assert_eq!(hand.lost(), [LinkError::Silent]);
}

#[test]
fn a_socket_that_takes_nothing_is_given_up() {
    let (mut hand, publisher) = verified("a");
    hand.submit(publisher, "ord.1", "0", "0").unwrap();
    let mut transmit = Transmit::new();
    assert!(hand.session.poll_transmit(hand.epoch, &mut transmit, hand.now));
    // The peer goes on talking, so it does not pass for silent.
    let end = hand.now + Duration::from_secs(41);
    while let Some(at) = hand.session.poll_timeout().filter(|at| *at <= end) {
        hand.now = at;
        hand.session.handle_timeout(at);
        hand.say(b"PING\r\n");
    }
    assert_eq!(hand.lost(), [LinkError::WriteStalled]);
}

#[test]
fn a_silent_end_is_explained_by_how_far_the_greeting_came() {
    const CLEAR: &[u8] = b"INFO {\"headers\":true,\"proto\":1,\"max_payload\":1048576}\r\n";
    const TLS: &[u8] = b"INFO {\"headers\":true,\"proto\":1,\"max_payload\":1048576,\"tls_required\":true}\r\n";
    let cases: [(&[u8], bool, &str); 4] = [
        (b"", false, "tls_first"),
        (CLEAR, false, "demand TLS"),
        (TLS, false, "no TLS on this port"),
        (TLS, true, "or the client certificate"),
    ];
    for (greeting, is_secured, expected) in cases {
        let servers = ServerList::parse("nats://h:1").unwrap().servers;
        let mut session = Session::new(ConnectionOptions::new(servers), &Entropy::new([7; 32]));
        let now = Instant::ZERO;
        session.handle_timeout(now);
        let Some(Action::Dial { epoch, .. }) = session.poll_action() else { panic!("a dial is wanted") };
        session.handle_connected(epoch, now);
        session.handle_input(epoch, greeting, now);
        if is_secured {
            session.handle_secured(epoch, now);
        }
        session.handle_disconnected(epoch, LinkError::Closed { hint: None }, now);
        match session.poll_notice() {
            Some(LinkNotice::DialFailed(LinkError::Closed { hint: Some(hint) })) => {
                assert!(hint.contains(expected), "{hint}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_once_wanted_tls_is_never_spoken_to_in_clear_again() {
    const CLEAR: &[u8] = b"INFO {\"headers\":true,\"proto\":1,\"max_payload\":1048576}\r\n";
    const TLS: &[u8] = b"INFO {\"headers\":true,\"proto\":1,\"max_payload\":1048576,\"tls_required\":true}\r\n";
    let servers = ServerList::parse("nats://h:1").unwrap().servers;
    let mut options = ConnectionOptions::new(servers);
    options.retry_at_start = true;
    let mut session = Session::new(options, &Entropy::new([7; 32]));
    let mut now = Instant::ZERO;
    let mut greet = |greeting: &[u8]| {
        now = now.max(session.poll_timeout().unwrap());
        session.handle_timeout(now);
        let dial = std::iter::from_fn(|| session.poll_action()).find_map(|action| match action {
            Action::Dial { epoch, .. } => Some(epoch),
            _ => None,
        });
        let epoch = dial.expect("a dial is wanted");
        session.handle_connected(epoch, now);
        session.handle_input(epoch, greeting, now);
        let is_upgrade = matches!(session.poll_action(), Some(Action::StartTls { .. }));
        let is_said = session.poll_transmit(epoch, &mut Transmit::new(), now);
        session.handle_disconnected(epoch, LinkError::Closed { hint: None }, now);
        let why = std::iter::from_fn(|| session.poll_notice()).find_map(|notice| match notice {
            LinkNotice::DialFailed(why) => Some(why),
            _ => None,
        });
        (is_upgrade, is_said, why.expect("no link came up"))
    };
    assert!(matches!(greet(CLEAR), (false, true, _)));
    // The handshake fails, as anybody between the two can make it fail.
    assert!(matches!(greet(TLS), (true, false, _)));
    assert_eq!(greet(CLEAR), (false, false, LinkError::TlsUnavailable));
}
