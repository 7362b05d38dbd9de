//! Core NATS over a connection that is cut after every byte: no flush, bound or drain says what is not so.
#![cfg(feature = "sim")]

use std::task::{Poll, Waker};
use std::time::Duration;

use natsink::connection::Sid;
use natsink::proto::{Pattern, Subject};
use natsink::session::{DrainError, FlushId, SubscriptionEnd, SubscriptionLimits};
use natsink::sim::{Cut, Direction, Pace, Server, Stream, World};

const STEP: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Messages that the bounded subscription wants.
const WANTED: u64 = 6;
/// Messages published and flushed, each way.
const STEPS: u64 = 12;
/// When the other subscription is drained.
const DRAINED_AT: u64 = 5;

struct Scene {
    world: World,
    /// Each flush with the message that was published before it.
    flushes: Vec<(FlushId, String)>,
    /// Messages that a flush has shown to be read.
    proven: Vec<String>,
}

/// What came of a scene.
struct Told {
    bounded: Vec<u64>,
    drained: Vec<u64>,
    drained_end: Option<SubscriptionEnd>,
    proven: usize,
    lengths: [u64; 2],
    drain: Result<(), DrainError>,
}

impl Scene {
    fn new(cut: Option<Cut>, chunk: usize) -> Self {
        let server = Server::new(Stream::new("LOG", "log.>"));
        let mut world = World::new(server, World::connection_options(), 1);
        let pace = Pace { chunk, latency: Duration::from_micros(100), ..Pace::default() };
        (world.up, world.down) = (pace, pace);
        world.cuts.push_back(cut);
        Self { world, flushes: vec![], proven: vec![] }
    }

    fn subscribe(&mut self) -> Sid {
        let pattern = Pattern::new("news.*").expect("a pattern");
        self.world.session.subscribe(pattern, None, SubscriptionLimits::default()).expect("an open session")
    }

    fn read(&mut self, sid: Sid, into: &mut Vec<u64>) {
        while let Some(received) = self.world.session.next_received(sid, Waker::noop()) {
            into.push(String::from_utf8_lossy(&received.payload).parse().expect("a number"));
        }
    }

    /// Publishes and asks whether it was read, if there is a link.
    fn publish_and_flush(&mut self, number: u64) {
        let payload = format!("log-{number}");
        let subject = Subject::new("log.1").expect("a subject");
        if self.world.session.publish(None, subject, None, None, payload.as_bytes()).is_ok() {
            let flush = self.world.session.begin_flush(self.world.now()).expect("there is a link");
            self.flushes.push((flush, payload));
        }
    }

    /// No flush may succeed whose message is not there.
    fn judge_flushes(&mut self) {
        let Self { world, flushes, proven } = self;
        flushes.retain(|(flush, payload)| match world.session.poll_flush(*flush, Waker::noop()) {
            Poll::Pending => true,
            Poll::Ready(Err(_)) => false,
            Poll::Ready(Ok(_)) => {
                proven.push(payload.clone());
                false
            }
        });
        let stored = world.server.streams[0].stored();
        for payload in proven {
            assert!(stored.iter().any(|stored| stored.payload == payload.as_bytes()), "{payload} was not read");
        }
    }

    fn play(mut self) -> Told {
        let (bounded, drained) = (self.subscribe(), self.subscribe());
        self.world.session.unsubscribe_after(bounded, WANTED);
        let mut told = [vec![], vec![]];
        self.world.run(STEP);
        for number in 0..STEPS {
            self.world.server.publish("news.1", number.to_string().as_bytes());
            if number == DRAINED_AT {
                self.world.session.drain_subscription(drained, self.world.now());
            }
            self.publish_and_flush(number);
            self.world.run(STEP);
            self.read(bounded, &mut told[0]);
            self.read(drained, &mut told[1]);
            self.judge_flushes();
        }
        // Whatever was missed around the cut: more come until it has what it wants.
        for number in STEPS..STEPS + 2 * WANTED {
            self.world.run(SECOND);
            self.world.server.publish("news.1", number.to_string().as_bytes());
        }
        self.world.run(SECOND);
        self.read(bounded, &mut told[0]);
        self.judge_flushes();
        assert!(self.flushes.is_empty(), "a flush that never ends");
        let end = self.world.session.subscription_end(bounded);
        assert_eq!(end, Some(SubscriptionEnd::Complete));
        let drained_end = self.world.session.subscription_end(drained);
        let drain = self.drain();
        assert_eq!(self.world.server.violations(), []);
        let statistics = self.world.session.statistics();
        assert_eq!(statistics.strays, 0, "the server was told to send no more");
        let [bounded, drained] = told;
        let lengths = [statistics.bytes_out, statistics.bytes_in];
        Told { bounded, drained, drained_end, proven: self.proven.len(), lengths, drain }
    }

    fn drain(&mut self) -> Result<(), DrainError> {
        let subject = Subject::new("log.last").expect("a subject");
        self.world.session.publish(None, subject, None, None, b"last").expect("the cut was long ago");
        self.world.session.begin_drain(self.world.now() + SECOND, self.world.now());
        self.world.run(2 * SECOND);
        let Poll::Ready(drain) = self.world.session.poll_drain(Waker::noop()) else {
            panic!("a drain that never ends")
        };
        let is_stored = self.world.server.streams[0].stored().iter().any(|stored| stored.payload == *b"last");
        assert!(is_stored || drain.is_err(), "{drain:?}");
        drain
    }
}

#[test]
fn what_is_undisturbed_is_complete() {
    let told = Scene::new(None, 64).play();
    assert_eq!(told.bounded, (0..WANTED).collect::<Vec<_>>());
    assert_eq!(told.drained, (0..=DRAINED_AT).collect::<Vec<_>>());
    assert_eq!((told.drained_end, told.drain), (Some(SubscriptionEnd::Drained), Ok(())));
    assert_eq!(told.proven as u64, STEPS);
}

fn every_cut(chunk: usize) {
    let lengths = Scene::new(None, 64).play().lengths;
    let mut ends = [0; 2];
    for (direction, len) in [Direction::Up, Direction::Down].into_iter().zip(lengths) {
        for after in 0..=len {
            let cut = Cut { direction, after };
            let told = Scene::new(Some(cut), chunk).play();
            let is_increasing = |numbers: &[u64]| numbers.is_sorted_by(|a, b| a < b);
            assert_eq!(told.bounded.len() as u64, WANTED, "{cut:?}: {:?}", told.bounded);
            assert!(is_increasing(&told.bounded) && is_increasing(&told.drained), "{cut:?}");
            match told.drained_end {
                Some(SubscriptionEnd::Drained) => ends[0] += 1,
                Some(SubscriptionEnd::LinkLost(_)) => ends[1] += 1,
                other => panic!("{cut:?}: {other:?}"),
            }
            assert!(matches!(told.drain, Ok(()) | Err(DrainError::LinkLost(_))), "{cut:?}: {:?}", told.drain);
        }
    }
    assert!(ends[0] > 100 && ends[1] > 10, "cuts before, within and after the drain: {ends:?}");
}

#[test]
fn every_cut_in_pieces_of_1() {
    every_cut(1);
}

#[test]
fn every_cut_in_pieces_of_64() {
    every_cut(64);
}
