//! Beyond the duplicate window: what resumes by reading back stores nothing twice, whatever happens meanwhile.
#![cfg(feature = "sim")]

use std::time::Duration;

use natsink::jetstream::{Anomaly, Notice, Outcome, PublisherError, PublisherOptions, Rejection};
use natsink::proto::Pattern;
use natsink::session::PublisherId;
use natsink::sim::{Cut, Direction, Draft, Fault, Late, Pace, Script, Verdict, World, checks, scenes, swarm};

const SECOND: Duration = Duration::from_secs(1);

/// A world whose stream forgets ids after a second and holds messages 0 to `stored` of an earlier run, forgotten by now.
fn resumed(stored: usize, options: PublisherOptions) -> (World, PublisherId) {
    let (mut world, publisher) = scenes::with_options(options, 1);
    remember(&mut world, stored);
    (world, publisher)
}

fn remember(world: &mut World, stored: usize) {
    world.stream().duplicate_window = SECOND;
    let now = world.now();
    for number in 0..stored {
        let draft = Draft::numbered(number, 8);
        world.stream().store(&draft.subject, &draft.id, &draft.payload, now);
    }
}

fn recalling(after: u64) -> PublisherOptions {
    PublisherOptions { recall_after: Some(after), acked_seq: after, ..PublisherOptions::stream(scenes::STREAM) }
}

/// The world of a client that begins ten seconds after another has stored `stored` messages.
fn late(stored: usize, options: PublisherOptions) -> (World, PublisherId) {
    let (mut world, _) = resumed(stored, PublisherOptions::stream(scenes::STREAM));
    world.restart_client(World::connection_options(), 2);
    world.run(10 * SECOND);
    let publisher = world.add_publisher(options);
    (world, publisher)
}

fn duplicates(world: &World) -> usize {
    let is_duplicate = |outcomes: &[Outcome]| matches!(outcomes, [Outcome::Duplicate { verified: true, .. }]);
    world.sent.iter().filter(|sent| is_duplicate(&sent.outcomes)).count()
}

fn failure(world: &World, publisher: PublisherId) -> Option<PublisherError> {
    world.session.publisher(publisher).and_then(|publisher| publisher.failure().cloned())
}

#[test]
fn a_run_that_begins_after_the_window_sends_nothing_that_is_there() {
    for (stored, messages, window) in [(50, 80, 4096), (50, 80, 7), (1, 1, 1), (3000, 3010, 4096), (1000, 10, 4096)] {
        let options = PublisherOptions { in_flight_max: window, ..recalling(0) };
        let (mut world, publisher) = late(stored, options);
        world.enqueue_numbered(publisher, messages);
        assert!(world.settle(20 * SECOND), "{world:?}");
        checks::at_the_end(&world);
        checks::all_stored(&world, stored.max(messages));
        checks::stored_in_order(&world, publisher);
        assert_eq!(duplicates(&world), stored.min(messages));
        assert_eq!(world.server.arrivals(), messages.saturating_sub(stored) as u64, "sent although it was there");
        assert_eq!(world.server.consumers(), 0, "a consumer was left behind");
    }
}

#[test]
fn a_clean_resume_makes_no_consumer() {
    let (mut world, publisher) = late(50, recalling(50));
    (50..60).for_each(|number| world.enqueue(publisher, Draft::numbered(number, 8)));
    assert!(world.settle(SECOND));
    checks::all_stored(&world, 60);
    assert_eq!((world.server.counts().consumers_made, world.server.counts().info_questions), (0, 1));
}

#[test]
fn what_other_writers_store_is_passed_over() {
    let options = PublisherOptions { recall_prefix: "id-".into(), ..recalling(0) };
    let (mut world, _) = resumed(0, PublisherOptions::stream(scenes::STREAM));
    for number in 0..300 {
        let now = world.now();
        let draft = Draft::numbered(number, 8);
        world.stream().store("ord.7", &format!("other|{number}"), b"x", now);
        world.stream().store(&draft.subject, &draft.id, &draft.payload, now);
    }
    world.restart_client(World::connection_options(), 2);
    world.run(5 * SECOND);
    let publisher = world.add_publisher(options);
    world.enqueue_numbered(publisher, 310);
    assert!(world.settle(5 * SECOND));
    checks::at_the_end(&world);
    checks::all_stored(&world, 310);
}

