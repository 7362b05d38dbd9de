//! What becomes of events: subjects, headers and bytes, and the reasons of those that cannot be sent.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;

use natsink::proto::HeaderBlock;
use natsink::sink::{
    EventError, Format, Input, Mapped, Mapper, MapperError, MapperOptions, Record, RouteError, Template, TemplateKind,
    ValueError,
};
use natsink::time::Instant;
use proptest::prelude::*;
use serde_json::json;

fn options(format: Format, subject: &str) -> MapperOptions {
    let subject = Template::new(subject, TemplateKind::Subject).unwrap();
    MapperOptions::new("shop", Input::named("in"), format, subject)
}

fn record(line: impl Into<Vec<u8>>) -> Record {
    let line = line.into();
    Record { position: 10, end: 11 + line.len() as u64, line: line.into(), number: 1, read_at: Instant::ZERO }
}

fn keyed() -> Mapper {
    let mut options = options(Format::Event, "orders.${source.table}.${op}");
    options.key = Some(Template::new("${after.id}", TemplateKind::Key).unwrap());
    options.headers = vec![("x-env".into(), "prod".into()), ("x-a".into(), "1".into())];
    Mapper::new(options).unwrap()
}

fn headers(mapped: &Mapped<'_>) -> String {
    let bytes = mapped.headers().map(HeaderBlock::as_bytes).unwrap_or_default();
    String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n", ";")
}

#[test]
fn an_event_is_sent_as_it_came() {
    let line = r#" {"op":"c" ,"after":{"id":12345678901234567890.10},"source":{"table":"customers"},"n":1e400} "#;
    let record = record(line);
    let mut mapper = keyed();
    let mapped = mapper.map(&record).unwrap();
    assert_eq!(mapped.subject().as_str(), "orders.customers.c");
    assert_eq!(mapped.payload(), line.as_bytes());
    assert_eq!(headers(&mapped), "x-env: prod;x-a: 1;df-key: 12345678901234567890.10;");
    assert_eq!(mapper.subject(), Some("orders.customers.c"));
    assert_eq!(mapper.id(), Some("shop|in:10"));
}

