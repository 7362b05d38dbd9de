//! One connection, several users: two publishers and a subscription, on virtual time and over a socket that blocks.
#![cfg(feature = "sim")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant as StdInstant};

use natsink::connection::{Action, Epoch, LinkError, ServerAddr, Sid, Transmit};
use natsink::jetstream::{AckSlot, Message, Outcome, PublisherOptions, SubmitError};
use natsink::proto::{MsgId, Pattern, Subject};
use natsink::rng::Entropy;
use natsink::session::{PublisherId, Session, SessionError, SubscriptionLimits};
use natsink::sim::{Cut, Direction, Draft, Fault, Pace, Server, Stream, World, checks, scenes};
use natsink::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
/// Every tenth message is so large; the others are of 128 bytes.
const LARGE: usize = 1 << 20;

fn two_streams() -> Server {
    let mut server = Server::new(Stream::new("ORD", "ord.>"));
    server.streams.push(Stream::new("PAY", "pay.>"));
    server.max_payload = 2 << 20;
    server
}

fn draft(root: &str, number: usize) -> Draft {
    let draft = Draft::numbered(number, if number % 10 == 7 { LARGE } else { 128 });
    Draft { subject: format!("{root}.{}", number % 4), id: format!("{root}-{number}"), ..draft }
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a pattern")
}

/// What a subscription has received, as text.
fn received(session: &mut Session, sid: Sid) -> Vec<String> {
    std::iter::from_fn(|| session.next_received(sid, Waker::noop()))
        .map(|received| String::from_utf8_lossy(&received.payload).into_owned())
        .collect()
}

#[test]
fn two_publishers_and_a_subscription_share_a_link_that_breaks() {
    let mut world = World::new(two_streams(), World::connection_options(), 3);
    let pace = Pace { chunk: 20_000, ragged: true, latency: Duration::from_millis(2), ..Pace::default() };
    (world.up, world.down) = (pace, pace);
    let orders = world.add_publisher(PublisherOptions::stream("ORD"));
    let payments = world.add_publisher(PublisherOptions::stream("PAY"));
    let news =
        world.session.subscribe(pattern("news.*"), None, SubscriptionLimits::messages(1000)).expect("an open session");
    for number in 0..60 {
        world.enqueue(orders, draft("ord", number));
        world.enqueue(payments, draft("pay", number));
    }
    world.fault(Duration::from_millis(40), Fault::Cut);
    let mut heard = Vec::new();
    for number in 0..200 {
        world.server.publish("news.today", format!("n{number}").as_bytes());
        world.server.publish("gossip.today", b"nobody asked");
        world.run(Duration::from_millis(1));
        heard.extend(received(&mut world.session, news));
    }
    assert!(world.settle(10 * SECOND));
    assert_eq!(world.dials(), 2);
    checks::at_the_end(&world);
    for publisher in [orders, payments] {
        checks::stored_in_order(&world, publisher);
    }
    // At most once: some are missed around the break, none comes twice or late.
    let numbers: Vec<u32> = heard.iter().map(|text| text[1..].parse().expect("only news")).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.len() > 150 && numbers.last() > Some(&190), "{numbers:?}");
    let limits = World::connection_options().limits;
    checks::memory_bounded(&world, &PublisherOptions::default(), &limits, LARGE);
}

#[test]
fn another_link_may_be_asked_for_at_any_moment() {
    for seed in 0..60 {
        let mut world = World::new(two_streams(), World::connection_options(), seed);
        let pace =
            Pace { chunk: 20_000, ragged: true, latency: Duration::from_millis(1 + seed % 4), ..Pace::default() };
        (world.up, world.down) = (pace, pace);
        let orders = world.add_publisher(PublisherOptions::stream("ORD"));
        let payments = world.add_publisher(PublisherOptions::stream("PAY"));
        for number in 0..30 {
            world.enqueue(orders, draft("ord", number));
            world.enqueue(payments, draft("pay", number));
        }
        if seed % 3 == 0 {
            world.fault(Duration::from_millis(15 + seed), Fault::Cut);
        }
        // In dials, greetings, looks at the stream and passes.
        for asked in 0..20 {
            world.run(Duration::from_micros(700 * (1 + (seed * 7 + asked * asked) % 11)));
            let now = world.now();
            world.session.reconnect(now);
        }
        assert!(world.settle(20 * SECOND), "with seed {seed}");
        checks::at_the_end(&world);
        for publisher in [orders, payments] {
            checks::stored_in_order(&world, publisher);
        }
    }
}