#[test]
fn another_message_under_the_same_id_is_a_collision() {
    let (mut world, publisher) = late(3, recalling(0));
    world.enqueue(publisher, Draft { payload: b"another".as_slice().into(), ..Draft::numbered(1, 8) });
    world.enqueue(publisher, Draft::numbered(2, 8));
    assert!(world.settle(5 * SECOND));
    assert_eq!(world.sent[0].outcomes, [Outcome::Rejected(Rejection::IdCollision { seq: 2 })]);
    assert_eq!(world.sent[1].outcomes, [Outcome::Duplicate { seq: 3, verified: true }]);
}

#[test]
fn deleted_and_purged_messages_do_not_hold_anybody_up() {
    for deleted in [&[10][..], &[1], &[4, 5, 6], &[8, 9, 10], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]] {
        let (mut world, publisher) = late(10, recalling(0));
        deleted.iter().for_each(|seq| world.stream().delete(*seq));
        world.enqueue_numbered(publisher, 12);
        assert!(world.settle(3 * SECOND), "{deleted:?}");
        checks::always(&world);
        assert_eq!(duplicates(&world), 10 - deleted.len());
    }
    let (mut world, publisher) = late(10, recalling(4));
    world.stream().purge();
    world.enqueue_numbered(publisher, 12);
    assert!(world.settle(3 * SECOND));
    checks::all_stored(&world, 12);
}

#[test]
fn what_is_deleted_while_it_is_compared_holds_nobody_up() {
    for deleted in 1..=10 {
        let (mut world, publisher) = late(10, recalling(0));
        let pace = Pace { latency: Duration::from_millis(20), ..Pace::default() };
        (world.up, world.down) = (pace, pace);
        world.session.reconnect(world.now());
        // The ids are read before there is anything to compare.
        world.run(SECOND);
        assert_eq!(world.server.counts().recalled, 10);
        world.stream().delete(deleted);
        world.enqueue_numbered(publisher, 10);
        assert!(world.settle(SECOND), "without sequence {deleted}: {world:?}");
        checks::always(&world);
        assert_eq!((duplicates(&world), world.server.arrivals()), (9, 0));
        let missing = &world.sent[deleted as usize - 1].outcomes;
        assert_eq!(missing[..], [Outcome::Duplicate { seq: deleted, verified: false }]);
    }
}

#[test]
fn a_consumer_of_its_own_that_lives_on_is_waited_for_where_there_may_be_one_only() {
    let (mut world, publisher) = late(900, recalling(0));
    let pace = Pace { latency: Duration::from_millis(20), ..Pace::default() };
    (world.up, world.down) = (pace, pace);
    world.server.consumers_max = 1;
    world.session.reconnect(world.now());
    world.enqueue_numbered(publisher, 905);
    while world.server.consumers() == 0 {
        world.run(Duration::from_millis(1));
    }
    world.fault(Duration::ZERO, Fault::Cut);
    assert!(world.settle(30 * SECOND), "{world:?}");
    checks::at_the_end(&world);
    checks::all_stored(&world, 905);
}

#[test]
fn a_long_reading_back_does_not_use_up_the_budget() {
    let options = PublisherOptions { max_elapsed: Some(2 * SECOND), ..recalling(0) };
    let (mut world, publisher) = late(900, options);
    world.down = Pace { bytes_per_sec: Some(20_000), ..Pace::default() };
    world.session.reconnect(world.now());
    world.enqueue_numbered(publisher, 905);
    world.run(4 * SECOND);
    assert_eq!((failure(&world, publisher), world.server.arrivals()), (None, 0), "it reads");
    world.run(60 * SECOND);
    assert_eq!(failure(&world, publisher), None);
    checks::all_stored(&world, 905);
}

