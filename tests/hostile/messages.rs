//! F12, F13 and F20–F32: pings, headers, subjects and subscriptions that are not as one would wish.

use std::time::Instant as StdInstant;

use natsink::connection::{
    Action, Auth, AuthError, Authenticator, Challenge, Connection, ConnectionOptions, Credentials, Epoch, Event,
    LinkError, ServerUrl, Transmit,
};
use natsink::jetstream::{Anomaly, Notice, Outcome};
use natsink::proto::{Headers, ParseError, Pattern};
use natsink::rng::Entropy;
use natsink::time::Instant;

use super::case::Case;
use super::peer::{INFO, Peer};

/// A connection by hand, greeted as far as `INFO`.
fn by_hand(tune: impl FnOnce(&mut ConnectionOptions)) -> (Connection, Epoch) {
    let mut options = ConnectionOptions::new(vec![ServerUrl::parse("h").expect("a URL").addr]);
    tune(&mut options);
    let mut connection = Connection::new(options, &Entropy::new([7; 32]));
    let epoch = dial(&mut connection);
    (connection, epoch)
}

fn dial(connection: &mut Connection) -> Epoch {
    let now = connection.poll_timeout().expect("a dial is due");
    connection.handle_timeout(now);
    let dial = std::iter::from_fn(|| connection.poll_action()).find_map(|action| match action {
        Action::Dial { epoch, .. } => Some(epoch),
        _ => None,
    });
    let epoch = dial.expect("a dial is wanted");
    connection.handle_connected(epoch, now);
    hear(connection, epoch, format!("INFO {INFO}\r\n"));
    epoch
}

/// Lets the connection hear this, and tells what comes of it.
fn hear(connection: &mut Connection, epoch: Epoch, bytes: impl AsRef<[u8]>) -> Vec<String> {
    connection.handle_input(epoch, bytes.as_ref(), Instant::ZERO);
    let mut events = Vec::new();
    while let Some(event) = connection.poll_event() {
        events.push(match event {
            Event::Message(delivery) => format!("Message({})", delivery.payload.escape_ascii()),
            event => format!("{event:?}"),
        });
    }
    events
}

/// Carries off all that is owed.
fn written(connection: &mut Connection, epoch: Epoch) -> String {
    let mut transmit = Transmit::new();
    let mut all = Vec::new();
    while connection.poll_transmit(epoch, &mut transmit) {
        let mut slices = [&[][..]; 8];
        let filled = transmit.slices(&mut slices);
        all.extend(slices[..filled].concat());
        connection.handle_transmitted(epoch, transmit.len(), Instant::ZERO);
        transmit.clear();
    }
    String::from_utf8(all).expect("the client writes text")
}

#[test]
fn f12_pongs_that_nobody_asked_for() {
    let (mut connection, epoch) = by_hand(|_| {});
    written(&mut connection, epoch);
    assert_eq!(hear(&mut connection, epoch, "PONG\r\n"), ["Connected"]);
    assert_eq!(hear(&mut connection, epoch, "PONG\r\n".repeat(1000)), [""; 0]);
    assert_eq!(connection.statistics().strays, 1000);
    assert!(connection.ping(1) && connection.ping(2));
    assert_eq!(hear(&mut connection, epoch, "PONG\r\n"), [""; 0], "the PING has not even left");
    written(&mut connection, epoch);
    assert_eq!(hear(&mut connection, epoch, "PONG\r\n"), ["Pong(1)"]);
    assert_eq!(hear(&mut connection, epoch, "PONG\r\n"), ["Pong(2)"]);
    Case::new("F12").play(|peer| {
        peer.greet();
        peer.say("PONG\r\nPONG\r\nPONG\r\n");
        peer.fence();
        assert_eq!(peer.new_notices().len(), 1, "nothing but that the link is up");
        peer.stage.flush();
        peer.ping();
        peer.fence();
        assert!(!peer.stage.is_flushed(), "they answer no later question");
        peer.say("PONG\r\n");
        peer.wait("the answer to a flush", |peer| peer.stage.is_flushed().then_some(()));
    });
}

/// Never asked within this case.
struct Slow;

impl Authenticator for Slow {
    fn answer(&self, _: &Challenge<'_>) -> Result<Credentials, AuthError> {
        Err(AuthError::NoNonce)
    }
}

