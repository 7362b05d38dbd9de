//! In a steady state the machines allocate nothing per message, and unread acks cost their slots and nothing else.
#![cfg(feature = "sim")]

use std::alloc::System;
use std::fmt::Write as _;
use std::io::Write as _;
use std::mem;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use natsink::connection::{Action, Epoch, Transmit};
use natsink::jetstream::{AckSlot, Message, Outcome, PublisherOptions, SubmitError};
use natsink::proto::{MsgId, Op, Parser, ParserLimits, Side, Subject};
use natsink::rng::Entropy;
use natsink::session::{PublisherId, Session};
use natsink::sim::{Server, Stream, World, scenes};
use natsink::time::Instant;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LARGE: usize = 1 << 20;
const IN_FLIGHT_MAX: usize = 256;

/// A session that is up, and a peer of fixed buffers that acknowledges what it is sent.
struct Bench {
    session: Session,
    publisher: PublisherId,
    epoch: Epoch,
    now: Instant,
    transmit: Transmit,
    parser: Parser,
    /// What the peer has received and not read.
    wire: Vec<u8>,
    acks: Vec<u8>,
    ack: Vec<u8>,
    id: String,
    large: Bytes,
    submitted: u64,
    seq: u64,
}

impl Bench {
    /// The greeting is the model server's; from then on it is left out.
    fn new() -> Self {
        let mut session = Session::new(World::connection_options(), &Entropy::new([3; 32]));
        let options = PublisherOptions { in_flight_max: IN_FLIGHT_MAX, ..PublisherOptions::stream(scenes::STREAM) };
        let publisher = session.add_publisher(options, Instant::ZERO).expect("an open session");
        session.handle_timeout(Instant::ZERO);
        let Some(Action::Dial { epoch, .. }) = session.poll_action() else { panic!("it dials at once") };
        session.handle_connected(epoch, Instant::ZERO);
        let mut server = Server::new(Stream::new(scenes::STREAM, "ord.>"));
        server.max_payload = 2 * LARGE;
        let connection = server.accept();
        let mut bench = Self {
            session,
            publisher,
            epoch,
            now: Instant::ZERO,
            transmit: Transmit::new(),
            parser: Parser::new(Side::Client, ParserLimits::default()),
            wire: Vec::with_capacity(8 * LARGE),
            acks: Vec::with_capacity(LARGE),
            ack: Vec::with_capacity(100),
            id: String::with_capacity(100),
            large: Bytes::from(vec![b'x'; LARGE]),
            submitted: 0,
            seq: 0,
        };
        while !bench.session.publisher(publisher).is_some_and(|publisher| publisher.is_verified()) {
            let mut output = Vec::new();
            server.take_output(connection, &mut output);
            bench.session.handle_input(epoch, &output, Instant::ZERO);
            bench.carry_off();
            server.handle_input(connection, &mem::take(&mut bench.wire), Instant::ZERO);
        }
        assert_eq!(server.violations(), []);
        bench.wire.reserve(8 * LARGE);
        bench
    }

    fn submit(&mut self, large: bool) -> Result<AckSlot, SubmitError> {
        self.id.clear();
        write!(self.id, "id-{}", self.submitted).expect("a string takes all");
        let id = MsgId::new(&self.id).expect("an id");
        let subject = Subject::new("ord.new").expect("a subject");
        let message = match large {
            true => Message::new(subject, self.large.clone()),
            false => Message::new(subject, &[b'x'; 128]),
        };
        let slot = self.session.submit_for_ack(self.publisher, None, &message.id(id), self.now)?;
        self.submitted += 1;
        Ok(slot)
    }

    /// The peer's socket takes all there is.
    fn carry_off(&mut self) {
        while self.session.poll_transmit(self.epoch, &mut self.transmit, self.now) {
            while !self.transmit.is_empty() {
                let mut slices = [&[][..]; 8];
                let filled = self.transmit.slices(&mut slices);
                let mut len = 0;
                for slice in &slices[..filled] {
                    self.wire.extend_from_slice(slice);
                    len += slice.len();
                }
                self.transmit.advance(len);
                self.session.handle_transmitted(self.epoch, len, self.now);
            }
        }
    }