#[test]
fn why_nothing_is_read_back_is_told() {
    let (mut world, publisher) = late(10, recalling(0));
    world.server.consumers_max = 0;
    world.enqueue_numbered(publisher, 12);
    assert!(world.settle(60 * SECOND));
    let failure = failure(&world, publisher);
    assert!(matches!(failure, Some(PublisherError::RecallRefused { err_code: 10026, .. })), "{failure:?}");
    let told = world.publisher_notices.iter().filter(|notice| {
        matches!(notice, Notice::RecallPaused { anomaly: Anomaly::Refused { err_code: 10026, .. }, .. })
    });
    assert!(told.count() > 3);
}

#[test]
fn a_server_that_gives_small_batches_is_asked_for_no_larger_ones() {
    for batch_max in [1, 2, 3, 100, 399] {
        let (mut world, publisher) = late(900, recalling(0));
        world.server.batch_max = batch_max;
        world.enqueue_numbered(publisher, 905);
        assert!(world.settle(5 * SECOND), "{batch_max}: {world:?}");
        checks::at_the_end(&world);
        checks::all_stored(&world, 905);
        assert_eq!(world.server.counts().consumers_made, 1);
    }
}

#[test]
fn a_replica_that_is_behind_is_waited_for() {
    let (mut world, _) = resumed(600, PublisherOptions::stream(scenes::STREAM));
    world.stream().replicas = 3;
    world.server.consumer_lag = 8 * SECOND;
    world.restart_client(World::connection_options(), 2);
    world.run(3 * SECOND);
    let publisher = world.add_publisher(recalling(0));
    world.enqueue_numbered(publisher, 610);
    assert!(world.settle(30 * SECOND), "{world:?}");
    checks::at_the_end(&world);
    checks::all_stored(&world, 610);
    assert!(world.server.counts().consumers_made <= 4, "{:?}", world.server.counts());
}

#[test]
fn an_outage_longer_than_half_the_window_is_read_back_and_a_short_one_is_not() {
    for (outage, is_read_back) in [(5000, true), (700, true), (100, false)] {
        let (mut world, publisher) = resumed(0, PublisherOptions::stream(scenes::STREAM));
        world.down.latency = Duration::from_millis(40);
        world.enqueue_numbered(publisher, 20);
        assert!(world.settle(SECOND));
        // A window full of messages is stored, and the server dies before its answers arrive.
        world.enqueue_numbered(publisher, 30);
        world.fault(Duration::from_millis(20), Fault::Restart(Duration::from_millis(outage)));
        assert!(world.settle(60 * SECOND));
        checks::at_the_end(&world);
        checks::all_stored(&world, 50);
        checks::stored_in_order(&world, publisher);
        assert_eq!(world.server.counts().consumers_made, u64::from(is_read_back), "{outage} ms");
        assert_eq!(world.server.counts().recalled, if is_read_back { 30 } else { 0 });
        assert_eq!(world.server.consumers(), 0);
    }
}

#[test]
fn a_message_that_nobody_answered_is_read_back_on_the_same_link() {
    let (mut world, publisher) = resumed(0, PublisherOptions::stream(scenes::STREAM));
    world.server.script(Script::new(|arrival| match arrival.number {
        3..9 => Verdict::StoreButLoseAck,
        9..12 => Verdict::Drop,
        _ => Verdict::Store,
    }));
    world.enqueue_numbered(publisher, 12);
    assert!(world.settle(60 * SECOND));
    checks::always(&world);
    checks::all_stored(&world, 12);
    assert_eq!((world.dials(), world.server.counts().consumers_made), (1, 1));
}

