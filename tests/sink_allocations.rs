//! In a steady state an event costs no memory on its way to the publisher and back.
#![cfg(feature = "sink")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::alloc::System;

use natsink::jetstream::Outcome;
use natsink::sink::{
    CommitPolicy, FanOut, FanOutSink, Format, Input, Mapper, MapperOptions, PipelineOptions, Record, Start, Template,
    TemplateKind,
};
use natsink::time::Instant;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TURNS: u64 = 16;

fn sink() -> FanOutSink {
    let subject = Template::new("orders.${source.table}.${op}", TemplateKind::Subject).unwrap();
    let mut options = MapperOptions::new("shop", Input::file(1), Format::Event, subject);
    options.key = Some(Template::new("${after.id}", TemplateKind::Key).unwrap());
    options.headers = vec![("x-env".into(), "prod".into())];
    let (mapper, start) = (Mapper::new(options).unwrap(), Start::default());
    FanOutSink { mapper, options: PipelineOptions::default(), start, required: true }
}

/// Allocations of some turns, each of 64 events, which end with a commit. The least of several times: the allocator counts
/// for the whole program, and the thread that runs the tests takes memory too.
fn allocations(sinks: usize) -> usize {
    let event = r#"{"op":"c","source":{"connector":"postgresql","db":"shop","schema":"public","table":"orders","lsn":1,"txId":2},"transaction":{"id":"2","total_order":3},"after":{"id":7,"tags":[1,2]}}"#;
    let all = (0..sinks).map(|_| sink()).collect();
    let mut fan_out = FanOut::new(CommitPolicy::Required, Start::default(), all);
    let block = bytes::Bytes::from(format!("{event}\n").repeat(64));
    let len = event.len() as u64 + 1;
    let mut position = 0;
    let mut turn = |fan_out: &mut FanOut| {
        let first = position / len;
        for i in 0..64 {
            let start = (i * len) as usize;
            let line = block.slice(start..start + event.len());
            let record = Record { line, position, end: position + len, number: 1, read_at: Instant::ZERO };
            position += len;
            fan_out.handle_record(record);
            for sink in 0..sinks {
                let (tag, message) = fan_out.poll_message(sink).unwrap();
                drop(message);
                fan_out.handle_sent(sink, tag);
            }
        }
        for (tag, sink) in (first..first + 64).flat_map(|tag| (0..sinks).map(move |sink| (tag, sink))) {
            fan_out.handle_outcome(sink, tag, &Outcome::Stored { seq: tag + 1 }, Instant::ZERO);
        }
        let commit = fan_out.take_commit().unwrap();
        fan_out.handle_committed(&commit);
    };
    turn(&mut fan_out);
    let counts = (0..4).map(|_| {
        let region = Region::new(ALLOCATOR);
        (0..TURNS).for_each(|_| turn(&mut fan_out));
        let change = region.change();
        change.allocations + change.reallocations
    });
    let least = counts.min().unwrap();
    assert_eq!(fan_out.position(), (4 * TURNS + 1) * 64 * len);
    least
}

#[test]
fn an_event_costs_no_allocation_whatever_the_number_of_sinks() {
    for sinks in [1, 3] {
        assert_eq!(allocations(sinks), TURNS as usize, "one list for each commit, with {sinks} sinks");
    }
}