#[test]
fn f13_a_flood_of_pings() {
    let flood = "PING\r\n".repeat(10_000);
    let pongs_max = ConnectionOptions::new(vec![]).limits.pings_max;
    // Before CONNECT, while somebody thinks about the credentials.
    let (mut connection, epoch) = by_hand(|options| options.auth = Auth::asked(Slow));
    for _ in 0..20 {
        assert_eq!(hear(&mut connection, epoch, &flood), [""; 0]);
    }
    assert_eq!(written(&mut connection, epoch), "", "nothing is said before CONNECT");
    connection.handle_credentials(epoch, Ok(Credentials::Token("t".into())), Instant::ZERO);
    let said = written(&mut connection, epoch);
    assert!(said.starts_with("CONNECT {"), "{said}");
    assert_eq!(said.matches("PONG\r\n").count(), pongs_max);
    // Over a link that is up, to a peer that reads none of the answers.
    Case::new("F13").coarse().play(|peer| {
        peer.greet();
        peer.add_publisher();
        for _ in 0..20 {
            peer.say(&flood);
            assert!(peer.stage.outbox_len() <= (128 << 10) + 64);
        }
        let published = peer.publish(1);
        peer.ack(&published, 7);
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 7 });
    });
}

/// What a publisher makes of an answer to its publish with these headers: nothing, or a notice; and goes on.
fn proves_nothing(number: &str, block: &[u8], payload: &str, anomaly: Option<Anomaly>) {
    Case::new(number).play(|peer| {
        peer.greet();
        peer.add_publisher();
        let mut published = peer.publish(1);
        peer.answer_with(&published, block, payload);
        peer.fence();
        assert!(!peer.is_settled(1), "{}", block.escape_ascii());
        let counted = peer.stage.publisher_statistics();
        assert_eq!(counted.garbled + counted.anomalies, 1, "{}", block.escape_ascii());
        let told: Vec<_> = peer.stage.publisher_notices();
        let paused: Vec<_> = told
            .into_iter()
            .filter_map(|notice| match notice {
                Notice::Paused { anomaly, .. } => Some(anomaly),
                _ => None,
            })
            .collect();
        assert_eq!(paused, Vec::from_iter(anomaly.clone()));
        if anomaly.is_some() {
            // It is sent again, with the same id.
            published = peer.published();
            assert!(published.headers.contains("Nats-Msg-Id: 1\r\n"), "{}", published.headers);
        }
        peer.ack(&published, 7);
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 7 });
    });
}

#[test]
fn f20_header_blocks_that_are_none() {
    let ack = r#"{"stream":"ORD","seq":7}"#;
    for block in ["X: y\r\n\r\n", "NATS/1.0\r\nX: y\r\n", "NATS/1.0", "NATS/2.0\r\n\r\n", "\r\n\r\n", "NATS/1.0\n\n"] {
        assert!(Headers::parse(block.as_bytes()).is_err(), "{block:?}");
        proves_nothing("F20", block.as_bytes(), ack, None);
    }
}

#[test]
fn f21_statuses_that_anybody_can_forge() {
    for (line, status, description) in [
        ("NATS/1.0 5", None, None),
        ("NATS/1.0 50 3", None, None),
        ("NATS/1.0 5030", None, None),
        ("NATS/1.0 099", None, None),
        ("NATS/1.0 -50", None, None),
        ("NATS/1.0 503 text", Some(503), Some("text")),
        ("NATS/1.0 999 hello", Some(999), Some("hello")),
    ] {
        let block = format!("{line}\r\n\r\n");
        let headers = Headers::parse(block.as_bytes()).expect(line);
        assert_eq!((headers.status(), headers.description()), (status, description.map(str::as_bytes)), "{line}");
    }
    assert!(Headers::parse(b"NATS/1.0503\r\n\r\n").is_err());
    proves_nothing("F21", b"NATS/1.0 999 hello\r\n\r\n", "", None);
    proves_nothing("F21", b"NATS/1.0 5\r\n\r\n", "", None);
    proves_nothing("F21", b"NATS/1.0503\r\n\r\n", "", None);
    proves_nothing("F21", b"NATS/1.0 503 text\r\n\r\n", "", Some(Anomaly::NoResponders));
    // On a subject that is not the publisher's inbox a status says nothing of its messages.
    Case::new("F21").play(|peer| {
        peer.greet();
        peer.add_publisher();
        let published = peer.publish(1);
        let question = peer.ask();
        peer.answer_with(&question, "NATS/1.0 503\r\n\r\n", "x");
        peer.say(format!("HMSG {} 999 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", published.reply));
        peer.fence();
        assert!(!peer.is_settled(1));
        assert_eq!(peer.stage.publisher_statistics().anomalies, 0);
        peer.ack(&published, 7);
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 7 });
    });
}

