//! In a steady state an event costs no memory on its way to the publisher and back.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::alloc::System;

use natsink::jetstream::Outcome;
use natsink::sink::{
    Format, Input, Mapper, MapperOptions, Pipeline, PipelineOptions, Record, Start, Template, TemplateKind,
};
use natsink::time::Instant;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn an_event_costs_no_allocation() {
    let event = r#"{"op":"c","source":{"connector":"postgresql","db":"shop","schema":"public","table":"orders","lsn":1,"txId":2},"transaction":{"id":"2","total_order":3},"after":{"id":7,"tags":[1,2]}}"#;
    let subject = Template::new("orders.${source.table}.${op}", TemplateKind::Subject).unwrap();
    let mut options = MapperOptions::new("shop", Input::file(1), Format::Event, subject);
    options.key = Some(Template::new("${after.id}", TemplateKind::Key).unwrap());
    options.headers = vec![("x-env".into(), "prod".into())];
    let mut pipeline = Pipeline::new(Mapper::new(options).unwrap(), PipelineOptions::default(), Start::default());
    let block = bytes::Bytes::from(format!("{event}\n").repeat(64));
    let len = event.len() as u64 + 1;
    let mut position = 0;
    let mut turn = |pipeline: &mut Pipeline| {
        let first = position / len;
        for i in 0..64 {
            let start = (i * len) as usize;
            let line = block.slice(start..start + event.len());
            let record = Record { line, position, end: position + len, number: 1, read_at: Instant::ZERO };
            position += len;
            pipeline.handle_record(record);
            let (tag, message) = pipeline.poll_message().unwrap();
            drop(message);
            pipeline.handle_sent(tag);
        }
        for tag in first..first + 64 {
            pipeline.handle_outcome(tag, &Outcome::Stored { seq: tag + 1 }, Instant::ZERO);
        }
        let commit = pipeline.take_commit().unwrap();
        pipeline.handle_committed(&commit);
    };
    turn(&mut pipeline);
    let region = Region::new(ALLOCATOR);
    (0..16).for_each(|_| turn(&mut pipeline));
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{change:?}");
    assert_eq!(pipeline.position(), 17 * 64 * len);
}
