//! R01–R05 and R07–R10: peers that are slow, silent, or always at their end; what is held meanwhile, and for how long.

use std::fs;
use std::path::Path;
use std::time::Duration;

use natsink::connection::{Action, Backoff, ConnectionOptions, LinkError, ServerUrl, Transmit};
use natsink::jetstream::{Message, Outcome, PublisherOptions, Rejection, SubmitError};
use natsink::proto::{MsgId, ServerError, Subject};
use natsink::rng::Entropy;
use natsink::session::{LinkNotice, LinkState, Session};
use natsink::time::Instant;

use super::case::Case;
use super::peer::{INFO, Peer};

/// A publisher with a large window, full of large messages that nobody reads, far more than a socket holds.
fn fill(peer: &mut Peer) {
    let window = 32 << 20;
    peer.stage.add_publisher(PublisherOptions { in_flight_bytes_max: window, ..PublisherOptions::default() });
    let probe = peer.publish(0);
    peer.ack(&probe, 100);
    peer.outcome(0);
    let payload = "x".repeat(64 << 10);
    for tag in 1.. {
        let message = Message::new(Subject::new("ord.1").expect("a subject"), payload.as_str());
        match peer.stage.submit(tag, &message.id(MsgId::new(&tag.to_string()).expect("an id"))) {
            Ok(()) => assert!(tag <= window as u64 / (64 << 10), "a window without end"),
            Err(SubmitError::Full) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// How much longer than it must take anything may take on a machine with other things to do.
fn slow(peer: &Peer) -> u32 {
    if peer.is_in_memory() { 1 } else { 5 }
}

#[test]
fn r01_a_peer_that_does_not_read() {
    let _alone = super::alone();
    // It speaks all the time, so only writing tells that something is wrong.
    let real = Duration::from_millis(400);
    for timeout in [Duration::from_secs(20), real] {
        let case = Case::new("R01").coarse().with(|options| options.write_timeout = timeout);
        case.play(|peer| {
            if peer.is_in_memory() == (timeout == real) {
                return;
            }
            peer.greet();
            fill(peer);
            let started = peer.stage.now();
            let mut stuck_since = started;
            let mut written = 0;
            let lost = loop {
                if let Some(lost) = peer.next_loss() {
                    break lost;
                }
                assert!(peer.stage.outbox_len() <= (128 << 10) + (80 << 10), "what waits for the socket is bounded");
                let bytes_out = peer.stage.statistics().bytes_out;
                if bytes_out != written {
                    (written, stuck_since) = (bytes_out, peer.stage.now());
                }
                assert!(peer.stage.now() - started < timeout * 10, "it never gives up");
                peer.say("PING\r\n");
                peer.stage.pass(timeout / 50);
            };
            assert_eq!(lost, LinkError::WriteStalled);
            let took = peer.stage.now() - stuck_since;
            assert!(took >= timeout * 9 / 10 && took <= timeout * slow(peer) * 11 / 5, "given up after {took:?}");
        });
    }
    // Silent besides, the signs of life that it owes tell first.
    let case = Case::new("R01").coarse().with(|options| options.ping_interval = Duration::from_millis(400));
    case.play(|peer| {
        peer.greet();
        fill(peer);
        assert_eq!(peer.reason(), LinkError::Silent);
    });
}

#[test]
fn r02_a_peer_that_is_silent_while_messages_go_out() {
    let interval = Duration::from_millis(100);
    let case = Case::new("R02").coarse().with(|options| options.ping_interval = interval);
    case.play(|peer| {
        peer.greet();
        peer.add_publisher();
        let started = peer.stage.now();
        let mut tag = 0;
        // It reads everything and says nothing: only what comes in is a sign of life.
        let lost = peer.wait("the client to give up", |peer| {
            tag += 1;
            peer.submit(tag);
            peer.stage.hear();
            peer.stage.pass(interval / 20);
            peer.next_loss()
        });
        assert_eq!(lost, LinkError::Silent);
        let took = peer.stage.now() - started;
        assert!(took >= interval * 5 / 2 && took <= interval * slow(peer) * 4, "given up after {took:?}");
    });
}

#[test]
fn r03_links_that_end_as_soon_as_they_begin() {
    let backoff = Backoff { initial: Duration::from_millis(10), max: Duration::from_millis(100) };
    // The listener that closes, the server that greets and closes, and the one that lets in and closes.
    for depth in 0..3 {
        Case::new("R03").coarse().with(|options| options.backoff = backoff).play(|peer| {
            let mut dials = Vec::new();
            for _ in 0..9 {
                match depth {
                    0 => peer.accept(),
                    1 => {
                        peer.accept();
                        peer.say(format!("INFO {INFO}\r\n"));
                        peer.connect();
                    }
                    _ => drop(peer.greet()),
                }
                dials.push(peer.stage.now());
                peer.hang_up();
            }
            let pauses: Vec<Duration> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
            // From the second on they double, less up to half at random, to the longest.
            for (pause, longest) in pauses[1..].iter().zip([10, 20, 40, 80, 100, 100, 100]) {
                let longest = Duration::from_millis(longest);
                assert!(*pause >= longest / 2, "{pauses:?}");
                if peer.is_in_memory() {
                    assert!(*pause <= longest, "{pauses:?}");
                }
            }
            if peer.is_in_memory() {
                let ends: std::collections::BTreeSet<_> = pauses[5..].iter().collect();
                assert!(ends.len() > 1, "no jitter: {pauses:?}");
            }
        });
    }
}

#[test]
fn r04_info_one_byte_after_the_other() {
    for timeout in [Duration::from_secs(10), Duration::from_millis(500)] {
        Case::new("R04").coarse().with(|options| options.connect_timeout = timeout).play(|peer| {
            if peer.is_in_memory() != (timeout == Duration::from_secs(10)) {
                return;
            }
            peer.accept();
            let started = peer.stage.now();
            for byte in format!("INFO {INFO}\r\n").bytes() {
                peer.say([byte]);
                peer.stage.pass(timeout / 20);
                if !peer.stage.is_heard() || peer.stage.now() - started > timeout * 3 {
                    break;
                }
            }
            assert_eq!(peer.lost(), LinkError::ConnectTimeout);
            let took = peer.stage.now() - started;
            let late = if peer.is_in_memory() { timeout * 21 / 20 } else { timeout * 5 / 2 };
            assert!(took <= late, "a byte is no reason for more patience: {took:?}");
        });
    }
}

#[test]
fn r05_names_that_stand_for_other_addresses() {
    // Each dial looks the name up again, and begins with the next of its addresses.
    let mut options = ConnectionOptions::new(vec![ServerUrl::parse("a.example").expect("a URL").addr]);
    options.retry_at_start = true;
    let mut session = Session::new(options, &Entropy::new([7; 32]));
    let mut turns = Vec::new();
    while turns.len() < 1000 {
        let now = session.poll_timeout().expect("it never gives up");
        session.handle_timeout(now);
        while let Some(action) = session.poll_action() {
            if let Action::Dial { epoch, addr, turn } = action {
                assert_eq!(addr.host, "a.example", "the name, not an address");
                turns.push(turn);
                session.handle_disconnected(epoch, LinkError::Transport("no such name".into()), now);
            }
        }
    }
    assert!(turns.windows(2).all(|pair| pair[1] == u32::wrapping_add(pair[0], 1)), "each dial takes the next");
    // A name that stands for nothing is looked up again, and is no reason to give up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let addr = ServerUrl::parse("no-such-host.invalid").expect("a URL").addr;
        let mut options = ConnectionOptions::new(vec![addr]);
        options.retry_at_start = true;
        options.backoff.initial = Duration::from_millis(5);
        let client = natsink::Client::start(options).expect("the system has random bytes");
        let failed = async {
            while client.statistics().dials_failed < 3 {
                client.next_link_notice().await.expect("it goes on");
            }
        };
        tokio::time::timeout(Duration::from_secs(30), failed).await.expect("a name that is none fails soon");
        assert!(!matches!(client.link_state(), LinkState::Closed(_)));
    });
}

#[test]
fn r07_clocks_that_jump() {
    // A moment before one that was told counts as that one, and one far ahead as what it is.
    let mut session =
        Session::new(ConnectionOptions::new(vec![ServerUrl::parse("h").expect("a URL").addr]), &Entropy::new([7; 32]));
    let day = Duration::from_secs(86_400);
    let noon = Instant::ZERO + day;
    session.handle_timeout(noon);
    let Some(Action::Dial { epoch, .. }) = session.poll_action() else { panic!("a dial is wanted") };
    session.handle_connected(epoch, Instant::ZERO);
    let due = session.poll_timeout().expect("a greeting is waited for");
    assert_eq!(due, noon + Duration::from_secs(10), "a clock put back by a day changes no deadline");
    session.handle_input(epoch, format!("INFO {INFO}\r\n").as_bytes(), Instant::ZERO);
    assert!(session.poll_transmit(epoch, &mut Transmit::new(), Instant::ZERO));
    session.handle_input(epoch, b"PONG\r\n", Instant::ZERO);
    assert_eq!(session.link_state(), LinkState::Up);
    session.handle_input(epoch, b"+OK\r\n", Instant::ZERO);
    session.handle_timeout(Instant::ZERO);
    assert_eq!(session.poll_timeout(), Some(due), "a sign of life is asked for ten seconds later, not a day before");
    session.handle_timeout(noon + day);
    assert_eq!(session.link_state(), LinkState::Up, "one that went forth by a day is no day of silence");
    // And the drivers read no clock that can be put at all.
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for part in ["time.rs", "rng.rs", "wakers.rs", "proto", "connection", "jetstream", "session", "sink", "driver"] {
        no_wall_clock(&source.join(part));
    }
}

fn no_wall_clock(path: &Path) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("the sources are there") {
            no_wall_clock(&entry.expect("the sources are there").path());
        }
    } else {
        let text = fs::read_to_string(path).expect("the sources are there");
        assert!(
            !text.contains("SystemTime") && !text.contains("UNIX_EPOCH"),
            "{} reads the wall clock",
            path.display()
        );
    }
}

