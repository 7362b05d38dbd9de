//! The wire floor: what an ack costs to read and a message to write.
#![expect(missing_docs, reason = "what criterion_group makes has none")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use natsink::proto::{HeaderBlock, Headers, Op, Parser, ParserLimits, Side, Subject, encode};

/// What one read of a socket brings.
const FRAMES: usize = 512;

/// A PubAck as it comes with a reply subject of 128 bits and an index: 84 bytes.
const PUB_ACK: &[u8] =
    b"MSG _INBOX.0123456789abcdefghijkl.00001 1 36\r\n{\"stream\":\"ORDERS\",\"seq\":1234567890}\r\n";

/// No responders, as nats-server 2.15 writes it.
const NO_RESPONDERS: &[u8] = b"HMSG _INBOX.0123456789abcdefghijkl.00001 1 49 49\r\n\
    NATS/1.0 503\r\nNats-Subject: orders.eu.created\r\n\r\n\r\n";

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    let acks = PUB_ACK.repeat(FRAMES);
    assert_eq!(PUB_ACK.len(), 84);
    group.throughput(Throughput::Bytes(acks.len() as u64));
    group.bench_function("512 PubAcks of 84 B", |b| b.iter(|| each_frame(black_box(&acks), read_ack)));

    let refusals = NO_RESPONDERS.repeat(FRAMES);
    group.throughput(Throughput::Bytes(refusals.len() as u64));
    group.bench_function("512 HMSG 503", |b| b.iter(|| each_frame(black_box(&refusals), read_status)));
    group.finish();
}

fn each_frame(mut buf: &[u8], mut seen: impl FnMut(Op<'_>)) {
    let mut parser = Parser::new(Side::Server, ParserLimits::default());
    let mut frames = 0;
    while let Some(frame) = parser.frame(buf).expect("the bytes are those of a server") {
        seen(frame.op(buf));
        buf = &buf[frame.len..];
        frames += 1;
    }
    assert_eq!(frames, FRAMES);
}

fn read_ack(op: Op<'_>) {
    let Op::Msg { subject, sid, payload, .. } = op else { panic!("only acks were sent") };
    black_box((subject, sid, payload));
}

fn read_status(op: Op<'_>) {
    let Op::HMsg { headers, .. } = op else { panic!("only refusals were sent") };
    assert_eq!(Headers::parse(headers).expect("the block is one").status(), Some(503));
}

fn encode(c: &mut Criterion) {
    let subject = Subject::new("orders.eu.created").expect("a subject");
    let reply = Subject::new("_INBOX.0123456789abcdefghijkl.00001").expect("a subject");
    let mut headers = HeaderBlock::new();
    headers.push("Nats-Msg-Id", "orders-1234567890").expect("a header");
    let payload = [b'x'; 128];
    let mut out = Vec::new();
    encode::publish(&mut out, subject, Some(reply), Some(&headers), &payload);

    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function("HPUB of 128 B", |b| {
        b.iter(|| {
            out.clear();
            encode::publish(&mut out, black_box(subject), Some(reply), Some(&headers), black_box(&payload));
        });
    });
    group.finish();
}

criterion_group!(benches, parse, encode);
criterion_main!(benches);