#[test]
fn f22_header_lines_of_any_bytes() {
    let block =
        b"NATS/1.0\r\nno colon\r\n: no name\r\n folded: x\r\n\ta\xff: \xfe\0\rx\r\n:\r\nb:\r\nb:  2 \r\nc\n: d\r\n\r\n";
    let headers = Headers::parse(block).expect("version and end are there");
    let pairs: Vec<(&[u8], &[u8])> = headers.iter().collect();
    let expected: [(&[u8], &[u8]); 5] =
        [(b" folded", b"x"), (b"\ta\xff", b"\xfe\0\rx"), (b"b", b""), (b"b", b"2 "), (b"c\n", b"d")];
    assert_eq!(pairs, expected, "lines without colon or name are skipped, all else is kept as it came");
    proves_nothing("F22", block, "not an ack", None);
}

#[test]
fn f23_a_hundred_thousand_headers() {
    let block = [b"NATS/1.0\r\n".to_vec(), b"a: b\r\n".repeat(100_000), b"\r\n".to_vec()].concat();
    let started = StdInstant::now();
    let headers = Headers::parse(&block).expect("a block");
    assert_eq!(headers.iter().count(), 100_000);
    assert_eq!(headers.value("z"), None);
    // Far more than a walk over 600 kB takes, far less than 10^10 steps.
    assert!(started.elapsed().as_secs() < 5);
    Case::new("F23").coarse().play(|peer| {
        peer.greet();
        let question = peer.ask();
        peer.answer_with(&question, &block, "after all that");
        assert_eq!(peer.received().payload, "after all that");
    });
    // The cap is the one of any message.
    let case = Case::new("F23").coarse().with(|options| options.limits.payload_max = 100_000);
    case.play(|peer| {
        peer.greet();
        let question = peer.ask();
        peer.answer_with(&question, &block, "");
        let LinkError::Protocol(ParseError::PayloadTooLarge { max: 100_000, .. }) = peer.lost() else {
            panic!("more headers than the cap are a broken protocol")
        };
    });
}

#[test]
fn f24_one_header_twice() {
    let headers = Headers::parse(b"NATS/1.0\r\na: 1\r\nA: 2\r\na: 3\r\n\r\n").expect("a block");
    assert_eq!(headers.iter().filter(|(name, _)| *name == b"a").count(), 2);
    assert_eq!(headers.value("a"), Some(&b"1"[..]));
    Case::new("F24").play(|peer| {
        peer.greet();
        let question = peer.ask();
        peer.answer_with(&question, "NATS/1.0 200\r\na: 1\r\na: 2\r\n\r\n", "x");
        let received = peer.received();
        assert_eq!((received.status, received.payload.as_ref()), (Some(200), &b"x"[..]));
        let values: Vec<_> = received.headers().expect("they can be read").iter().map(|(_, value)| value).collect();
        assert_eq!(values, [b"1", b"2"]);
    });
}

#[test]
fn f25_subjects_of_any_bytes() {
    Case::new("F25").play(|peer| {
        peer.greet();
        let question = peer.ask();
        let sid = peer.sid_of(&question.reply);
        peer.say([b"MSG bin.\xff\xfe ", sid.to_string().as_bytes(), b" \x80.\xc3 1\r\nx\r\n"].concat());
        let received = peer.received();
        assert_eq!((&received.subject[..], received.reply.as_deref()), (&b"bin.\xff\xfe"[..], Some(&b"\x80.\xc3"[..])));
    });
}

#[test]
fn f26_a_subject_without_measure() {
    Case::new("F26").coarse().play(|peer| {
        peer.greet();
        peer.say(format!("MSG {} 1 0\r\n\r\n", "s".repeat(64 << 10)));
        assert_eq!(peer.lost(), LinkError::Protocol(ParseError::LineTooLong { max: 4096 }));
    });
}

#[test]
fn f27_a_subscription_that_never_was() {
    Case::new("F27").play(|peer| {
        peer.greet();
        peer.say("MSG a 4711 1\r\nx\r\nHMSG a 18446744073709551615 12 13\r\nNATS/1.0\r\n\r\nx\r\nMSG a 0 0\r\n\r\n");
        peer.fence();
        assert_eq!(peer.stage.statistics().strays, 3);
        assert_eq!(peer.stage.statistics().messages_in, 0);
    });
}