#[test]
fn a_subscription_that_ends_is_not_made_again_on_the_next_link() {
    let (mut world, _) = scenes::plain(1);
    let kept =
        world.session.subscribe(pattern("news.*"), None, SubscriptionLimits::messages(10)).expect("an open session");
    let ended =
        world.session.subscribe(pattern("gossip.*"), None, SubscriptionLimits::messages(10)).expect("an open session");
    world.run(SECOND);
    world.session.unsubscribe(ended);
    world.run(SECOND);
    for _ in 0..2 {
        world.server.publish("news.1", b"news");
        world.server.publish("gossip.1", b"gossip");
        world.run(SECOND);
        assert_eq!(
            (received(&mut world.session, kept), received(&mut world.session, ended)),
            (vec!["news".into()], vec![])
        );
        assert_eq!(world.session.statistics().strays, 0);
        world.fault(Duration::ZERO, Fault::Cut);
        world.run(SECOND);
    }
}

#[test]
fn a_slow_reader_of_a_subscription_costs_no_more_than_its_limit() {
    let (mut world, publisher) = scenes::plain(1);
    let news =
        world.session.subscribe(pattern("news.*"), None, SubscriptionLimits::messages(10)).expect("an open session");
    world.run(SECOND);
    for number in 0..100 {
        world.server.publish("news.1", format!("{number}").as_bytes());
    }
    world.enqueue_numbered(publisher, 10);
    assert!(world.settle(SECOND));
    assert_eq!(received(&mut world.session, news).len(), 10);
    assert_eq!(world.session.dropped(news), 90);
}

#[test]
fn a_publisher_that_is_closed_leaves_the_other_alone() {
    let mut world = World::new(two_streams(), World::connection_options(), 3);
    world.down.latency = Duration::from_millis(50);
    let orders = world.add_publisher(PublisherOptions::stream("ORD"));
    let payments = world.add_publisher(PublisherOptions::stream("PAY"));
    for number in 0..20 {
        world.enqueue(orders, draft("ord", number));
        world.enqueue(payments, draft("pay", number));
    }
    world.run_until(10 * SECOND, |world| world.server.arrivals() > 10);
    world.session.close_publisher(orders);
    assert!(world.settle(10 * SECOND));
    checks::always(&world);
    checks::stored_in_order(&world, payments);
    let unknown = |sent: &natsink::sim::Sent| sent.outcomes == [Outcome::Unknown];
    assert!(
        world.sent.iter().any(unknown)
            && world.sent.iter().filter(|sent| unknown(sent)).all(|sent| sent.publisher == orders)
    );
}

#[test]
fn a_stream_name_that_would_be_more_than_a_name_is_refused() {
    let (mut world, _) = scenes::plain(1);
    for name in ["", "a b", "a.b", "*", "A\r\nNats-Rollup: all", "A\0"] {
        let refused = world.session.add_publisher(PublisherOptions::stream(name), world.now());
        assert_eq!(refused, Err(SessionError::StreamName), "{name:?}");
    }
    let options = PublisherOptions { api_prefix: "$JS..API".into(), ..PublisherOptions::stream("A") };
    assert!(matches!(world.session.add_publisher(options, world.now()), Err(SessionError::ApiPrefix(_))));
}

/// Twenty thousand acks that nobody reads, every third of them given up, and large messages among small ones.
#[test]
fn unread_acks_do_not_hold_the_window() {
    const MESSAGES: usize = 20_000;
    let options = PublisherOptions { in_flight_max: 500, ..PublisherOptions::stream(scenes::STREAM) };
    let (mut world, publisher) = scenes::with_options(options.clone(), 1);
    world.server.max_payload = 2 << 20;
    let mut unread: Vec<(usize, AckSlot)> = Vec::new();
    for number in 0..MESSAGES {
        let draft = Draft::numbered(number, if number % 1000 == 7 { LARGE } else { 128 });
        let slot = loop {
            match submit_for_ack(&mut world, publisher, &draft) {
                Ok(slot) => break slot,
                Err(SubmitError::Full) => {
                    let fits = draft.payload.len();
                    assert!(world.run_until(SECOND, |world| world.session.publisher(publisher).is_some_and(
                        |publisher| { publisher.in_flight() == 0 || (publisher.has_room() && fits < LARGE) }
                    )));
                }
                Err(error) => panic!("{error}"),
            }
        };
        match number % 3 {
            0 => world.session.give_up_ack(publisher, slot),
            _ => unread.push((number, slot)),
        }
    }
    world.run(SECOND);
    let held = world.session.publisher(publisher).expect("it was not removed");
    assert_eq!((held.in_flight(), held.statistics().stored), (0, MESSAGES as u64));
    checks::always(&world);
    checks::memory_bounded(&world, &options, &World::connection_options().limits, LARGE);
    for (number, slot) in unread {
        let outcome = world.session.poll_ack(publisher, slot, Waker::noop());
        assert_eq!(outcome, Some(Outcome::Stored { seq: number as u64 + 1 }));
    }
}

