//! What one event costs before it reaches the publisher: scan, identity, subject, key, headers.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use natsink::jetstream::Outcome;
use natsink::sink::{
    Envelope, Event, Format, Input, Mapper, MapperOptions, Pipeline, PipelineOptions, Record, Start,
    TYPE_PREFIX_DEFAULT, Template, TemplateKind,
};
use natsink::time::Instant;

/// A change event of 400 bytes.
const EVENT: &str = r#"{"before":null,"after":{"id":1048577,"customer_id":88213,"status":"created","total":"149.90","currency":"EUR","note":"leave at the door"},"op":"c","ts_ms":1767225600123,"source":{"version":"1.4.0","connector":"postgresql","name":"shop","ts_ms":1767225600100,"db":"shop","schema":"public","table":"orders","lsn":24023128,"txId":555},"transaction":{"id":"555:24023128","total_order":3},"event_id":"x"}"#;

fn options(format: Format, subject: &str) -> MapperOptions {
    let subject = Template::new(subject, TemplateKind::Subject).expect("a legal subject");
    MapperOptions::new("orders", Input::file(7), format, subject)
}

fn record(line: &str) -> Record {
    Record { line: line.to_owned().into(), position: 0, end: 0, number: 1, read_at: Instant::ZERO }
}

fn map(c: &mut Criterion) {
    let mut group = c.benchmark_group("map");
    let mut full = options(Format::Event, "orders.${source.table}.${op}");
    full.key = Some(Template::new("${after.id}", TemplateKind::Key).expect("a legal key"));
    full.headers = vec![("x-env".into(), "prod".into())];
    let wrapped = |envelope| {
        let mut options = options(Format::Event, "orders.${source.table}.${op}");
        options.envelope = envelope;
        options
    };
    let cloud_events = Envelope::CloudEvents { type_prefix: TYPE_PREFIX_DEFAULT.into() };
    let routed = format!(r#"{},"routing":{{"key":"k"}}}}"#, &EVENT[..EVENT.len() - 1]);
    for (name, options, line) in [
        ("event", options(Format::Event, "orders.${source.table}.${op}"), EVENT),
        ("event with key and header", full, EVENT),
        ("event in debezium", wrapped(Envelope::Debezium), EVENT),
        ("event in cloudevents", wrapped(cloud_events), EVENT),
        ("event with routing", options(Format::Event, "orders.events"), &routed),
        ("json", options(Format::Json, "orders.events"), EVENT),
        ("lines", options(Format::Lines, "orders.events"), EVENT),
    ] {
        let mut mapper = Mapper::new(options).expect("legal options");
        let record = record(line);
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(name, |b| b.iter(|| drop(black_box(mapper.map(black_box(&record))))));
    }
    group.finish();
}

/// What a typed event costs on its way to a line and back.
fn typed(c: &mut Criterion) {
    let event = Event::parse(EVENT).expect("an event");
    c.bench_function("typed event to line", |b| b.iter(|| black_box(black_box(&event).to_json())));
    c.bench_function("line to typed event", |b| b.iter(|| black_box(Event::parse(black_box(EVENT)))));
}

/// A record all the way: taken, mapped, sent, acked, passed by the watermark.
fn pipeline(c: &mut Criterion) {
    let mut group = c.benchmark_group("pipeline");
    for (name, format, subject) in
        [("event", Format::Event, "orders.${source.table}.${op}"), ("lines", Format::Lines, "orders.events")]
    {
        let mapper = Mapper::new(options(format, subject)).expect("legal options");
        let mut pipeline = Pipeline::new(mapper, PipelineOptions::default(), Start::default());
        let line = record(EVENT).line;
        let mut position = 0;
        group.throughput(Throughput::Bytes(EVENT.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let end = position + line.len() as u64 + 1;
                pipeline.handle_record(Record { line: line.clone(), position, end, number: 1, read_at: Instant::ZERO });
                position = end;
                let tag = pipeline.poll_message().map(|(tag, message)| (tag, drop(black_box(message))).0);
                let tag = tag.expect("a record waits");
                pipeline.handle_sent(tag);
                pipeline.handle_outcome(tag, &Outcome::Stored { seq: tag + 1 }, Instant::ZERO);
                if let Some(commit) = pipeline.poll_commit(Instant::ZERO) {
                    pipeline.handle_committed(&commit);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, map, typed, pipeline);
criterion_main!(benches);