    /// The peer acknowledges all it has received.
    fn acknowledge(&mut self) {
        self.carry_off();
        let mut read = 0;
        while let Some(frame) = self.parser.frame(&self.wire[read..]).expect("only ops") {
            if let Op::HPub { reply: Some(reply), .. } = frame.op(&self.wire[read..read + frame.len]) {
                self.seq += 1;
                self.ack.clear();
                write!(self.ack, r#"{{"stream":"{}","seq":{}}}"#, scenes::STREAM, self.seq)
                    .expect("a buffer takes all");
                self.acks.extend_from_slice(b"MSG ");
                self.acks.extend_from_slice(reply);
                write!(self.acks, " 1 {}\r\n", self.ack.len()).expect("a buffer takes all");
                self.acks.extend_from_slice(&self.ack);
                self.acks.extend_from_slice(b"\r\n");
            }
            read += frame.len;
        }
        assert_eq!(read, self.wire.len(), "the peer was sent whole ops");
        self.wire.clear();
        self.now = self.now + Duration::from_millis(1);
        self.session.handle_input(self.epoch, &self.acks, self.now);
        self.acks.clear();
        while self.session.pop_woken().is_some() {}
    }

    fn read(&mut self, slot: AckSlot) {
        let outcome = self.session.poll_ack(self.publisher, slot, Waker::noop());
        assert!(matches!(outcome, Some(Outcome::Stored { .. })), "{outcome:?}");
    }

    /// Fills the window, acknowledges it, reads every ack.
    fn round(&mut self, slots: &mut Vec<AckSlot>, messages: usize, large: bool) {
        for number in 0..messages {
            let slot = self.submit(large && number == messages / 2).expect("the window has room");
            assert_eq!(self.session.poll_ack(self.publisher, slot, Waker::noop()), None, "it is awaited");
            slots.push(slot);
        }
        self.acknowledge();
        while self.session.publisher(self.publisher).is_some_and(|publisher| publisher.in_flight() > 0) {
            self.acknowledge();
        }
        for slot in slots.drain(..) {
            self.read(slot);
        }
    }
}

/// One test, since the counts are those of the whole process.
#[test]
fn nothing_is_allocated_per_message_and_unread_acks_are_bounded() {
    let mut bench = Bench::new();
    let mut slots = Vec::with_capacity(IN_FLIGHT_MAX);
    for (messages, large) in [(IN_FLIGHT_MAX, false), (1, false), (IN_FLIGHT_MAX, true), (1, true)] {
        // Buffers grow to what this kind of round needs, each of the outbox's two in its turn.
        for _ in 0..4 {
            bench.round(&mut slots, messages, large);
        }
        let region = Region::new(ALLOCATOR);
        for _ in 0..50 {
            bench.round(&mut slots, messages, large);
        }
        let change = region.change();
        assert_eq!((change.allocations, change.reallocations), (0, 0), "{messages} at once, large: {large}");
    }

    let region = Region::new(ALLOCATOR);
    let mut unread = Vec::with_capacity(20_000);
    for number in 0..20_000 {
        let slot = match bench.submit(number % 1000 == 0) {
            Err(SubmitError::Full) => {
                bench.acknowledge();
                bench.submit(false).expect("the window has moved on")
            }
            slot => slot.expect("the window has room"),
        };
        match number % 3 {
            0 => bench.session.give_up_ack(bench.publisher, slot),
            _ => unread.push(slot),
        }
    }
    bench.acknowledge();
    let change = region.change();
    let held = change.bytes_allocated as i64 - change.bytes_deallocated as i64 + change.bytes_reallocated as i64;
    let own = (20_000 * size_of::<AckSlot>()) as i64;
    // Thirteen thousand slots of some 64 bytes, in vectors that double.
    assert!(held - own < 3 << 20, "{held} bytes for the unread acks, {own} of them the test's own");
    for slot in unread {
        bench.read(slot);
    }
    assert_eq!(bench.session.publisher(bench.publisher).map(|publisher| publisher.in_flight()), Some(0));
}