#[test]
fn a_key_that_is_missing_is_not_sent() {
    for after in ["null", "{}", r#"{"id":null}"#, r#"{"id":""}"#] {
        let record = record(format!(r#"{{"op":"d","after":{after},"source":{{"table":"t"}}}}"#));
        assert_eq!(headers(&keyed().map(&record).unwrap()), "x-env: prod;x-a: 1;", "{after}");
    }
}

#[test]
fn routing_is_obeyed_and_never_sent() {
    let source = r#""source":{"table":"t"}"#;
    for (line, subject, payload, expected) in [
        (
            format!(r#"{{"op":"c",{source},"routing":{{"topic":"a.b","key":"k","headers":{{"x-a":"2","X-A":"3"}}}}}}"#),
            "a.b",
            format!(r#"{{"op":"c",{source}}}"#),
            "x-env: prod;x-a: 2;X-A: 3;df-key: k;",
        ),
        (
            format!(r#"{{"routing":null,"op":"c",{source}}}"#),
            "orders.t.c",
            format!(r#"{{"op":"c",{source}}}"#),
            "x-env: prod;x-a: 1;",
        ),
        (
            format!(r#"{{"op":"c",{source},"routing":{{"key":7,"raw_payload":true}},"after":{{ "id":1.0 }}}}"#),
            "orders.t.c",
            r#"{ "id":1.0 }"#.into(),
            "x-env: prod;x-a: 1;df-key: 7;",
        ),
        (
            format!(r#"{{"op":"d",{source},"routing":{{"raw_payload":true}},"after":null}}"#),
            "orders.t.d",
            "null".into(),
            "x-env: prod;x-a: 1;",
        ),
        (
            format!(r#"{{"op":"c",{source},"routing":{{"key":"","unknown":[]}},"after":{{"id":1}}}}"#),
            "orders.t.c",
            format!(r#"{{"op":"c",{source},"after":{{"id":1}}}}"#),
            "x-env: prod;x-a: 1;",
        ),
        (
            format!(r#"{{"op":"c",{source},"after":{{"id":1}},"routing":{{"headers":{{"df-key":"own"}}}}}}"#),
            "orders.t.c",
            format!(r#"{{"op":"c",{source},"after":{{"id":1}}}}"#),
            "x-env: prod;x-a: 1;df-key: own;",
        ),
    ] {
        let record = record(line.clone());
        let mut mapper = keyed();
        let mapped = mapper.map(&record).unwrap();
        assert_eq!(mapped.subject().as_str(), subject, "{line}");
        assert_eq!(mapped.payload(), payload.as_bytes(), "{line}");
        assert_eq!(headers(&mapped), expected, "{line}");
    }
}

#[test]
fn routing_is_data_in_other_formats() {
    let line = r#"{"routing":{"topic":"x"},"a":1}"#;
    let record = record(line);
    let mut mapper = Mapper::new(options(Format::Json, "s.${a}")).unwrap();
    let mapped = mapper.map(&record).unwrap();
    assert_eq!((mapped.subject().as_str(), mapped.payload()), ("s.1", line.as_bytes()));
}

#[test]
fn lines_are_any_bytes() {
    let mut options = options(Format::Lines, "s");
    options.key = Some(Template::new("k", TemplateKind::Key).unwrap());
    let mut mapper = Mapper::new(options).unwrap();
    let record = record(&b"\xff\0 \r"[..]);
    let mapped = mapper.map(&record).unwrap();
    assert_eq!(mapped.payload(), b"\xff\0 \r");
    assert_eq!(headers(&mapped), "df-key: k;");
}

#[test]
fn a_large_payload_is_not_copied() {
    let line = format!(r#"{{"a":1,"pad":"{}"}}"#, "x".repeat(10_000));
    let record = record(line);
    let mut mapper = Mapper::new(options(Format::Json, "s")).unwrap();
    assert_eq!(mapper.map(&record).unwrap().payload().as_ptr(), record.line.as_ptr());
}

#[test]
fn what_an_event_may_not_do() {
    let event = |rest: &str| format!(r#"{{"op":"c","source":{{"table":"t"}},{rest}}}"#);
    let routing = |rest: &str| event(&format!(r#""routing":{{{rest}}}"#));
    let missing = |path: &str| EventError::Subject(RouteError::Value(ValueError::Missing { path: path.into() }));
    let reserved = |subject: &str| EventError::Subject(RouteError::Reserved { subject: subject.into() });
    let cases: Vec<(String, EventError)> = vec![
        ("[]".into(), EventError::NotAnObject),
        ("{}".into(), EventError::NotAnEvent { reason: "it has no op" }),
        (r#"{"op":"x","source":{}}"#.into(), EventError::NotAnEvent { reason: "its op is none of c, u, d, r and t" }),
        (r#"{"op":"c"}"#.into(), EventError::NotAnEvent { reason: "it has no source object" }),
        (r#"{"op":"c","source":[]}"#.into(), EventError::NotAnEvent { reason: "it has no source object" }),
        (r#"{"op":"c","source":{}}"#.into(), missing("source.table")),
        (r#"{"op":"c","source":{"table":null}}"#.into(), missing("source.table")),
        (routing(r#""topic":"$JS.API.STREAM.DELETE.X""#), reserved("$JS.API.STREAM.DELETE.X")),
        (routing(r#""topic":"$SYS""#), reserved("$SYS")),
        (routing(r#""topic":"_INBOX.a""#), reserved("_INBOX.a")),
        (routing(r#""topic":1"#), EventError::Routing { member: "routing.topic", expected: "a string" }),
        (
            routing(r#""raw_payload":1"#),
            EventError::Routing { member: "routing.raw_payload", expected: "true or false" },
        ),
        (
            routing(r#""headers":[]"#),
            EventError::Routing { member: "routing.headers", expected: "an object of strings" },
        ),
        (event(r#""routing":[]"#), EventError::Routing { member: "routing", expected: "an object" }),
        (routing(r#""headers":{"Nats-Rollup":"all"}"#), EventError::ControlHeader { name: "Nats-Rollup".into() }),
        (
            event(r#""after":{"id":"a\r\nNats-Rollup: all"}"#),
            EventError::Key(ValueError::Forbidden { path: "after.id".into(), found: '\r' }),
        ),
        (
            routing(r#""key":"a\u0000""#),
            EventError::Key(ValueError::Forbidden { path: "routing.key".into(), found: '\0' }),
        ),
        (event(r#""after":{"id":[1]}"#), EventError::Key(ValueError::NotScalar { path: "after.id".into() })),
    ];
    for (line, error) in cases {
        let mut mapper = keyed();
        assert_eq!(mapper.map(&record(line.clone())).unwrap_err(), error, "{line}");
    }
    for rest in [r#""topic":"""#, r#""topic":"a..b""#, r#""topic":"a.*""#, r#""topic":"a b""#, r#""topic":"a\n""#] {
        let error = keyed().map(&record(routing(rest))).unwrap_err();
        assert!(matches!(error, EventError::Subject(RouteError::Subject(_))), "{rest} {error}");
    }
    let crlf = routing(r#""headers":{"x":"a\r\nb"}"#);
    assert!(matches!(keyed().map(&record(crlf)).unwrap_err(), EventError::Header(_)));
    let raw = keyed().map(&record(routing(r#""raw_payload":true"#))).unwrap_err();
    assert_eq!(raw.to_string(), "after must be there, where routing.raw_payload is true");
}

#[test]
fn a_failed_event_is_known_as_far_as_it_goes() {
    let mut mapper = keyed();
    let no_subject = record(r#"{"op":"c","source":{}}"#);
    assert!(mapper.map(&no_subject).is_err());
    assert_eq!((mapper.subject(), mapper.id()), (None, Some("shop|in:10")));
    let no_headers = record(r#"{"op":"c","source":{"table":"t"},"routing":{"headers":{"Nats-TTL":"1s"}}}"#);
    assert!(mapper.map(&no_headers).is_err());
    assert_eq!((mapper.subject(), mapper.id()), (Some("orders.t.c"), Some("shop|in:10")));
    assert!(mapper.map(&record("{")).is_err());
    assert_eq!((mapper.subject(), mapper.id()), (None, None), "nothing is left of the last event");
}

#[test]
fn what_no_event_could_mend() {
    let error = |options| Mapper::new(options).unwrap_err();
    assert_eq!(error(options(Format::Lines, "s.${a}")), MapperError::VariablesInLines("s.${a}".into()));
    assert!(matches!(error(options(Format::Json, "$JS.API")), MapperError::Subject(RouteError::Reserved { .. })));
    let mut wrong = options(Format::Json, "s");
    wrong.key = Some(wrong.subject.clone());
    assert_eq!(error(wrong), MapperError::TemplateKind("s".into()));
    let mut control = options(Format::Json, "s");
    control.headers = vec![("Nats-Expected-Last-Msg-Id".into(), "x".into())];
    assert_eq!(error(control), MapperError::ControlHeader("Nats-Expected-Last-Msg-Id".into()));
    let mut broken = options(Format::Json, "s");
    broken.headers = vec![("x".into(), "a\r\nb".into())];
    assert!(matches!(error(broken), MapperError::Header(_)));
}

proptest! {
    /// No value can change the number of tokens, become a wildcard or leave its place, and none is changed to fit.
    #[test]
    fn no_value_injects(value in ".{0,6}|[a.*> \\r\\n\\t\\x00é]{0,4}") {
        let mut mapper = Mapper::new(options(Format::Json, "a.x-${v}.b")).unwrap();
        let record = record(json!({"v": value}).to_string());
        match mapper.map(&record) {
            Ok(mapped) => {
                prop_assert_eq!(mapped.subject().as_str(), format!("a.x-{value}.b"));
                prop_assert_eq!(mapped.subject().as_str().split('.').count(), 3);
            }
            Err(_) => {
                let bad = |c: char| ".*>".contains(c) || c.is_whitespace() || c.is_control();
                prop_assert!(value.is_empty() || value.contains(bad), "{:?}", value);
            }
        }
    }

    /// A path of one, two or three segments, its value alone in a token or a part of one: always the subject with the
    /// value in its place, or a refusal of this event.
    #[test]
    fn a_value_at_any_depth_stays_in_its_token(
        value in "[a-c]{1,3}|[a.*>\\PC \\r\\n\\t\\x00\u{85}\u{2028}\u{3000}]{0,5}",
        depth in 1..4usize,
        before in "[x-]{0,2}",
        after in "[y-]{0,2}",
    ) {
        let path = ["a", "b", "c"][..depth].join(".");
        let mut mapper = Mapper::new(options(Format::Json, &format!("s.{before}${{{path}}}{after}.${{{path}}}"))).unwrap();
        let inner = ["c", "b", "a"][3 - depth..].iter().fold(json!(value), |inner, name| json!({*name: inner}));
        match mapper.map(&record(inner.to_string())) {
            Ok(mapped) => {
                let subject = mapped.subject().as_str();
                prop_assert_eq!(subject, format!("s.{before}{value}{after}.{value}"));
                prop_assert_eq!(subject.split('.').count(), 3);
                prop_assert!(!subject.contains(['*', '>', '\r', '\n', ' ', '\t', '\0']));
            }
            Err(EventError::Subject(_)) => {
                let bad = |c: char| ".*>".contains(c) || c.is_whitespace() || c.is_control();
                prop_assert!(value.is_empty() || value.contains(bad), "{:?}", value);
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    /// Nothing that can be read from a line panics, and what passes is what a JSON reader takes for an object.
    #[test]
    fn any_bytes_are_an_answer(line in proptest::collection::vec(any::<u8>(), 0..60)) {
        let record = record(line);
        for format in [Format::Event, Format::Json, Format::Lines] {
            let _ = Mapper::new(options(format, "s")).unwrap().map(&record);
        }
    }

    #[test]
    fn any_json_like_text_is_an_answer(line in "[{}\\[\\]\",:a-z0-9\\\\ .]{0,40}") {
        // Raw values: a number need not fit into a double.
        let expected = serde_json::from_str::<BTreeMap<String, &serde_json::value::RawValue>>(&line).is_ok();
        let record = record(line);
        let mapped = Mapper::new(options(Format::Json, "s")).unwrap().map(&record).is_ok();
        prop_assert_eq!(mapped, expected);
    }
}
