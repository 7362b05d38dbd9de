//! The whole machine without sockets: what a message costs from submission to outcome, and a window from loss to replay.
//!
//! The peer is part of each figure: it reads the reply subject out of every HPUB and writes the PubAck for it.
#![expect(missing_docs, reason = "what criterion_group makes has none")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use natsink::connection::{Action, ConnectionOptions, Epoch, LinkError, ServerList, Transmit};
use natsink::jetstream::{Message, Outcome, PublisherOptions};
use natsink::proto::{MsgId, Subject};
use natsink::rng::Entropy;
use natsink::session::{PublisherId, Session};
use natsink::time::Instant;

const INFO: &[u8] =
    b"INFO {\"server_id\":\"S\",\"server_name\":\"S\",\"version\":\"2.15.1\",\"proto\":1,\"headers\":true,\
\"max_payload\":1048576,\"jetstream\":true} \r\n";
const WINDOW: u64 = 4096;

/// A session whose server takes everything.
struct World {
    session: Session,
    publisher: PublisherId,
    epoch: Epoch,
    transmit: Transmit,
    acks: Vec<u8>,
    outcomes: Vec<(u64, Outcome)>,
    seq: u64,
    now: u64,
}

impl World {
    fn new() -> Self {
        let servers = ServerList::parse("127.0.0.1").expect("an address").servers;
        let mut session = Session::new(ConnectionOptions::new(servers), &Entropy::new([7; 32]));
        let publisher = session.add_publisher(PublisherOptions::default(), Instant::ZERO).expect("an open session");
        let epoch = dial(&mut session, 0);
        let mut world = Self {
            session,
            publisher,
            epoch,
            transmit: Transmit::new(),
            acks: Vec::new(),
            outcomes: Vec::new(),
            seq: 0,
            now: 0,
        };
        world.greet();
        world
    }

    fn tick(&mut self) -> Instant {
        self.now += 1;
        Instant::from_micros(self.now)
    }

    fn greet(&mut self) {
        let now = self.tick();
        self.session.handle_connected(self.epoch, now);
        self.session.handle_input(self.epoch, INFO, now);
        self.carry();
        self.session.handle_input(self.epoch, b"PONG\r\n", now);
    }

    fn submit(&mut self, number: u64, payload: &[u8], id: &mut String) {
        use std::fmt::Write as _;
        id.clear();
        write!(id, "orders-{number}").expect("a String takes all");
        let subject = Subject::new("orders.created").expect("a subject");
        let message = Message::new(subject, payload).id(MsgId::new(id).expect("an id"));
        let now = self.tick();
        self.session.submit(self.publisher, None, number, &message, now).expect("room");
    }

    /// Carries off what is owed and answers every publish in it.
    fn carry(&mut self) {
        let now = self.tick();
        while self.session.poll_transmit(self.epoch, &mut self.transmit, now) {
            let mut slices = [&[][..]; 4];
            let filled = self.transmit.slices(&mut slices);
            for slice in &slices[..filled] {
                answer(slice, &mut self.seq, &mut self.acks);
            }
            let len = self.transmit.len();
            self.transmit.clear();
            self.session.handle_transmitted(self.epoch, len, now);
        }
    }

    /// Lets the answers in, and takes the outcomes.
    fn settle(&mut self) {
        let now = self.tick();
        for part in self.acks.chunks(64 << 10) {
            self.session.handle_input(self.epoch, part, now);
        }
        self.acks.clear();
        self.outcomes.clear();
        self.session.take_outcomes(self.publisher, &mut self.outcomes, None);
    }

    fn reconnect(&mut self) {
        let now = self.tick();
        self.session.handle_disconnected(self.epoch, LinkError::Closed { hint: None }, now);
        self.acks.clear();
        self.now += 20_000_000;
        self.epoch = dial(&mut self.session, self.now);
        self.greet();
    }
}

fn dial(session: &mut Session, micros: u64) -> Epoch {
    session.handle_timeout(Instant::from_micros(micros));
    match session.poll_action() {
        Some(Action::Dial { epoch, .. }) => epoch,
        other => panic!("a dial is wanted, not {other:?}"),
    }
}

fn answer(mut sent: &[u8], seq: &mut u64, acks: &mut Vec<u8>) {
    use std::io::Write as _;
    while let Some(end) = memchr::memchr(b'\n', sent) {
        let line = &sent[..end];
        if !line.starts_with(b"HPUB ") {
            sent = &sent[end + 1..];
            continue;
        }
        let mut words = line.split(|byte| *byte == b' ').skip(2);
        let reply = words.next().expect("a reply subject");
        let total = words.nth(1).expect("a length").trim_ascii_end();
        let total: usize = std::str::from_utf8(total).expect("digits").parse().expect("digits");
        *seq += 1;
        acks.extend_from_slice(b"MSG ");
        acks.extend_from_slice(reply);
        let digits = seq.ilog10() as usize + 1;
        write!(acks, " 1 {}\r\n{{\"stream\":\"ORDERS\",\"seq\":{seq}}}\r\n", 26 + digits).expect("a Vec takes all");
        sent = &sent[end + 1 + total + 2..];
    }
}

fn benches(criterion: &mut Criterion) {
    let payload = [b'x'; 128];
    let mut id = String::new();
    let mut group = criterion.benchmark_group("session");

    group.throughput(Throughput::Elements(WINDOW));
    let mut world = World::new();
    let mut number = 0;
    group.bench_function("a window of 4096 messages of 128 B, submitted and settled", |bencher| {
        bencher.iter(|| {
            for _ in 0..WINDOW {
                world.submit(number, &payload, &mut id);
                number += 1;
            }
            while world.session.publisher(world.publisher).is_some_and(|publisher| publisher.in_flight() > 0) {
                world.carry();
                world.settle();
            }
            black_box(world.outcomes.len())
        });
    });

    group.throughput(Throughput::Elements(1));
    let mut world = World::new();
    group.bench_function("one message, submitted and settled", |bencher| {
        bencher.iter(|| {
            world.submit(number, &payload, &mut id);
            number += 1;
            world.carry();
            world.settle();
            assert_eq!(world.outcomes.len(), 1, "the message is settled");
        });
    });

    group.throughput(Throughput::Elements(WINDOW));
    let mut world = World::new();
    for _ in 0..WINDOW {
        world.submit(number, &payload, &mut id);
        number += 1;
    }
    group.bench_function("a full window, its link lost, replayed on the next", |bencher| {
        bencher.iter(|| {
            world.reconnect();
            world.carry();
            // The first is settled, so that all others follow it; it makes room for one more.
            world.settle();
            world.submit(number, &payload, &mut id);
            number += 1;
            world.carry();
            black_box(world.acks.len())
        });
    });
    group.finish();
}

criterion_group!(session, benches);
criterion_main!(session);
