//! Typed events: what is written is read back, and is what a line with the same words is.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use natsink::sink::{
    Envelope, Event, EventError, EventRouting, Format, Input, Json, Mapper, MapperOptions, Op, Source, Template,
    TemplateKind, Transaction,
};
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;

fn text() -> impl Strategy<Value = String> {
    "[a-c\"\\\\\\x00-\\x1f\\PC]{0,5}"
}

fn json() -> impl Strategy<Value = Json> {
    prop_oneof![
        text().prop_map(|text| Json::string(&text)),
        any::<u64>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<bool>().prop_map(Json::from),
        Just(Json::parse("{\"a\":[1.50,\n{\"b\": null}],\r\n\"a\":12345678901234567890.10}").unwrap()),
    ]
}

fn source() -> impl Strategy<Value = Source> {
    let words = proptest::collection::vec(option::of(text()), 8);
    let values = proptest::collection::vec(option::of(json()), 4);
    let numbers = proptest::collection::vec(option::of(any::<u64>()), 3);
    (words, values, numbers, option::of(any::<i64>())).prop_map(|(mut words, mut values, mut numbers, ts_ms)| {
        let mut source = Source::default();
        source.ts_ms = ts_ms;
        for field in [
            &mut source.version,
            &mut source.connector,
            &mut source.name,
            &mut source.db,
            &mut source.schema,
            &mut source.table,
            &mut source.file,
            &mut source.gtid,
        ] {
            *field = words.pop().unwrap();
        }
        for field in [&mut source.snapshot, &mut source.lsn, &mut source.tx_id, &mut source.sequence] {
            *field = values.pop().unwrap();
        }
        for field in [&mut source.pos, &mut source.row, &mut source.server_id] {
            *field = numbers.pop().unwrap();
        }
        source
    })
}

fn transaction() -> impl Strategy<Value = Transaction> {
    (option::of(text()), option::of(any::<u64>()), option::of(any::<u64>())).prop_map(|(id, order, in_table)| {
        let mut transaction = Transaction::default();
        (transaction.id, transaction.total_order, transaction.data_collection_order) = (id, order, in_table);
        transaction
    })
}

fn routing() -> impl Strategy<Value = EventRouting> {
    let headers = proptest::collection::btree_map("[a-c\\PC]{1,3}", text(), 0..3);
    (option::of(text()), option::of(text()), headers, any::<bool>()).prop_map(|(topic, key, headers, raw_payload)| {
        let mut routing = EventRouting::default();
        (routing.topic, routing.key, routing.raw_payload) = (topic, key, raw_payload);
        routing.headers = headers.into_iter().collect();
        routing
    })
}

fn event() -> impl Strategy<Value = Event> {
    let op = prop::sample::select(vec![Op::Create, Op::Update, Op::Delete, Op::Snapshot, Op::Truncate]);
    let words = proptest::collection::vec(option::of(text()), 4);
    let values = proptest::collection::vec(option::of(json()), 4);
    let tags = proptest::collection::vec(text(), 0..3);
    let rest = (option::of(any::<i64>()), option::of(transaction()), any::<bool>(), option::of(routing()));
    (op, source(), words, values, tags, rest).prop_map(|(op, source, mut words, mut values, tags, rest)| {
        let mut event = Event::new(op, source);
        for field in [&mut event.event_id, &mut event.tenant_id, &mut event.schema_version, &mut event.trace_id] {
            *field = words.pop().unwrap();
        }
        for field in [&mut event.before, &mut event.after, &mut event.ddl, &mut event.synthetic] {
            *field = values.pop().unwrap();
        }
        event.tags = tags;
        (event.ts_ms, event.transaction, event.tx_end, event.routing) = rest;
        event
    })
}

fn mapper(envelope: Envelope) -> Mapper {
    let subject = Template::new("orders.${op}", TemplateKind::Subject).unwrap();
    let mut options = MapperOptions::new("shop", Input::named("in"), Format::Event, subject);
    options.key = Some(Template::new("${source.table}", TemplateKind::Key).unwrap());
    options.envelope = envelope;
    Mapper::new(options).unwrap()
}

