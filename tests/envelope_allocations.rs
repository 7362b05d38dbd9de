//! In a steady state an event costs no memory to be put into its envelope, and next to none where it is nested.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::alloc::System;

use bytes::Bytes;
use natsink::sink::{Envelope, Format, Input, Mapper, MapperOptions, Template, TemplateKind};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const EVENT: &str = r#"{"op":"c","ts_ms":1767225600123,"source":{"connector":"postgresql","name":"n","db":"shop","schema":"public","table":"orders","lsn":1,"txId":2},"transaction":{"id":"2","total_order":3},"after":{"id":7,"note":"x"}}"#;

/// The allocations of one event in the quietest of some rounds: the test's own threads take memory now and then.
fn allocations(envelope: Envelope, event: &str) -> usize {
    let subject = Template::new("orders.${source.table}.${op}", TemplateKind::Subject).unwrap();
    let mut options = MapperOptions::new("shop", Input::file(1), Format::Event, subject);
    options.key = Some(Template::new("${after.id}", TemplateKind::Key).unwrap());
    options.headers = vec![("x-env".into(), "prod".into())];
    options.envelope = envelope;
    let mut mapper = Mapper::new(options).unwrap();
    let line = Bytes::from(event.to_owned());
    let mut round = || {
        let region = Region::new(ALLOCATOR);
        drop(mapper.map_line(&line, Some(0)).unwrap());
        let change = region.change();
        change.allocations + change.reallocations
    };
    round();
    (0..64).map(|_| round()).min().unwrap()
}

#[test]
fn an_event_costs_no_allocation_in_any_envelope() {
    let with = |routing: &str| format!(r#"{},"routing":{{{routing}}}}}"#, &EVENT[..EVENT.len() - 1]);
    let cloud_events = Envelope::CloudEvents { type_prefix: "com.example".into() };
    for envelope in [Envelope::Native, Envelope::Debezium, cloud_events] {
        for (event, most) in [
            (EVENT.into(), 0),
            (with(r#""topic":"orders.x","key":"k""#), 0),
            (with(r#""raw_payload":true"#), 0),
            // The note that the JSON reader keeps of what is open, for each pass over something nested.
            (with(r#""headers":{"a":"1","b":"2","c":"3"}"#), 1),
            (EVENT.replace("\"x\"", r#"{"tags":[1,[2],{"a":{}}]}"#), 2),
        ] {
            let found = allocations(envelope.clone(), &event);
            assert!(found <= most, "{found} allocations, {envelope:?} {event}");
        }
    }
}