fn submit_for_ack(world: &mut World, publisher: PublisherId, draft: &Draft) -> Result<AckSlot, SubmitError> {
    let now = world.now();
    world.session.submit_for_ack(publisher, None, &message(draft), now)
}

fn message(draft: &Draft) -> Message<'_> {
    let message = match draft.shared {
        true => Message::new(Subject::new(&draft.subject).expect("a subject"), draft.payload.clone()),
        false => Message::new(Subject::new(&draft.subject).expect("a subject"), &draft.payload[..]),
    };
    message.id(MsgId::new(&draft.id).expect("an id"))
}

/// The model server behind a real socket. The first connection ends after so many bytes.
fn serve(listener: TcpListener, server: Arc<Mutex<Server>>, first_ends_after: usize) {
    let mut ends_after = first_ends_after;
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let connection = server.lock().expect("no panic").accept();
        let (mut input, mut output) = (vec![0; 64 << 10], Vec::new());
        loop {
            let open = server.lock().expect("no panic").take_output(connection, &mut output);
            if stream.write_all(&output).is_err() || !open {
                break;
            }
            output.clear();
            let most = input.len().min(ends_after);
            let Ok(len) = stream.read(&mut input[..most]) else { break };
            if len == 0 {
                break;
            }
            ends_after -= len;
            server.lock().expect("no panic").handle_input(connection, &input[..len], Instant::ZERO);
        }
        server.lock().expect("no panic").handle_closed(connection);
        ends_after = usize::MAX;
    }
}

/// A driver that blocks, in one loop: what a thread without a runtime would do.
struct Blocking {
    session: Session,
    peer: SocketAddr,
    link: Option<(Epoch, TcpStream)>,
    transmit: Transmit,
    started: StdInstant,
    longest_call: Duration,
}

impl Blocking {
    fn now(&self) -> Instant {
        Instant::from_micros(self.started.elapsed().as_micros() as u64)
    }

    /// A call of the session, as others would have to wait for it behind a lock.
    fn call<R>(&mut self, call: impl FnOnce(&mut Session, &mut Transmit, Instant) -> R) -> R {
        let (now, before) = (self.now(), StdInstant::now());
        let result = call(&mut self.session, &mut self.transmit, now);
        self.longest_call = self.longest_call.max(before.elapsed());
        result
    }

    fn turn(&mut self) {
        while let Some(action) = self.call(|session, _, _| session.poll_action()) {
            self.link = None;
            self.transmit.clear();
            let Action::Dial { epoch, .. } = action else { continue };
            match TcpStream::connect(self.peer) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
                    self.link = Some((epoch, stream));
                    self.call(|session, _, now| session.handle_connected(epoch, now));
                }
                Err(error) => self.lost(epoch, &error),
            }
        }
        if self.session.poll_timeout().is_some_and(|at| at <= self.now()) {
            self.call(|session, _, now| session.handle_timeout(now));
        }
        self.write();
        self.read();
    }

    fn write(&mut self) {
        let Some((epoch, mut stream)) = self.link.as_ref().map(|(epoch, stream)| (*epoch, stream)) else { return };
        if !self.transmit.is_empty() || self.session.poll_transmit(epoch, &mut self.transmit, Instant::ZERO) {
            let mut slices = [&[][..]; 1];
            self.transmit.slices(&mut slices);
            match stream.write(slices[0]) {
                Ok(len) => {
                    self.transmit.advance(len);
                    self.call(|session, _, now| session.handle_transmitted(epoch, len, now));
                }
                Err(error) => self.lost(epoch, &error),
            }
        }
    }

    fn read(&mut self) {
        let Some((epoch, mut stream)) = self.link.as_ref().map(|(epoch, stream)| (*epoch, stream)) else { return };
        let mut input = [0; 16 << 10];
        match stream.read(&mut input) {
            Ok(0) => self.lost(epoch, &ErrorKind::UnexpectedEof.into()),
            Ok(len) => self.call(|session, _, now| session.handle_input(epoch, &input[..len], now)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => self.lost(epoch, &error),
        }
    }

    fn lost(&mut self, epoch: Epoch, error: &std::io::Error) {
        self.link = None;
        self.transmit.clear();
        let cause = LinkError::Transport(error.to_string());
        self.call(|session, _, now| session.handle_disconnected(epoch, cause, now));
    }
}

