//! Ids are the same at every replay, and different for different events: properties over hostile positions.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;

use natsink::proto::MsgId;
use natsink::sink::{
    Envelope, EventError, Format, ID_LEN_MAX, IdRule, Input, Mapper, MapperOptions, Record, Template, TemplateKind,
};
use natsink::time::Instant;
use proptest::prelude::*;
use serde_json::{Value, json};

fn options(format: Format) -> MapperOptions {
    let subject = Template::new("orders.events", TemplateKind::Subject).unwrap();
    MapperOptions::new("shop", Input::file(7), format, subject)
}

fn mapper(format: Format) -> Mapper {
    Mapper::new(options(format)).unwrap()
}

fn with_id(template: &str) -> Mapper {
    let mut options = options(Format::Json);
    options.id = IdRule::Template(Template::new(template, TemplateKind::Id).unwrap());
    Mapper::new(options).unwrap()
}

fn record(line: &str, position: u64) -> Record {
    let end = position + line.len() as u64 + 1;
    Record { line: line.to_owned().into(), position, end, number: 1, read_at: Instant::ZERO }
}

fn id(mapper: &mut Mapper, line: &str, position: u64) -> String {
    mapper.map(&record(line, position)).unwrap().id().as_str().to_owned()
}

fn event(op: &str, source: Value, transaction: Value) -> String {
    json!({"op": op, "source": source, "transaction": transaction, "after": {}}).to_string()
}

#[test]
fn a_whole_source_position_is_the_id() {
    let mut mapper = mapper(Format::Event);
    let postgres =
        json!({"connector":"postgresql","db":"shop","schema":"public","table":"orders","lsn":24023128,"txId":555});
    let total_order = json!({"id":"555:24023128","total_order":3});
    let mysql = json!({"connector":"mysql","db":"shop","table":"orders","file":"mysql-bin.000003","pos":154,"row":2,"gtid":"a-b:5"});
    let gtid = json!({"connector":"mysql","db":"shop","table":"orders","gtid":"3e11fa47-71ca:23","row":0});
    for (line, expected) in [
        (event("c", postgres.clone(), total_order.clone()), "shop|postgresql|shop.public.orders|24023128,555,3"),
        (event("u", mysql, Value::Null), "shop|mysql|shop..orders|mysql-bin.000003:154:2"),
        (event("d", gtid, Value::Null), "shop|mysql|shop..orders|3e11fa47-71ca:23,0"),
        // Positions repeat without an ordinal and in snapshots.
        (event("c", postgres.clone(), Value::Null), "shop|0000000000000007:4096"),
        (event("r", postgres, total_order), "shop|0000000000000007:4096"),
        (event("c", json!({}), Value::Null), "shop|0000000000000007:4096"),
    ] {
        assert_eq!(id(&mut mapper, &line, 4096), expected, "{line}");
        assert_eq!(id(&mut mapper, &line, 4096), expected, "a replay of {line}");
    }
}

#[test]
fn the_parts_of_a_table_name_cannot_be_shifted() {
    let mut mapper = mapper(Format::Event);
    let names = ["", "a", "b", ".", "a.", ".b", "a.b", "%2E", "a|b"];
    let mut ids = BTreeSet::new();
    let mut count = 0;
    for db in &names[1..] {
        for schema in names {
            for table in &names[1..] {
                let source = json!({"connector":"c","db":db,"schema":schema,"table":table,"file":"f","pos":1,"row":0});
                ids.insert(id(&mut mapper, &event("c", source, Value::Null), 7));
                count += 1;
            }
        }
    }
    assert_eq!(ids.len(), count);
}

#[test]
fn other_formats_know_the_input_position_only() {
    let line = event("c", json!({"connector":"m","db":"d","table":"t","file":"f","pos":1,"row":0}), Value::Null);
    assert_eq!(id(&mut mapper(Format::Json), &line, 12), "shop|0000000000000007:12");
    assert_eq!(id(&mut mapper(Format::Lines), "any", 0), "shop|0000000000000007:0");
    let mut mapper = mapper(Format::Lines);
    mapper.set_input(&Input::file(7).with_generation(1));
    assert_eq!(id(&mut mapper, "any", 0), "shop|0000000000000007#1:0");
}

