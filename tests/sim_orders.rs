//! Every order of stored, refused, lost and late answers over two passes: one outcome each, bounded resends, honest counts.
#![cfg(feature = "sim")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use natsink::jetstream::{Outcome, PublisherOptions};
use natsink::sim::{Draft, Late, Refusal, Script, Verdict, World, checks, scenes};

const PASSES: usize = 2;

/// One path through a tree whose branches are known only when they are reached. The next path differs as late as it can.
#[derive(Debug, Default)]
struct Path {
    taken: Vec<(usize, usize)>,
    depth: usize,
}

impl Path {
    fn choose(&mut self, options: usize) -> usize {
        if self.depth == self.taken.len() {
            self.taken.push((0, options));
        }
        self.depth += 1;
        self.taken[self.depth - 1].0
    }

    /// Whether there is another path.
    fn next(&mut self) -> bool {
        self.depth = 0;
        while let Some((choice, options)) = self.taken.pop() {
            if choice + 1 < options {
                self.taken.push((choice + 1, options));
                return true;
            }
        }
        false
    }
}

/// Which pass a publish belongs to: a publish that does not come after the last one begins another.
#[derive(Debug, Default)]
struct Passes {
    pass: usize,
    last: Option<usize>,
}

impl Passes {
    fn of(&mut self, number: usize) -> usize {
        if self.last.is_some_and(|last| number <= last) {
            self.pass += 1;
        }
        self.last = Some(number);
        self.pass
    }
}

/// What the worlds of one run have in common.
#[derive(Clone, Copy, Debug)]
struct Scene {
    messages: usize,
    /// Whether another message is stored first, so that these are written one behind the other, without a probe.
    in_full_flight: bool,
    refusal: Refusal,
}

/// The six verdicts. A late answer comes right after the next pass has begun, and before that one's first answer.
fn verdict(choice: usize, number: usize, Scene { messages, refusal, .. }: Scene) -> Verdict {
    let late = Late { arrivals: (messages - number + 1) as u32, after: Duration::from_secs(8) };
    match choice {
        0 => Verdict::Store,
        1 => Verdict::Refuse503,
        2 => Verdict::Drop,
        3 => Verdict::Late503(late),
        4 => Verdict::StoreLateAck(late),
        _ => Verdict::Refuse(refusal),
    }
}

#[derive(Debug, Default, Eq, PartialEq)]
struct Totals {
    worlds: u64,
    inversions: u64,
    rejected: u64,
    arrivals_max: u64,
}

/// Plays every world there is.
fn play(scene: Scene) -> Totals {
    let shared = Arc::new(Mutex::new(Path::default()));
    let path = || shared.lock().expect("one thread");
    let mut totals = Totals::default();
    loop {
        let (mut world, publisher) = scenes::with_options(PublisherOptions::stream(scenes::STREAM), 1);
        if scene.in_full_flight {
            world.enqueue(publisher, Draft::numbered(1000, 8));
            assert!(world.settle(Duration::from_secs(1)));
        }
        let (chooser, mut passes) = (Arc::clone(&shared), Passes::default());
        world.server.script(Script::new(move |arrival| {
            let number = Draft::number(arrival.id).expect("messages are numbered");
            match passes.of(number) {
                pass if pass < PASSES => verdict(chooser.lock().expect("one thread").choose(6), number, scene),
                _ => Verdict::Store,
            }
        }));
        for number in 0..scene.messages {
            world.enqueue(publisher, Draft::numbered(number, 8));
        }
        assert!(world.settle(Duration::from_secs(60)), "{:?}: {world:#?}", path());
        // What is late comes at last, and changes nothing.
        world.run(Duration::from_secs(30));
        judge(&world, scene, &mut totals, &path());
        if !path().next() {
            return totals;
        }
    }
}

fn judge(world: &World, scene: Scene, totals: &mut Totals, path: &Path) {
    let context = Context(format!("{path:?}"));
    checks::at_the_end(world);
    let publisher = world.sent[0].publisher;
    let statistics = world.session.publisher(publisher).expect("it was not removed").statistics();
    let rejected = world.sent.iter().filter(|sent| matches!(sent.outcomes[..], [Outcome::Rejected(_)])).count() as u64;
    assert_eq!(statistics.submitted, statistics.stored + statistics.duplicates + statistics.rejected, "{path:?}");
    assert_eq!(statistics.rejected, rejected);
    assert!(world.server.streams[0].stored().len() as u64 + rejected >= world.sent.len() as u64, "{path:?}");
    // Two passes can go wrong; the third cannot, whatever arrives late.
    assert!(statistics.anomalies <= PASSES as u64, "{path:?}: {statistics:?}");
    assert!(statistics.replayed <= (PASSES * scene.messages) as u64, "{path:?}: {statistics:?}");
    assert_eq!(world.dials(), 1, "{path:?}");
    totals.worlds += 1;
    totals.inversions += statistics.inversions;
    totals.rejected += rejected;
    totals.arrivals_max = totals.arrivals_max.max(world.server.arrivals());
    context.forget();
}

/// Says where a check failed.
struct Context(String);

impl Context {
    fn forget(mut self) {
        self.0.clear();
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            eprintln!("in the world {}", self.0);
        }
    }
}

#[test]
fn every_order_of_four_messages() {
    let totals = play(Scene { messages: 4, in_full_flight: false, refusal: Refusal::FULL });
    assert_eq!(totals, Totals { worlds: 9466, inversions: 4554, rejected: 0, arrivals_max: 9 });
}

#[test]
fn every_order_in_full_flight() {
    // Four messages take minutes where three take seconds.
    let messages = if std::env::var_os("NATSINK_ALL_ORDERS").is_some() { 4 } else { 3 };
    let totals = play(Scene { messages, in_full_flight: true, refusal: Refusal::FULL });
    let (worlds, inversions, arrivals_max) = if messages == 4 { (197_941, 175_264, 12) } else { (7501, 3546, 9) };
    assert_eq!(totals, Totals { worlds, inversions, rejected: 0, arrivals_max });
}

#[test]
fn every_order_where_a_refusal_is_final() {
    let totals = play(Scene { messages: 3, in_full_flight: true, refusal: Refusal::TOO_LARGE });
    assert_eq!(totals, Totals { worlds: 7236, inversions: 2547, rejected: 4758, arrivals_max: 9 });
}

#[test]
fn every_order_where_a_refusal_is_soon_over() {
    let totals = play(Scene { messages: 3, in_full_flight: true, refusal: Refusal::IN_PROCESS });
    assert_eq!(totals, Totals { worlds: 7501, inversions: 3546, rejected: 0, arrivals_max: 9 });
}