proptest! {
    #[test]
    fn an_event_is_read_as_it_was_written(event in event()) {
        let line = event.to_json();
        prop_assert!(!line.contains(['\n', '\r']), "one line: {}", line);
        let tree: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(tree["op"].as_str(), Some(event.op.as_str()));
        prop_assert_eq!(tree["event_id"].as_str(), event.event_id.as_deref());
        prop_assert_eq!(Event::parse(&line).unwrap(), event);
    }

    /// The mapper never finds an event that was written here to be no event; what it refuses are its values.
    #[test]
    fn what_is_written_is_an_event(event in event(), envelope in 0..3usize) {
        let cloud_events = Envelope::CloudEvents { type_prefix: "p".into() };
        let envelope = [Envelope::Native, Envelope::Debezium, cloud_events][envelope].clone();
        let line = event.to_json().into();
        match mapper(envelope).map_line(&line, Some(1)) {
            Ok(mapped) => {
                let raw = event.routing.as_ref().is_some_and(|routing| routing.raw_payload);
                if raw {
                    prop_assert_eq!(mapped.payload(), event.after.as_ref().unwrap().as_str().as_bytes());
                } else {
                    prop_assert!(serde_json::from_slice::<Value>(mapped.payload()).unwrap().get("routing").is_none());
                }
            }
            Err(EventError::NotJson { .. } | EventError::NotAnEvent { .. } | EventError::NotAnObject) => {
                prop_assert!(false, "{:?}", event);
            }
            Err(_) => {}
        }
    }

    #[test]
    fn any_text_is_an_answer(text in "[{}\\[\\]\",:a-z0-9\\\\ .]{0,60}") {
        let _ = Event::parse(&text);
        if let Ok(json) = Json::parse(&text) {
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(json.as_str()).is_ok());
        }
    }
}

#[test]
fn members_without_a_field_are_kept() {
    let line = r#"{"op":"u","source":{"table":"t","thread":7,"x":{"b":1}},"transaction":{"id":"1","total_order":2,"rows":[1]},"zone":"eu","list":[1.50]}"#;
    let event = Event::parse(line).unwrap();
    assert_eq!(event.to_json(), line);
    let nulls = r#"{"op":"u","source":{},"before":null,"ts_ms":null,"tags":null,"routing":null,"tx_end":null}"#;
    assert_eq!(Event::parse(nulls).unwrap(), Event::new(Op::Update, Source::default()));
}

#[test]
fn what_is_no_event_is_told() {
    for (line, words) in [
        ("", "not JSON: "),
        ("[]", "JSON, but not an object"),
        ("{}", "it has no op"),
        (r#"{"op":"c"}"#, "it has no source object"),
        (r#"{"op":"x","source":{}}"#, "its op is none of c, u, d, r and t"),
        (r#"{"op":"c","op":"c","source":{}}"#, "\"op\" stands twice in its object"),
        (r#"{"op":"c","source":{"db":"a","db":"b"}}"#, "\"db\" stands twice in its object"),
        (r#"{"op":"c","source":[]}"#, "source must be an object"),
        (r#"{"op":"c","source":{"pos":1.5}}"#, "source.pos must be a whole number of 64 bits"),
        (r#"{"op":"c","source":{"pos":"1"}}"#, "source.pos must be a whole number of 64 bits"),
        (r#"{"op":"c","source":{},"event_id":7}"#, "event_id must be a string"),
        (r#"{"op":"c","source":{},"event_id":"\ud800"}"#, "event_id must be a string of whole characters"),
        (r#"{"op":"c","source":{},"tags":[1]}"#, "tags must be an array of strings"),
        (r#"{"op":"c","source":{},"tx_end":1}"#, "tx_end must be true or false"),
        (r#"{"op":"c","source":{},"routing":{"headers":{"a":1}}}"#, "routing.headers must be a string"),
        (r#"{"op":"c","source":{}} x"#, "not JSON: "),
    ] {
        let error = Event::parse(line).unwrap_err().to_string();
        assert!(error.contains(words), "{error}: {line}");
    }
}

#[test]
fn the_identity_of_an_event_is_its_own_and_never_made_up() {
    let id = |event: &Event| {
        let line = event.to_json().into();
        let mut mapper = mapper(Envelope::Native);
        mapper.map_line(&line, event.position).map(|mapped| mapped.id().as_str().to_owned())
    };
    let mut event = Event::new(Op::Create, Source::new("postgresql", "shop", "orders"));
    assert_eq!(id(&event), Err(EventError::NoIdentity));
    event.event_id = Some("a|b c".into());
    assert_eq!(id(&event).unwrap(), "shop|event_id|a%7Cb%20c");
    event.position = Some(5);
    assert_eq!(id(&event).unwrap(), "shop|in:5");
    event.source.lsn = Some(Json::from(7_u64));
    event.set_order("t", 3);
    assert_eq!(id(&event).unwrap(), "shop|postgresql|shop..orders|7,@t,3");
    event.op = Op::Snapshot;
    assert_eq!(id(&event).unwrap(), "shop|in:5");
}