#[test]
fn a_late_refusal_of_what_is_stored_by_then_stores_nothing_twice() {
    let (mut world, publisher) = resumed(0, PublisherOptions::stream(scenes::STREAM));
    world.server.decide_next(Verdict::StoreLateAck(Late::after(9 * SECOND)));
    world.server.decide_next(Verdict::Late503(Late::after(3 * SECOND)));
    world.enqueue_numbered(publisher, 5);
    assert!(world.settle(60 * SECOND));
    checks::always(&world);
    checks::all_stored(&world, 5);
}

/// A client that begins late, and whose first link is cut as said.
fn cut_while_reading(cut: Option<Cut>) -> World {
    let (mut world, publisher) = late(12, recalling(2));
    world.restart_client(World::connection_options(), 3);
    world.cuts = [cut].into();
    let options = recalling(2);
    let before = world.dials();
    assert_eq!(world.session.publisher(publisher).map(|_| ()), None);
    let publisher = world.add_publisher(options);
    (2..16).for_each(|number| world.enqueue(publisher, Draft::numbered(number, 8)));
    assert!(world.settle(60 * SECOND), "{cut:?}: {world:?}");
    checks::at_the_end(&world);
    checks::all_stored(&world, 16);
    checks::stored_in_order(&world, publisher);
    assert!(world.dials() <= before + 2);
    world
}

#[test]
fn every_cut_while_reading_back() {
    let statistics = cut_while_reading(None).session.statistics();
    for (direction, len) in [(Direction::Up, statistics.bytes_out), (Direction::Down, statistics.bytes_in)] {
        assert!(len > 2000, "{len} bytes");
        (0..=len).for_each(|after| drop(cut_while_reading(Some(Cut { direction, after }))));
    }
}

#[test]
fn a_consumer_that_is_lost_is_made_anew() {
    for millis in (0..400).step_by(11) {
        let (mut world, publisher) = late(900, recalling(0));
        let pace = Pace { latency: Duration::from_millis(20), ..Pace::default() };
        (world.up, world.down) = (pace, pace);
        world.session.reconnect(world.now());
        world.enqueue_numbered(publisher, 905);
        world.run(Duration::from_millis(millis));
        world.server.lose_consumers();
        assert!(world.settle(20 * SECOND), "lost after {millis} ms: {world:?}");
        checks::at_the_end(&world);
        checks::all_stored(&world, 905);
    }
}

