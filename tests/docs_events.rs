//! The examples of `docs/events.md` are what happens.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::Path;

use natsink::proto::HeaderBlock;
use natsink::sink::{
    Envelope, Format, Input, Mapper, MapperOptions, Record, TYPE_PREFIX_DEFAULT, Template, TemplateKind,
};
use natsink::time::Instant;
use serde_json::Value;

fn mapper(envelope: Envelope) -> Mapper {
    let subject = Template::new("orders.events", TemplateKind::Subject).unwrap();
    let mut options = MapperOptions::new("orders", Input::named("docs"), Format::Event, subject);
    options.headers = vec![("x-env".into(), "prod".into())];
    options.envelope = envelope;
    Mapper::new(options).unwrap()
}

/// The fenced blocks that have a second word after the language: that word, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(words) = line.strip_prefix("```").filter(|words| !words.is_empty()) else { continue };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some((_, kind)) = words.split_once(' ') {
            blocks.push((kind.into(), text.join("\n")));
        }
    }
    blocks
}

#[test]
fn the_examples_of_the_page_are_what_happens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md");
    let blocks = blocks(&fs::read_to_string(path).unwrap());
    assert!(blocks.len() >= 10, "{blocks:?}");
    let mut event = None;
    for (kind, text) in &blocks {
        if kind == "event" {
            let line = text.replace('\n', " ").into_bytes();
            event = Some(Record { position: 0, end: 0, line: line.into(), number: 1, read_at: Instant::ZERO });
            continue;
        }
        let envelope = match &**kind {
            "debezium" => Envelope::Debezium,
            "cloudevents" => Envelope::CloudEvents { type_prefix: TYPE_PREFIX_DEFAULT.into() },
            _ => Envelope::Native,
        };
        let (record, mut mapper) = (event.as_ref().expect("an event stands before"), mapper(envelope));
        let mapped = mapper.map(record).unwrap();
        let headers = || mapped.headers().into_iter().flat_map(HeaderBlock::iter);
        match &**kind {
            "subject" => assert_eq!(mapped.subject().as_str(), text),
            "id" => assert_eq!(mapped.id().as_str(), text),
            "headers" => {
                let lines: Vec<String> = headers().map(|(name, value)| format!("{name}: {value}")).collect();
                assert_eq!(lines.join("\n"), *text);
            }
            _ => {
                let found: Value = serde_json::from_slice(mapped.payload()).unwrap();
                assert_eq!(found, serde_json::from_str::<Value>(text).unwrap(), "{kind}");
            }
        }
    }
}