#[test]
fn the_same_machines_run_under_a_loop_that_blocks() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let peer = listener.local_addr().expect("an address");
    let server = Arc::new(Mutex::new(two_streams()));
    let served = Arc::clone(&server);
    thread::spawn(move || serve(listener, served, 1_500_000));

    let addr = ServerAddr { host: peer.ip().to_string(), port: peer.port(), tls: false };
    let options = natsink::connection::ConnectionOptions::new(vec![addr]);
    let mut driver = Blocking {
        session: Session::new(options, &Entropy::new([9; 32])),
        peer,
        link: None,
        transmit: Transmit::new(),
        started: StdInstant::now(),
        longest_call: Duration::ZERO,
    };
    let publishers = [("ord", "ORD"), ("pay", "PAY")].map(|(root, stream)| {
        let options = PublisherOptions::stream(stream);
        (root, driver.session.add_publisher(options, Instant::ZERO).expect("an open session"))
    });
    let news =
        driver.session.subscribe(pattern("news.*"), None, SubscriptionLimits::messages(10)).expect("an open session");
    let (mut numbers, mut outcomes) = ([0; 2], Vec::new());
    while outcomes.len() < 120 {
        assert!(driver.started.elapsed() < 30 * SECOND, "{} outcomes", outcomes.len());
        for (number, (root, publisher)) in numbers.iter_mut().zip(publishers) {
            while *number < 60 {
                let draft = draft(root, *number);
                match driver.call(|session, _, now| session.submit(publisher, None, 0, &message(&draft), now)) {
                    Ok(()) => *number += 1,
                    Err(SubmitError::Full) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            driver.session.take_outcomes(publisher, &mut outcomes, None);
        }
        driver.turn();
    }
    assert!(outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Stored { .. } | Outcome::Duplicate { .. })));
    assert_eq!(driver.session.statistics().connects, 2, "the first link broke");
    server.lock().expect("no panic").publish("news.1", b"news");
    while received(&mut driver.session, news).is_empty() {
        assert!(
            driver
                .session
                .publish(None, Subject::new("any.body").expect("a subject"), None, None, b"out there")
                .is_ok()
        );
        driver.turn();
        assert!(driver.started.elapsed() < 30 * SECOND, "no news");
    }
    let server = server.lock().expect("no panic");
    for (stream, root) in server.streams.iter().zip(["ord", "pay"]) {
        let expected: Vec<String> = (0..60).map(|number| format!("{root}-{number}")).collect();
        assert_eq!(checks::ids(stream.stored()), expected);
    }
    assert_eq!(server.violations(), []);
    println!("the longest call of the session took {:?}", driver.longest_call);
    assert!(driver.longest_call < Duration::from_millis(100), "{:?}", driver.longest_call);
}

#[test]
fn a_cut_inside_a_large_payload_leaves_nothing_of_it_behind() {
    for after in [500, 100_000, LARGE as u64, LARGE as u64 + 600] {
        let mut world = World::new(two_streams(), World::connection_options(), 3);
        let publisher = world.add_publisher(PublisherOptions::stream("ORD"));
        world.cuts.push_back(Some(Cut { direction: Direction::Up, after }));
        for number in 7..10 {
            world.enqueue(publisher, draft("ord", number));
        }
        assert!(world.settle(SECOND));
        checks::at_the_end(&world);
        checks::stored_in_order(&world, publisher);
        assert_eq!((world.dials(), world.server.counts().partial), (2, 1));
    }
}