#[test]
fn whoever_may_not_read_back_sends_nothing() {
    for (denied, needed) in [
        ("$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.CREATE.ORD.*"),
        ("$JS.API.CONSUMER.MSG.NEXT.>", "$JS.API.CONSUMER.MSG.NEXT.ORD.*"),
    ] {
        let (mut world, publisher) = late(5, recalling(0));
        world.server.denied.push(Pattern::new(denied).expect("a pattern"));
        world.enqueue_numbered(publisher, 8);
        assert!(world.settle(5 * SECOND));
        assert_eq!(world.server.arrivals(), 0, "sent without having read back");
        match failure(&world, publisher) {
            Some(PublisherError::RecallDenied { subject, .. }) => assert_eq!(subject, needed),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn another_stream_and_a_shorter_one_take_nothing_while_reading_back() {
    let known = PublisherOptions { created: Some("before".into()), ..recalling(5) };
    let (mut world, publisher) = late(10, known);
    world.enqueue_numbered(publisher, 8);
    world.settle(5 * SECOND);
    assert!(matches!(failure(&world, publisher), Some(PublisherError::Stream(_))), "{:?}", failure(&world, publisher));
    // Rewound under the eyes of a publisher that has read back.
    let (mut world, publisher) = late(10, recalling(2));
    world.run(SECOND);
    assert_eq!(world.server.counts().recalled, 8);
    world.stream().rewind(5);
    (2..12).for_each(|number| world.enqueue(publisher, Draft::numbered(number, 8)));
    world.settle(30 * SECOND);
    checks::once(&world);
    assert!(matches!(failure(&world, publisher), Some(PublisherError::Stream(_))), "{:?}", failure(&world, publisher));
    let (mut world, publisher) = late(10, recalling(8));
    world.stream().rewind(5);
    world.enqueue_numbered(publisher, 8);
    world.settle(30 * SECOND);
    assert!(matches!(failure(&world, publisher), Some(PublisherError::Stream(_))), "{:?}", failure(&world, publisher));
    assert_eq!(world.server.arrivals(), 0);
}

#[test]
fn many_more_ids_than_are_held_are_read_as_they_are_needed() {
    let stored = (1 << 17) + 3000;
    let (mut world, publisher) = late(stored, recalling(0));
    world.enqueue_numbered(publisher, stored + 5);
    assert!(world.settle(60 * SECOND));
    checks::all_stored(&world, stored + 5);
    assert_eq!((duplicates(&world), world.server.arrivals()), (stored, 5));
}

#[test]
fn a_message_that_many_more_follow_in_the_stream_is_not_sent_in_the_dark() {
    let stored = (1 << 17) + 3000;
    let options = PublisherOptions { in_flight_max: 16, ..recalling(0) };
    let (mut world, publisher) = late(stored, options);
    // The last ones of the stream are its own; what many others are, it may not even guess.
    world.enqueue(publisher, Draft { id: "id-x".into(), ..Draft::numbered(0, 8) });
    (stored - 10..stored + 20).for_each(|number| world.enqueue(publisher, Draft::numbered(number, 8)));
    assert!(world.settle(60 * SECOND), "{:?}", failure(&world, publisher));
    checks::always(&world);
    assert_eq!(world.stream().last_seq(), stored as u64 + 21);
    assert_eq!((duplicates(&world), world.server.arrivals()), (10, 21));
}

#[test]
fn cuts_while_a_window_at_a_time_is_looked_for() {
    for millis in [300, 1100] {
        let stored = (1 << 17) + 300;
        let options = PublisherOptions { in_flight_max: 64, ..recalling(0) };
        let (mut world, publisher) = late(stored, options);
        world.enqueue(publisher, Draft { id: "id-x".into(), ..Draft::numbered(0, 8) });
        (stored - 30..stored + 30).for_each(|number| world.enqueue(publisher, Draft::numbered(number, 8)));
        world.fault(Duration::from_millis(millis), Fault::Restart(Duration::from_millis(1200)));
        assert!(world.settle(60 * SECOND), "{:?}", failure(&world, publisher));
        checks::always(&world);
        assert_eq!(duplicates(&world), 30, "{millis}");
    }
}

#[test]
fn once_nothing_of_an_earlier_run_can_come_nothing_more_is_read_back() {
    let stored = (1 << 17) + 300;
    let (mut world, publisher) = late(stored, recalling(0));
    world.enqueue(publisher, Draft { id: "id-x".into(), ..Draft::numbered(0, 8) });
    assert!(world.settle(60 * SECOND));
    let read = world.server.counts().recalled;
    world.session.publisher_mut(publisher).expect("a publisher").end_resume();
    world.enqueue(publisher, Draft { id: "id-y".into(), ..Draft::numbered(0, 8) });
    assert!(world.settle(SECOND));
    assert_eq!((world.server.counts().recalled, world.server.arrivals()), (read, 2));
}

#[test]
fn worlds_made_at_random_hold_beyond_the_window() {
    let seeds = std::env::var("NATSINK_SEEDS").map_or(150, |text| text.parse().expect("a number"));
    let one = std::env::var("NATSINK_SEED").ok().map(|text| text.parse::<u64>().expect("a number"));
    let (mut made, mut recalled) = (0, 0);
    for seed in one.map_or(0..seeds, |seed| seed..seed + 1) {
        let world = std::panic::catch_unwind(|| swarm::play_beyond_the_window(seed));
        let world = world.unwrap_or_else(|_| panic!("NATSINK_SEED={seed} replays it"));
        made += world.server.counts().consumers_made;
        recalled += world.server.counts().recalled;
    }
    assert!(
        one.is_some() || (made > seeds && recalled > 10 * seeds),
        "{made} consumers, {recalled} ids in {seeds} worlds"
    );
}
