//! What each envelope makes of each event, byte for byte, as it is written down in `tests/golden`.
//!
//! `NATSINK_BLESS=1 cargo test --test golden` writes the files anew; the change is then to be read by a person.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::Path;

use natsink::sink::{Envelope, Format, Input, Mapper, MapperOptions, Record, Template, TemplateKind};
use natsink::time::Instant;
use serde_json::{Map, Value, json};

fn mapper(envelope: Envelope) -> Mapper {
    let subject = Template::new("orders.${op}", TemplateKind::Subject).unwrap();
    let mut options = MapperOptions::new("golden", Input::named("events"), Format::Event, subject);
    options.key = Some(Template::new("${after.id}", TemplateKind::Key).unwrap());
    options.headers = vec![("x-env".into(), "prod".into())];
    options.envelope = envelope;
    Mapper::new(options).unwrap()
}

/// One message as `scripts/reader --dump` shows it, but for its sequence.
fn shown(mapper: &mut Mapper, line: &str, position: usize) -> Value {
    let position = position as u64;
    let record = Record { line: line.to_owned().into(), position, end: position, number: 1, read_at: Instant::ZERO };
    let mapped = mapper.map(&record).unwrap_or_else(|error| panic!("{error}: {line}"));
    let mut headers = Map::new();
    headers.insert("Nats-Msg-Id".into(), mapped.id().as_str().into());
    for (name, value) in mapped.headers().into_iter().flat_map(|block| block.iter()) {
        assert!(headers.insert(name.into(), value.into()).is_none(), "{name} stands twice: {line}");
    }
    let payload = std::str::from_utf8(mapped.payload()).unwrap();
    json!({"subject": mapped.subject().as_str(), "headers": headers, "payload": payload})
}

#[test]
fn every_envelope_is_as_it_is_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let events = fs::read_to_string(folder.join("events.ndjson")).unwrap();
    for (name, envelope) in [
        ("native", Envelope::Native),
        ("debezium", Envelope::Debezium),
        ("cloudevents", Envelope::CloudEvents { type_prefix: "com.example.cdc".into() }),
    ] {
        let mut mapper = mapper(envelope);
        let mut position = 0;
        let mut made = String::new();
        for line in events.split_terminator('\n') {
            made.push_str(&shown(&mut mapper, line, position).to_string());
            made.push('\n');
            position += line.len() + 1;
        }
        let path = folder.join(format!("{name}.ndjson"));
        if std::env::var_os("NATSINK_BLESS").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap();
        for (number, (made, golden)) in made.lines().zip(golden.lines()).enumerate() {
            assert_eq!(made, golden, "{name}, line {}", number + 1);
        }
        assert_eq!(made.lines().count(), golden.lines().count());
    }
}