#[test]
fn an_id_of_the_event_keeps_its_value() {
    let line = r#"{"event_id":"01J9-a.b:c|d","n":1.50,"e":"a\u0020b\u00e9%","x":null,"o":{}}"#;
    for (template, expected) in [
        ("${event_id}", "shop|01J9-a.b:c|d"),
        ("v1/${event_id}", "shop|v1/01J9-a.b:c|d"),
        ("${n}", "shop|1.50"),
        ("${e}", "shop|a%20b%C3%A9%25"),
        ("${event_id}-${n}", "shop|01J9%2Da.b:c|d-1.50"),
    ] {
        assert_eq!(id(&mut with_id(template), line, 0), expected, "{template}");
    }
    for (template, reason) in [
        ("${missing}", "no id: missing is missing or null"),
        ("${x}", "no id: x is missing or null"),
        ("${o}", "no id: o is an object or an array"),
    ] {
        let error = with_id(template).map(&record(line, 0)).unwrap_err();
        assert_eq!(error.to_string(), reason);
    }
    let error = with_id("${a}").map(&record(r#"{"a":""}"#, 0)).unwrap_err();
    assert_eq!(error.to_string(), "no id: a is empty");
}

#[test]
fn an_id_of_the_content_is_a_hash_of_subject_and_payload() {
    let mut options = options(Format::Event);
    options.id = IdRule::Content;
    let mut mapper = Mapper::new(options).unwrap();
    let plain = r#"{"op":"c","source":{}}"#;
    let first = id(&mut mapper, plain, 0);
    assert_eq!(first.len(), "shop|sha256:".len() + 64);
    assert_eq!(first, id(&mut mapper, plain, 99), "the position does not count");
    let routed = r#"{"op":"c","source":{},"routing":{"topic":"orders.events"}}"#;
    assert_eq!(first, id(&mut mapper, routed, 0), "what is sent counts");
    assert_ne!(first, id(&mut mapper, r#"{"op":"c","source":{},"routing":{"topic":"orders.event"}}"#, 0));
    assert_ne!(first, id(&mut mapper, r#"{"op":"c","source":{ }}"#, 0));
}

/// Few letters, and all that separate or escape.
fn field() -> impl Strategy<Value = String> {
    "[ab|.:,@%#~ \\x00\\né]{0,3}"
}

/// A member that may be missing, null, a number, a boolean or a text.
fn member() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Value::Null)),
        1 => Just(Some(json!(true))),
        2 => (0..3u8).prop_map(|number| Some(json!(number))),
        6 => field().prop_map(|text| Some(json!(text))),
    ]
}

const SOURCE: [&str; 10] = ["connector", "db", "schema", "table", "lsn", "txId", "file", "pos", "row", "gtid"];

/// Events, and where they stand in the input, where they stand in one.
fn events() -> impl Strategy<Value = (String, Option<u64>)> {
    let source = proptest::collection::vec(member(), SOURCE.len());
    let complete = "[cr]".prop_map(String::from);
    // Some that look like a position in the input `a`.
    let event_id = prop_oneof![member(), "a:[0-3]".prop_map(|text| Some(json!(text)))];
    let rest = (member(), member(), event_id, proptest::option::of(0..4u64));
    (complete, source, rest).prop_map(|(op, source, (transaction, order, event_id, position))| {
        let present = SOURCE.iter().zip(source).filter_map(|(name, value)| Some((name.to_string(), value?)));
        let transaction: serde_json::Map<_, _> = [("id", transaction), ("total_order", order)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_string(), value?)))
            .collect();
        let source = Value::Object(present.collect());
        let line = event(&op, source, Value::Object(transaction));
        let own = event_id.map_or(String::new(), |event_id| format!(",\"event_id\":{event_id}"));
        (format!("{}{own}}}", &line[..line.len() - 1]), position)
    })
}