#[test]
fn r08_servers_that_want_us_gone() {
    for (words, error) in [
        ("maximum connections exceeded", ServerError::MaximumConnectionsExceeded),
        ("maximum account active connections exceeded", ServerError::MaximumAccountConnectionsExceeded),
        ("Connection throttling is active. Please try again later.", ServerError::ConnectionThrottling),
        ("Stale Connection", ServerError::StaleConnection),
        ("Authentication Timeout", ServerError::AuthenticationTimeout),
        ("Secure Connection - TLS Required", ServerError::SecureConnectionRequired),
    ] {
        Case::new("R08").play(|peer| {
            let refused = LinkError::Refused(error.clone());
            // In the place of INFO, behind CONNECT, and on a link that is up.
            peer.accept();
            peer.say(format!("-ERR '{words}'\r\n"));
            assert_eq!(peer.lost(), refused);
            peer.accept();
            peer.say(format!("INFO {INFO}\r\n"));
            peer.connect();
            peer.say(format!("-ERR '{words}'\r\n"));
            assert_eq!(peer.lost(), refused);
            peer.greet();
            peer.say(format!("-ERR '{words}'\r\n"));
            assert_eq!(peer.lost(), refused);
            assert!(!matches!(peer.stage.link_state(), LinkState::Closed(_)));
        });
    }
    // This one closes nothing.
    Case::new("R08").play(|peer| {
        peer.greet();
        peer.new_notices();
        peer.say("-ERR 'maximum subscriptions exceeded'\r\n");
        peer.fence();
        assert_eq!(peer.new_notices(), [LinkNotice::ServerError(ServerError::MaximumSubscriptionsExceeded)]);
    });
}

