//! P01–P10: what callers and records hand in, and what must never reach the wire.

use natsink::jetstream::{Message, Outcome, Rejection, SubmitError};
use natsink::proto::{
    HEADERS_LEN_MAX, HeaderBlock, HeaderError, MSG_ID_LEN_MAX, MsgId, MsgIdError, Pattern, SUBJECT_LEN_MAX, Subject,
    SubjectError,
};
use natsink::sink::{
    EventError, Format, Input, Mapper, MapperError, MapperOptions, Record, RouteError, Template, TemplateKind,
};
use natsink::time::Instant;
use serde_json::json;

use super::case::Case;
use super::peer::{INFO, Peer};

/// Texts that are no subject to publish to.
fn bad_subjects() -> Vec<(String, SubjectError)> {
    let mut bad: Vec<_> = [
        ("", SubjectError::Empty),
        ("a..b", SubjectError::EmptyToken),
        (".a", SubjectError::EmptyToken),
        ("a.", SubjectError::EmptyToken),
        (".", SubjectError::EmptyToken),
        ("*", SubjectError::Wildcard),
        ("a.*.b", SubjectError::Wildcard),
        ("a.>", SubjectError::Wildcard),
        ("a*", SubjectError::Wildcard),
    ]
    .map(|(text, error)| (text.to_owned(), error))
    .into();
    for forbidden in [' ', '\t', '\r', '\n', '\0', '\u{b}', '\u{7f}', '\u{85}', '\u{a0}', '\u{2028}', '\u{3000}'] {
        for text in [format!("a{forbidden}b"), format!("{forbidden}a"), format!("a.b{forbidden}")] {
            bad.push((text, SubjectError::Forbidden(forbidden)));
        }
    }
    bad.push(("a".repeat(SUBJECT_LEN_MAX + 1), SubjectError::TooLong(SUBJECT_LEN_MAX + 1)));
    bad.push(("a\r\nPUB b 0\r\n\r\n".into(), SubjectError::Forbidden('\r')));
    bad
}

#[test]
fn p01_subjects_that_are_none() {
    for (text, error) in bad_subjects() {
        assert_eq!(Subject::new(&text), Err(error), "{text:?}");
    }
}

#[test]
fn p02_replies_and_queue_groups_that_are_none() {
    // Both are subjects by their types: there is no other way to make one.
    for (text, error) in bad_subjects() {
        assert_eq!(Subject::new(&text).map(Subject::to_buf), Err(error), "{text:?}");
    }
    // Patterns differ in the wildcards alone.
    for (text, error) in bad_subjects() {
        match error {
            SubjectError::Wildcard => assert!(Pattern::new(text.as_str()).is_ok(), "{text:?}"),
            error => assert_eq!(Pattern::new(text.as_str()), Err(error), "{text:?}"),
        }
    }
    assert_eq!(Pattern::new(">.a"), Err(SubjectError::Wildcard));
}

#[test]
fn p03_headers_that_are_none() {
    let mut block = HeaderBlock::new();
    for name in ["", "a:", "a\r", "a\n", "a b", " a", "a\t", "\u{fc}", "a\0", "\u{7f}", "a\r\nNats-Rollup"] {
        assert_eq!(block.push(name, "x"), Err(HeaderError::Name(name.into())), "{name:?}");
    }
    for value in ["\r", "\n", "a\0", "all\r\nNats-Rollup: all", "\r\n\r\n"] {
        assert_eq!(block.push("a", value), Err(HeaderError::Value("a".into())), "{value:?}");
    }
    assert!(block.is_empty(), "nothing of it stays");
    block.push("a!#$~", "\u{fc} : any other text\t").expect("that can be sent");
}