/// The naive twin: the identity of an event as a list of fields, for comparing and nothing else; none where it has none.
fn identity(line: &str, offset: Option<u64>) -> Option<Vec<String>> {
    let event: Value = serde_json::from_str(line).unwrap();
    let field = |pointer: &str| match event.pointer(pointer) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let source = |name: &str| field(&format!("/source/{name}"));
    let from_source = || {
        let mut whole =
            vec![source("connector")?, source("db")?, source("schema").unwrap_or_default(), source("table")?];
        let transaction = source("txId").map(|id| ("txId", id)).or(field("/transaction/id").map(|id| ("id", id)));
        if let (Some(lsn), Some((kind, id)), Some(order)) =
            (source("lsn"), transaction, field("/transaction/total_order"))
        {
            whole.extend(["lsn".into(), lsn, kind.into(), id, order]);
        } else if let (Some(file), Some(pos), Some(row)) = (source("file"), source("pos"), source("row")) {
            whole.extend(["file".into(), file, pos, row]);
        } else {
            whole.extend(["gtid".into(), source("gtid")?, source("row")?]);
        }
        Some(whole)
    };
    let snapshot = event["op"] == "r";
    let whole = (!snapshot).then(from_source).flatten();
    let in_input = || offset.map(|offset| vec!["input".into(), offset.to_string()]);
    whole.or_else(in_input).or_else(|| Some(vec!["event_id".into(), field("/event_id")?]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn two_identities_never_share_an_id_and_one_never_has_two(events in proptest::collection::vec(events(), 2..12)) {
        let mut mapper = mapper(Format::Event);
        mapper.set_input(&Input::named("a"));
        let mut ids = BTreeSet::new();
        let mut identities = BTreeSet::new();
        for (line, offset) in &events {
            let bytes = line.clone().into();
            let identity = identity(line, *offset);
            let id = match mapper.map_line(&bytes, *offset) {
                Ok(mapped) => mapped.id().as_str().to_owned(),
                Err(error) => {
                    prop_assert_eq!(error, EventError::NoIdentity);
                    prop_assert_eq!(identity, None, "{}", line);
                    continue;
                }
            };
            prop_assert!(MsgId::new(&id).is_ok() && id.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(id.starts_with("shop|"));
            prop_assert!(identity.is_some(), "{}", line);
            prop_assert_eq!(ids.insert(id.clone()), identities.insert(identity.clone()), "{} {:?}", id, identity);
        }
    }

    #[test]
    fn two_values_never_make_one_id(a in field(), b in field(), c in field(), d in field()) {
        for template in ["${a}|${b}", "${a}.${b}", "x${a}y:z${b}", "${a}@%${b}."] {
            let mut mapper = with_id(template);
            let mut made = |a: &str, b: &str| {
                let line = json!({"a": a, "b": b}).to_string();
                mapper.map(&record(&line, 0)).map(|mapped| mapped.id().as_str().to_owned()).ok()
            };
            let (first, second) = (made(&a, &b), made(&c, &d));
            prop_assert_eq!(first.is_some(), !a.is_empty() && !b.is_empty());
            if first.is_some() && second.is_some() {
                prop_assert_eq!(first == second, (&a, &b) == (&c, &d));
            }
        }
    }

    #[test]
    fn long_ids_are_short_and_differ(long in "[a-z]{200,400}", tail in 0..u64::MAX) {
        let mut mapper = with_id("${a}");
        let mut made = |value: &str| id(&mut mapper, &json!({"a": value}).to_string(), 0);
        let (first, second) = (made(&long), made(&format!("{long}{tail}")));
        prop_assert!(first.len() <= ID_LEN_MAX && second.len() <= ID_LEN_MAX);
        prop_assert!(second[5..].starts_with(&long[..200]), "it can still be read");
        prop_assert_ne!(&first, &second);
        // Whoever sends a shortened id as a value gets another one.
        prop_assert_eq!(made(&second[5..]) == second, second.len() < ID_LEN_MAX);
    }

    #[test]
    fn two_inputs_never_share_an_id(a in any::<u64>(), b in any::<u64>(), generations in (0..3u32, 0..3u32), offset in 0..9u64) {
        let mut mapper = mapper(Format::Lines);
        let mut made = |input: Input| {
            mapper.set_input(&input);
            id(&mut mapper, "line", offset)
        };
        let (x, y) = (Input::file(a).with_generation(generations.0), Input::file(b).with_generation(generations.1));
        prop_assert_eq!(made(x.clone()) == made(y.clone()), x == y);
        let (x, y) = (Input::file(a).with_generation(generations.0), Input::file(a).with_generation(generations.1));
        prop_assert_eq!(made(x) == made(y), generations.0 == generations.1);
    }

    #[test]
    fn two_pipelines_never_share_an_id(a in "[ab|%:]{1,3}", b in "[ab|%:]{1,3}", line in "[ab|:]{1,3}", offset in 0..3u64) {
        let made = |pipeline: &str| {
            let mut options = options(Format::Lines);
            options.pipeline = pipeline.into();
            id(&mut Mapper::new(options).unwrap(), &line, offset)
        };
        prop_assert_eq!(made(&a) == made(&b), a == b);
    }

    /// Equal events become one, and no other two do; what envelope they are sent in makes no difference.
    #[test]
    fn ids_of_the_content_differ_where_subject_or_payload_do(
        a in ("[ab.]{0,2}", "[ab]{0,2}"), b in ("[ab.]{0,2}", "[ab]{0,2}"), envelope in 0..3usize
    ) {
        let cloud_events = Envelope::CloudEvents { type_prefix: "p".into() };
        let mut options = options(Format::Event);
        options.id = IdRule::Content;
        let mut native = Mapper::new(options.clone()).unwrap();
        options.envelope = [Envelope::Native, Envelope::Debezium, cloud_events][envelope].clone();
        let mut mapper = Mapper::new(options).unwrap();
        let line = |(topic, value): &(String, String)| {
            json!({"op": "c", "source": {}, "after": value, "routing": {"topic": format!("x{topic}y")}}).to_string()
        };
        let mut made = |it| mapper.map(&record(&line(it), 0)).map(|mapped| mapped.id().as_str().to_owned()).ok();
        let (first, second) = (made(&a), made(&b));
        if first.is_some() && second.is_some() {
            prop_assert_eq!(first == second, a == b);
            prop_assert_eq!(first.unwrap(), id(&mut native, &line(&a), 0));
        }
    }
}