/// A complaint while `ord.1` and `ord.2` are out: which of them are settled by it.
fn settled_by(peer: &mut Peer, complaint: &str) -> [bool; 2] {
    peer.greet();
    peer.add_publisher();
    let probe = peer.publish(0);
    peer.ack(&probe, 100);
    peer.outcome(0);
    let out = [1, 2].map(|tag| peer.publish(tag));
    peer.say(format!("-ERR '{complaint}'\r\n"));
    peer.fence();
    let settled = [1, 2].map(|tag| peer.is_settled(tag));
    for (tag, published) in [1, 2].into_iter().zip(&out) {
        let outcome = if settled[tag as usize - 1] {
            Outcome::Rejected(Rejection::PermissionDenied { subject: format!("ord.{tag}") })
        } else {
            peer.ack(published, 100 + tag);
            Outcome::Stored { seq: 100 + tag }
        };
        assert_eq!(peer.outcome(tag), outcome, "{complaint}");
    }
    settled
}

#[test]
fn r09_a_publish_that_is_not_permitted() {
    for words in ["Permissions Violation for Publish to", "permissions violation FOR publish TO"] {
        let complaint = format!("{words} \"ord.1\"");
        Case::new("R09").play(|peer| assert_eq!(settled_by(peer, &complaint), [true, false]));
    }
}

#[test]
fn r10_complaints_that_name_something_else() {
    for about in [
        "Publish to ord.1",
        "Publish to \"ord.1",
        "Publish to ord.1\"",
        "Publish to \"\"",
        "Publish to \"ord.1\".",
        "Publish to \"ord.1\\\"\"",
        "Publish to \"ord.1\" or \"ord.2\"",
        "Publish to \"x\" \"ord.1\"",
        "Publish to \"ORD.1\"",
        "Publish to \"ord.1 \"",
        "Publish to \"ord.>\"",
        "Publish to \"ord.*\"",
        "Publish to \"*\"",
        "Publish to \"ord.1\\r\\n\"",
        "Publish to \"ord\\u002e1\\u0000\"",
        "Publish with Reply of \"ord.1\"",
        "Subscription to \"ord.1\"",
        "Subscription to \"ord.1\" using queue \"ord.1\"",
        "Publish",
    ] {
        let complaint = format!("Permissions Violation for {about}");
        Case::new("R10").play(|peer| assert_eq!(settled_by(peer, &complaint), [false, false], "{complaint}"));
    }
}