#[test]
fn p04_ids_that_are_none() {
    for (text, error) in [
        ("", MsgIdError::Empty),
        (" a", MsgIdError::Padded),
        ("a ", MsgIdError::Padded),
        ("a\u{a0}", MsgIdError::Padded),
        (" ", MsgIdError::Padded),
        ("a\r\nNats-Rollup: all", MsgIdError::Forbidden('\r')),
        ("a\n", MsgIdError::Forbidden('\n')),
        ("\ta", MsgIdError::Forbidden('\t')),
        ("a\0b", MsgIdError::Forbidden('\0')),
    ] {
        assert_eq!(MsgId::new(text), Err(error), "{text:?}");
    }
    let long = "a".repeat(MSG_ID_LEN_MAX + 1);
    assert_eq!(MsgId::new(&long), Err(MsgIdError::TooLong(long.len())));
    assert!(MsgId::new(&long[1..]).is_ok());
}

#[test]
fn p05_the_name_of_the_id() {
    Case::new("P05").play(|peer| {
        peer.greet();
        peer.add_publisher();
        let mut headers = HeaderBlock::new();
        headers.push("nats-msg-id", "2").expect("a header like any other");
        let message = Message::new(Subject::new("ord.1").expect("a subject"), b"x").headers(&headers);
        peer.stage.submit(1, &message.id(MsgId::new("1").expect("an id"))).expect("there is room");
        let published = peer.published();
        assert_eq!(published.headers, "NATS/1.0\r\nNats-Msg-Id: 1\r\nnats-msg-id: 2\r\n\r\n");
        peer.ack(&published, 7);
        peer.outcome(1);
    });
}

/// Tries a message, and lets what is taken be acknowledged.
fn attempt(peer: &mut Peer, message: &Message<'_>) -> Option<SubmitError> {
    if let Err(error) = peer.stage.submit(1, message) {
        peer.fence();
        assert!(peer.waiting().is_empty(), "nothing of it was sent");
        return Some(error);
    }
    let published = peer.published();
    peer.ack(&published, 7);
    assert_eq!(peer.take_outcome(1), Outcome::Stored { seq: 7 });
    None
}

/// The length that fits exactly fits, the next one is refused with these numbers.
fn bound(peer: &mut Peer, max: usize, fitting: usize, submit: impl Fn(&mut Peer, usize) -> Option<SubmitError>) {
    assert_eq!(submit(peer, fitting), None);
    let too_large = Rejection::TooLarge { size: max + 1, max };
    assert_eq!(submit(peer, fitting + 1), Some(SubmitError::Rejected(too_large)));
    assert_eq!(submit(peer, fitting), None, "and nothing else suffers");
}

#[test]
fn p06_headers_that_no_stream_takes() {
    let mut block = HeaderBlock::new();
    let long = "x".repeat(HEADERS_LEN_MAX);
    assert!(matches!(block.push("a", &long), Err(HeaderError::TooLong(_))));
    assert!(block.is_empty());
    Case::new("P06").coarse().play(|peer| {
        peer.greet();
        peer.add_publisher();
        // `NATS/1.0`, `Nats-Msg-Id: 1`, `a: `, and the blank line.
        bound(peer, HEADERS_LEN_MAX, HEADERS_LEN_MAX - 10 - 16 - 5 - 2, |peer, len| {
            let mut headers = HeaderBlock::new();
            headers.push("a", &long[..len]).expect("alone it fits");
            let message = Message::new(Subject::new("ord.1").expect("a subject"), b"").headers(&headers);
            attempt(peer, &message.id(MsgId::new("1").expect("an id")))
        });
    });
}

#[test]
fn p07_control_lines_that_no_server_takes() {
    let inbox_prefix = "i".repeat(400);
    Case::new("P07").coarse().with(|options| options.inbox_prefix = inbox_prefix.clone()).play(|peer| {
        peer.greet();
        peer.add_publisher();
        let send = |peer: &mut Peer, subject: &str| {
            let message = Message::new(Subject::new(subject).expect("a subject"), b"");
            attempt(peer, &message.id(MsgId::new("1").expect("an id")))
        };
        assert_eq!(send(peer, "ord.1"), None);
        let reply = peer.last_reply();
        // `HPUB subject reply 28 28`.
        let fitting = 4096 - 1 - reply.len() - 1 - 2 - 1 - 2;
        bound(peer, 4096, fitting, |peer, len| send(peer, &"s".repeat(len)));
    });
}