#[test]
fn f28_a_subscription_of_another_link() {
    let (mut connection, old) = by_hand(|_| {});
    let sid = connection.subscribe(Pattern::new("a").expect("a pattern"), None).expect("there is room");
    written(&mut connection, old);
    hear(&mut connection, old, "PONG\r\n");
    assert_eq!(hear(&mut connection, old, "MSG a 1 1\r\nx\r\n"), ["Message(x)"]);
    connection.handle_disconnected(old, LinkError::Closed { hint: None }, Instant::ZERO);
    hear(&mut connection, old, "");
    let new = dial(&mut connection);
    written(&mut connection, new);
    assert_eq!(hear(&mut connection, new, "PONG\r\n"), ["Connected"]);
    assert_eq!(hear(&mut connection, old, "MSG a 1 1\r\nx\r\n"), [""; 0], "bytes of a link that is gone are nobody's");
    assert_eq!(hear(&mut connection, new, "MSG a 1 1\r\ny\r\n"), ["Message(y)"]);
    connection.unsubscribe(sid);
    assert_eq!(hear(&mut connection, new, "MSG a 1 1\r\nz\r\n"), [""; 0]);
    assert_eq!(connection.statistics().strays, 1);
    // A number is never used for another subscription.
    Case::new("F28").play(|peer| {
        peer.greet();
        let first = peer.ask();
        let sid = peer.sid_of(&first.reply);
        peer.answer(&first, "x");
        peer.received();
        peer.hang_up();
        peer.greet();
        let second = peer.ask();
        assert_ne!(peer.sid_of(&second.reply), sid);
        peer.say(format!("MSG {} {sid} 3\r\nold\r\n", second.reply));
        peer.answer(&second, "new");
        assert_eq!(peer.received().payload, "new");
        assert_eq!(peer.stage.statistics().strays, 1);
    });
}

#[test]
fn f29_a_message_within_a_message() {
    Case::new("F29").play(|peer| {
        peer.greet();
        let question = peer.ask();
        let inner = "\r\nMSG x 1 0\r\n\r\nPING\r\n-ERR 'Stale Connection'\r\n";
        peer.answer(&question, inner);
        assert_eq!(peer.received().payload, inner);
        assert_eq!(peer.stage.statistics().strays, 0);
    });
}

/// A publish and a question, with `between` said before and after everything.
fn undisturbed(number: &str, between: &str) {
    Case::new(number).play(|peer: &mut Peer| {
        peer.greet();
        peer.add_publisher();
        peer.say(between);
        let published = peer.publish(1);
        peer.say(between);
        peer.ack(&published, 7);
        peer.say(between);
        assert_eq!(peer.outcome(1), Outcome::Stored { seq: 7 });
        let question = peer.ask();
        peer.say(between);
        peer.answer_with(&question, "NATS/1.0\r\n\r\n", "x");
        peer.say(between);
        assert_eq!(peer.received().payload, "x");
        peer.fence();
        assert_eq!(peer.new_notices().len(), 1, "nothing but that the link is up");
    });
}

#[test]
fn f30_info_between_any_two_ops() {
    undisturbed("F30", &format!("INFO {INFO} \r\n"));
}

#[test]
fn f31_ok_between_any_two_ops() {
    undisturbed("F31", "+OK\r\n+OK\r\n");
}

#[test]
fn f32_more_pongs_than_pings() {
    let (mut connection, epoch) = by_hand(|_| {});
    written(&mut connection, epoch);
    hear(&mut connection, epoch, "PONG\r\n");
    assert!(connection.ping(1));
    written(&mut connection, epoch);
    assert_eq!(hear(&mut connection, epoch, "PONG\r\n".repeat(100)), ["Pong(1)"]);
    assert!(connection.ping(2));
    assert_eq!(hear(&mut connection, epoch, ""), [""; 0], "the surplus answers no later PING");
    written(&mut connection, epoch);
    assert_eq!(hear(&mut connection, epoch, "PONG\r\n"), ["Pong(2)"]);
    Case::new("F32").play(|peer| {
        peer.greet();
        peer.say("PONG\r\n".repeat(100));
        peer.fence();
        assert_eq!(peer.stage.statistics().strays, 100);
    });
}