#[test]
fn p08_messages_that_the_server_does_not_take() {
    let info = INFO.replace("1048576", "1000");
    Case::new("P08").coarse().play(|peer| {
        peer.greet_with(&info);
        peer.add_publisher();
        bound(peer, 1000, 1000 - 28, |peer, len| {
            let payload = "x".repeat(len);
            let message = Message::new(Subject::new("ord.1").expect("a subject"), payload.as_str());
            attempt(peer, &message.id(MsgId::new("1").expect("an id")))
        });
        peer.hang_up();
        peer.greet();
    });
}

fn mapper(subject: &str) -> Result<Mapper, MapperError> {
    let subject = Template::new(subject, TemplateKind::Subject).expect("a template");
    Mapper::new(MapperOptions::new("p", Input::named("in"), Format::Event, subject))
}

/// What becomes of this event with a mapper whose subject comes from it.
fn mapped(event: &serde_json::Value) -> Result<(), EventError> {
    let line = event.to_string();
    let record =
        Record { position: 0, end: line.len() as u64 + 1, line: line.into(), number: 1, read_at: Instant::ZERO };
    mapper("${after.to}").expect("a mapper").map(&record).map(drop)
}

fn event(to: &str, routing: &serde_json::Value) -> serde_json::Value {
    json!({"op": "c", "source": {"table": "t"}, "after": {"id": 1, "to": to}, "routing": routing})
}

#[test]
fn p09_subjects_that_data_must_not_choose() {
    for subject in
        ["$JS.API.STREAM.DELETE.ORD", "$JS.ACK.x", "$JS", "$SYS.REQ.SERVER.PING", "$SYS", "_INBOX.a.b", "_INBOX"]
    {
        let reserved = EventError::Subject(RouteError::Reserved { subject: subject.into() });
        assert_eq!(mapped(&event("good", &json!({ "topic": subject }))), Err(reserved), "{subject}");
        // Dots in a value are no dots in the subject.
        assert!(matches!(mapped(&event(subject, &json!(null))), Err(EventError::Subject(_))), "{subject}");
        assert!(matches!(mapper(subject), Err(MapperError::Subject(RouteError::Reserved { .. }))), "{subject}");
    }
    assert_eq!(mapped(&event("good", &json!({"topic": "$JSX.a"}))), Ok(()), "only whole tokens are reserved");
    assert_eq!(mapped(&event("good", &json!({"topic": "a.$JS"}))), Ok(()));
}

#[test]
fn p10_headers_that_data_must_not_choose() {
    for name in [
        "Nats-Rollup",
        "Nats-Expected-Last-Msg-Id",
        "Nats-Expected-Stream",
        "Nats-TTL",
        "Nats-Msg-Id",
        "Nats-Batch-Id",
        "Nats-Batch-Sequence",
        "Nats-Incr",
        "Nats-Schedule",
        "Nats-Trace-Dest",
        "nats-rollup",
        "NATS-ROLLUP",
    ] {
        let routing = json!({"headers": {"good": "1", name: "all"}});
        assert_eq!(mapped(&event("good", &routing)), Err(EventError::ControlHeader { name: name.into() }));
        let mut options = MapperOptions::new(
            "p",
            Input::named("in"),
            Format::Event,
            Template::new("good", TemplateKind::Subject).expect("a template"),
        );
        options.headers = vec![(name.into(), "all".into())];
        assert_eq!(Mapper::new(options).map(drop), Err(MapperError::ControlHeader(name.into())));
    }
    let smuggled = json!({"headers": {"a": "1\r\nNats-Rollup: all"}});
    assert_eq!(mapped(&event("good", &smuggled)), Err(EventError::Header(HeaderError::Value("a".into()))));
    assert_eq!(mapped(&event("good", &json!({"headers": {"x-nats-rollup": "all"}}))), Ok(()));
}
