//! What silence, slowness and odd answers lead to, on virtual time: timers never fail a message, and errors have names.
#![cfg(feature = "sim")]

use std::time::Duration;

use natsink::connection::LinkError;
use natsink::jetstream::{
    Anomaly, Notice, Outcome, PublisherError, PublisherOptions, PublisherStatistics, Rejection, StreamProblem,
};
use natsink::proto::Pattern;
use natsink::session::{LinkNotice, PublisherId};
use natsink::sim::{Direction, Draft, Fault, Late, Pace, Refusal, Script, Verdict, World, checks, scenes};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn statistics(world: &World, publisher: PublisherId) -> PublisherStatistics {
    world.session.publisher(publisher).expect("it was not removed").statistics()
}

fn failure(world: &World, publisher: PublisherId) -> Option<PublisherError> {
    world.session.publisher(publisher).expect("it was not removed").failure().cloned()
}

fn outcome(world: &World, number: usize) -> &Outcome {
    match &world.sent[number].outcomes[..] {
        [outcome] => outcome,
        outcomes => panic!("message {number} has {outcomes:?}"),
    }
}

fn anomalies(world: &World) -> Vec<Anomaly> {
    let anomaly = |notice: &Notice| match notice {
        Notice::Paused { anomaly, .. } => Some(anomaly.clone()),
        _ => None,
    };
    world.publisher_notices.iter().filter_map(anomaly).collect()
}

/// A world whose publisher has stored one message, and has the whole window to itself.
fn under_way() -> (World, PublisherId) {
    under_way_with(PublisherOptions::stream(scenes::STREAM))
}

fn under_way_with(options: PublisherOptions) -> (World, PublisherId) {
    let (mut world, publisher) = scenes::with_options(options, 1);
    world.up.latency = Duration::from_millis(1);
    world.down.latency = Duration::from_millis(1);
    world.enqueue_numbered(publisher, 1);
    assert!(world.settle(SECOND));
    (world, publisher)
}

/// Decides on publishes by their numbers.
fn script(decide: impl Fn(usize, u32) -> Verdict + Send + 'static) -> Script {
    Script::new(move |arrival| decide(Draft::number(arrival.id).expect("messages are numbered"), arrival.attempt))
}

fn stored_once_in_order(world: &World, publisher: PublisherId) {
    checks::at_the_end(world);
    checks::stored_in_order(world, publisher);
    assert_eq!(statistics(world, publisher).inversions, 0);
}

#[test]
fn a_link_of_1_kilobyte_a_second_needs_no_resend_and_no_reconnect() {
    let (mut world, publisher) = scenes::plain(1);
    let slow = Pace { bytes_per_sec: Some(1000), latency: Duration::from_millis(20), ..Pace::default() };
    (world.up, world.down) = (slow, slow);
    for number in 0..400 {
        world.enqueue(publisher, Draft::numbered(number, 128));
    }
    assert!(world.settle(10 * MINUTE));
    assert!(world.now().as_micros() > 100_000_000, "the link was slow");
    let statistics = statistics(&world, publisher);
    assert_eq!((statistics.replayed, statistics.anomalies, world.dials()), (0, 0, 1));
    stored_once_in_order(&world, publisher);
}

#[test]
fn on_a_link_that_is_too_slow_for_a_message_within_the_timer_the_messages_still_arrive() {
    let (mut world, publisher) = scenes::plain(1);
    world.up.bytes_per_sec = Some(1000);
    for number in 0..20 {
        world.enqueue(publisher, Draft::numbered(number, 8000));
    }
    assert!(world.settle(20 * MINUTE), "{:?}", statistics(&world, publisher));
    stored_once_in_order(&world, publisher);
    assert_eq!(world.dials(), 1);
}

#[test]
fn a_link_that_is_too_slow_for_one_message_within_any_timer_is_given_more_time() {
    let (mut world, publisher) = scenes::plain(1);
    world.up = Pace { bytes_per_sec: Some(1000), capacity: 1 << 20, ..Pace::default() };
    for number in 0..3 {
        world.enqueue(publisher, Draft::numbered(number, 64 << 10));
    }
    assert!(world.settle(60 * MINUTE), "{:?}", statistics(&world, publisher));
    stored_once_in_order(&world, publisher);
    assert!(world.dials() > 1, "the timers are shorter than a message takes");
    assert!(world.dials() <= 6, "each is given more time: {}", world.dials());
}

#[test]
fn a_server_that_stops_for_3_seconds_is_waited_for() {
    for stop_after in [0, 1, 2, 3, 5, 50] {
        let (mut world, publisher) = under_way();
        world.fault(Duration::from_millis(stop_after), Fault::Stop(3 * SECOND));
        world.enqueue_numbered(publisher, 1000);
        assert!(world.settle(MINUTE));
        let statistics = statistics(&world, publisher);
        assert_eq!((statistics.replayed, statistics.anomalies, world.dials()), (0, 0, 1));
        stored_once_in_order(&world, publisher);
    }
}

#[test]
fn a_server_that_stops_for_longer_than_the_send_timeout_has_not_read_and_gets_nothing_twice() {
    let (mut world, publisher) = under_way();
    world.fault(Duration::ZERO, Fault::Stop(8 * SECOND));
    world.enqueue_numbered(publisher, 1000);
    assert!(world.settle(MINUTE));
    let statistics = statistics(&world, publisher);
    assert_eq!((statistics.replayed, statistics.anomalies, world.dials()), (0, 0, 1));
    stored_once_in_order(&world, publisher);
}

#[test]
fn a_swallowed_publish_is_replayed_once_the_send_timeout_is_over() {
    let (mut world, publisher) = under_way();
    world.server.script(script(|_, attempt| if attempt == 1 { Verdict::Drop } else { Verdict::Store }));
    world.enqueue_numbered(publisher, 100);
    let before = world.now();
    assert!(world.settle(MINUTE));
    let took = world.now().since(before);
    assert!(took >= 5 * SECOND && took < 6 * SECOND, "{took:?}");
    assert_eq!(anomalies(&world), [Anomaly::Silence]);
    stored_once_in_order(&world, publisher);
}

#[test]
fn a_server_that_pongs_and_takes_nothing_is_left_once_the_batch_timeout_is_over() {
    let (mut world, publisher) = under_way();
    world.server.script(script(|_, _| Verdict::Drop));
    world.enqueue_numbered(publisher, 100);
    world.run(35 * SECOND);
    assert!(world.notices.contains(&LinkNotice::Lost(LinkError::NoProgress)), "{:?}", world.notices);
    assert_eq!(world.dials(), 2);
    world.server.script(Script::default());
    assert!(world.settle(MINUTE));
    stored_once_in_order(&world, publisher);
}

#[test]
fn a_server_that_says_nothing_at_all_is_left() {
    for direction in [Direction::Up, Direction::Down] {
        let (mut world, publisher) = under_way();
        world.fault(Duration::ZERO, Fault::Blackhole(direction));
        world.enqueue_numbered(publisher, 100);
        assert!(world.settle(40 * SECOND), "{direction:?}");
        assert!(world.now().as_micros() > 25_000_000, "it was given time");
        stored_once_in_order(&world, publisher);
    }
}

#[test]
fn a_refusing_server_is_no_dead_link() {
    let (mut world, publisher) = under_way();
    world.server.script(script(|_, _| Verdict::Refuse503));
    world.enqueue_numbered(publisher, 100);
    world.run(10 * MINUTE);
    assert_eq!(world.dials(), 1);
    // Pauses double to ten seconds: a question and a probe each.
    assert!(statistics(&world, publisher).anomalies < 80, "{:?}", statistics(&world, publisher));
    world.server.script(Script::default());
    assert!(world.settle(11 * SECOND));
    stored_once_in_order(&world, publisher);
}

#[test]
fn a_message_that_is_in_process_for_a_minute_is_asked_about_ever_more_seldom() {
    let (mut world, publisher) = under_way();
    world.server.script(script(|_, _| Verdict::Refuse(Refusal::IN_PROCESS)));
    world.enqueue_numbered(publisher, 5);
    world.run(MINUTE);
    // After 0.1, 0.2 and 0.4 s, then every 0.8 s.
    let anomalies = statistics(&world, publisher).anomalies;
    assert!((70..=80).contains(&anomalies), "{anomalies} pauses");
    world.server.script(Script::default());
    assert!(world.settle(SECOND));
    stored_once_in_order(&world, publisher);
}

#[test]
fn when_the_budget_is_spent_the_outcome_is_unknown_and_the_publisher_over() {
    let options = PublisherOptions { max_elapsed: Some(20 * SECOND), ..PublisherOptions::stream(scenes::STREAM) };
    let (mut world, publisher) = under_way_with(options);
    world.server.script(script(|number, _| if number < 3 { Verdict::Store } else { Verdict::Drop }));
    world.enqueue_numbered(publisher, 5);
    assert!(world.settle(21 * SECOND));
    let expected = PublisherError::Exhausted { elapsed: 20 * SECOND, last: Some(Anomaly::Silence) };
    assert_eq!(failure(&world, publisher), Some(expected));
    assert!(matches!(outcome(&world, 2), Outcome::Stored { .. }));
    assert!((3..=5).all(|number| *outcome(&world, number) == Outcome::Unknown), "{:?}", world.sent);
    checks::always(&world);
}

#[test]
fn the_budget_also_runs_while_there_is_no_link() {
    let options = PublisherOptions { max_elapsed: Some(20 * SECOND), ..PublisherOptions::stream(scenes::STREAM) };
    let (mut world, publisher) = under_way_with(options);
    world.fault(Duration::ZERO, Fault::Restart(MINUTE));
    world.enqueue_numbered(publisher, 5);
    assert!(world.settle(21 * SECOND));
    assert!(matches!(failure(&world, publisher), Some(PublisherError::Exhausted { .. })));
}

#[test]
fn an_idle_publisher_spends_nothing() {
    let options = PublisherOptions { max_elapsed: Some(20 * SECOND), ..PublisherOptions::stream(scenes::STREAM) };
    let (mut world, publisher) = under_way_with(options);
    world.run(10 * MINUTE);
    assert_eq!((failure(&world, publisher), world.dials()), (None, 1));
    world.enqueue_numbered(publisher, 1);
    assert!(world.settle(SECOND));
    assert!(matches!(outcome(&world, 1), Outcome::Stored { .. }));
}

#[test]
fn a_front_that_is_overtaken_by_its_successors_acks_is_not_waited_for() {
    let (mut world, publisher) = under_way();
    world.server.script(script(
        |number, attempt| {
            if number == 1 && attempt == 1 { Verdict::Drop } else { Verdict::Store }
        },
    ));
    world.enqueue_numbered(publisher, 10);
    let before = world.now();
    assert!(world.settle(MINUTE));
    let took = world.now().since(before);
    assert!(took > Duration::from_millis(250) && took < Duration::from_millis(500), "{took:?}");
    assert_eq!(anomalies(&world), [Anomaly::Overtaken]);
    let statistics = statistics(&world, publisher);
    assert_eq!((statistics.replayed, statistics.inversions), (1, 9), "nine were stored before it, and that is said");
    checks::at_the_end(&world);
}

#[test]
fn acks_that_overtake_each_other_by_a_little_are_no_anomaly() {
    let (mut world, publisher) = under_way();
    world.server.script(script(|number, _| match number {
        1 => Verdict::StoreLateAck(Late::after(Duration::from_millis(200))),
        _ => Verdict::Store,
    }));
    world.enqueue_numbered(publisher, 10);
    assert!(world.settle(MINUTE));
    assert_eq!(statistics(&world, publisher).anomalies, 0);
    stored_once_in_order(&world, publisher);
}

#[test]
fn a_503_makes_it_look_at_the_stream_which_is_gone() {
    let (mut world, publisher) = under_way();
    world.server.streams.clear();
    world.enqueue_numbered(publisher, 5);
    assert!(world.settle(SECOND));
    let gone = StreamProblem::Gone { stream: scenes::STREAM.into() };
    assert_eq!(failure(&world, publisher), Some(PublisherError::Stream(gone)));
    assert_eq!(*outcome(&world, 5), Outcome::Unknown);
}

#[test]
fn a_503_makes_it_look_at_the_stream_which_is_another() {
    let (mut world, publisher) = under_way();
    world.stream().created = "2026-11-24T00:00:00Z".into();
    world.server.script(script(|_, attempt| if attempt == 1 { Verdict::Refuse503 } else { Verdict::Store }));
    world.enqueue_numbered(publisher, 5);
    assert!(world.settle(SECOND));
    assert!(matches!(failure(&world, publisher), Some(PublisherError::Stream(StreamProblem::Recreated { .. }))));
}

#[test]
fn before_it_sends_again_it_looks_at_the_stream_which_is_another() {
    for swallows_all in [true, false] {
        let (mut world, publisher) = under_way();
        world.stream().created = "2026-11-24T00:00:00Z".into();
        world.server.script(script(move |number, attempt| match (attempt, number) {
            (1, 1) => Verdict::Drop,
            (1, _) if swallows_all => Verdict::Drop,
            _ => Verdict::Store,
        }));
        world.enqueue_numbered(publisher, 5);
        assert!(world.settle(7 * SECOND));
        let failure = failure(&world, publisher);
        assert!(matches!(failure, Some(PublisherError::Stream(StreamProblem::Recreated { .. }))), "{failure:?}");
        assert_eq!(statistics(&world, publisher).replayed, 0, "nothing was sent into it again");
    }
}

#[test]
fn at_a_reconnect_it_looks_at_the_stream_which_is_shorter() {
    let (mut world, publisher) = under_way();
    world.enqueue_numbered(publisher, 4);
    assert!(world.settle(SECOND));
    world.stream().rewind(2);
    world.fault(Duration::ZERO, Fault::Cut);
    world.run(SECOND);
    let rewound = StreamProblem::Rewound { acked: 5, found: 2 };
    assert_eq!(failure(&world, publisher), Some(PublisherError::Stream(rewound)));
}

#[test]
fn a_lagging_replica_is_asked_again() {
    let (mut world, publisher) = under_way();
    world.stream().replicas = 3;
    world.enqueue_numbered(publisher, 4);
    assert!(world.settle(SECOND));
    let known = world.stream().at(5).cloned().expect("five are stored");
    world.stream().rewind(4);
    world.fault(Duration::ZERO, Fault::Cut);
    world.run(Duration::from_millis(150));
    assert_eq!(failure(&world, publisher), None);
    world.stream().store(&known.subject, "id-4", &known.payload, natsink::time::Instant::ZERO);
    world.enqueue_numbered(publisher, 1);
    assert!(world.settle(5 * SECOND), "{:?}", failure(&world, publisher));
    stored_once_in_order(&world, publisher);
}

#[test]
fn a_purged_stream_is_the_same_stream() {
    let (mut world, publisher) = under_way();
    world.stream().purge();
    world.fault(Duration::ZERO, Fault::Cut);
    world.run(SECOND);
    assert_eq!(failure(&world, publisher), None);
    world.enqueue_numbered(publisher, 1);
    assert!(world.settle(SECOND));
    assert_eq!(*outcome(&world, 1), Outcome::Stored { seq: 2 });
}

/// The old link's publishes are still on their way into the stream while the new link asks how far it goes.
#[test]
fn an_ack_that_overtakes_the_answer_about_the_stream_does_not_rewind_it() {
    let (mut world, publisher) = under_way();
    world.server.api_delay = Duration::from_millis(50);
    world.server.script(script(|number, attempt| match (number, attempt) {
        (1, 1) => Verdict::Drop,
        _ => Verdict::Store,
    }));
    // The link dies right after the server has heard of the message, and it is stored after the question came.
    world.fault(Duration::from_millis(1), Fault::Cut);
    let stored_late = Draft::numbered(1, 8);
    world.enqueue(publisher, stored_late.clone());
    world.run(Duration::from_millis(20));
    let reply = world.server.last_reply().expect("it was asked for").to_string();
    let now = world.now();
    let seq = world.stream().store(&stored_late.subject, &stored_late.id, &stored_late.payload, now);
    world.server.publish(&reply, format!(r#"{{"stream":"{}","seq":{seq}}}"#, scenes::STREAM).as_bytes());
    assert!(world.settle(5 * SECOND));
    world.run(SECOND);
    assert_eq!(failure(&world, publisher), None);
    world.enqueue_numbered(publisher, 1);
    assert!(world.settle(5 * SECOND));
    stored_once_in_order(&world, publisher);
}

#[test]
fn a_denied_subject_fails_its_own_messages_and_at_once() {
    let (mut world, publisher) = under_way();
    world.server.denied.push(Pattern::new("ord.2").expect("a subject"));
    world.enqueue_numbered(publisher, 10);
    assert!(world.settle(SECOND));
    for (number, sent) in world.sent.iter().enumerate() {
        let denied = Outcome::Rejected(Rejection::PermissionDenied { subject: "ord.2".into() });
        assert_eq!(*outcome(&world, number) == denied, sent.draft.subject == "ord.2", "{sent:?}");
    }
    assert_eq!(statistics(&world, publisher).anomalies, 0);
    checks::at_the_end(&world);
}

#[test]
fn a_smaller_max_payload_after_a_reconnect_rejects_what_is_too_large_for_it() {
    let (mut world, publisher) = under_way();
    world.server.script(script(|_, _| Verdict::Drop));
    for number in 1..6 {
        world.enqueue(publisher, Draft::numbered(number, if number == 3 { 5000 } else { 10 }));
    }
    world.run(SECOND);
    world.server.max_payload = 4096;
    world.server.script(Script::default());
    world.fault(Duration::ZERO, Fault::Restart(Duration::ZERO));
    assert!(world.settle(5 * SECOND));
    assert!(matches!(outcome(&world, 3), Outcome::Rejected(Rejection::TooLarge { max: 4096, .. })));
    assert_eq!(world.sent.iter().filter(|sent| matches!(sent.outcomes[..], [Outcome::Stored { .. }])).count(), 5);
    assert_eq!(world.dials(), 2);
    world.enqueue(publisher, Draft::numbered(6, 5000));
    assert!(world.settle(SECOND));
    assert!(matches!(outcome(&world, 6), Outcome::Rejected(Rejection::TooLarge { .. })));
    checks::at_the_end(&world);
}

/// A world in which message 1 is in the stream before it is published, as `payload` and with its own id.
fn with_a_predecessor(payload: &[u8]) -> (World, PublisherId) {
    let (mut world, publisher) = under_way();
    let now = world.now();
    world.stream().store("ord.1", "id-1", payload, now);
    world.enqueue_numbered(publisher, 3);
    (world, publisher)
}

#[test]
fn a_duplicate_that_nobody_here_sent_is_read_back_and_found_equal() {
    let (mut world, publisher) = with_a_predecessor(b"m1......");
    assert!(world.settle(SECOND));
    assert_eq!(*outcome(&world, 1), Outcome::Duplicate { seq: 2, verified: true });
    assert_eq!(world.server.counts().read_backs, 1);
    assert_eq!(statistics(&world, publisher).anomalies, 0);
    checks::at_the_end(&world);
}

#[test]
fn a_duplicate_of_something_else_is_a_collision_and_no_other_message_suffers() {
    let (mut world, _) = with_a_predecessor(b"something else");
    assert!(world.settle(SECOND));
    assert_eq!(*outcome(&world, 1), Outcome::Rejected(Rejection::IdCollision { seq: 2 }));
    assert!(matches!(outcome(&world, 3), Outcome::Stored { .. }));
}

#[test]
fn a_duplicate_of_what_is_gone_is_unverified() {
    let (mut world, _) = with_a_predecessor(b"something else");
    world.stream().purge();
    assert!(world.settle(SECOND));
    assert_eq!(*outcome(&world, 1), Outcome::Duplicate { seq: 2, verified: false });
}

#[test]
fn a_duplicate_that_may_not_be_read_back_is_unverified() {
    let (mut world, _) = with_a_predecessor(b"m1......");
    world.server.denied.push(Pattern::new("$JS.API.STREAM.MSG.GET.>").expect("a pattern"));
    assert!(world.settle(SECOND));
    assert_eq!(*outcome(&world, 1), Outcome::Duplicate { seq: 2, verified: false });
}

#[test]
fn a_question_about_a_duplicate_that_is_not_answered_is_asked_again() {
    let (mut world, publisher) = with_a_predecessor(b"m1......");
    world.server.api_silent = true;
    world.run(Duration::from_millis(5500));
    world.server.api_silent = false;
    assert!(world.settle(6 * SECOND));
    assert_eq!(*outcome(&world, 1), Outcome::Duplicate { seq: 2, verified: true });
    assert_eq!(statistics(&world, publisher).anomalies, 0);
    checks::at_the_end(&world);
}

#[test]
fn a_question_about_a_duplicate_is_asked_again_on_the_next_link() {
    let (mut world, _) = with_a_predecessor(b"m1......");
    world.server.api_silent = true;
    world.run(SECOND);
    world.server.api_silent = false;
    world.fault(Duration::ZERO, Fault::Cut);
    assert!(world.settle(SECOND));
    assert_eq!(*outcome(&world, 1), Outcome::Duplicate { seq: 2, verified: true });
    checks::at_the_end(&world);
}

#[test]
fn an_ack_of_another_stream_is_not_believed() {
    let (mut world, _) = under_way();
    world.server.script(script(|number, _| if number == 2 { Verdict::WrongStream } else { Verdict::Store }));
    world.enqueue_numbered(publisher_of(&world), 4);
    assert!(world.settle(SECOND));
    let rejected = Outcome::Rejected(Rejection::WrongStream { found: "ELSEWHERE".into() });
    assert_eq!(*outcome(&world, 2), rejected);
    checks::at_the_end(&world);
}

fn publisher_of(world: &World) -> PublisherId {
    world.sent[0].publisher
}

#[test]
fn garbled_acks_count_as_none() {
    for garbage in [&b"{"[..], b"", b"{}", b"{\"stream\":\"ORD\",\"seq\":0}", b"{\"stream\":\"ORD\",\"seq\":-1}"] {
        let (mut world, publisher) = under_way();
        world.server.script(script(move |number, attempt| {
            if number % 2 == 0 && attempt == 1 { Verdict::Garble(garbage) } else { Verdict::Store }
        }));
        world.enqueue_numbered(publisher, 20);
        assert!(world.settle(MINUTE), "{garbage:?}");
        assert_eq!(statistics(&world, publisher).garbled, 10);
        stored_once_in_order(&world, publisher);
    }
}

#[test]
fn a_question_that_finds_no_room_waits_for_room_and_not_in_a_circle() {
    let (mut world, blocked) = scenes::plain(1);
    world.up.capacity = 1000;
    let other = world.add_publisher(PublisherOptions::stream(scenes::STREAM));
    let refused = Verdict::Late503(Late::after(Duration::from_millis(500)));
    world.server.script(script(move |number, _| if number == 1 { refused } else { Verdict::Store }));
    world.enqueue_numbered(blocked, 1);
    world.enqueue_numbered(other, 1);
    world.run(Duration::from_millis(100));
    // The server reads no more; what is written piles up; then 503 makes the other publisher ask.
    world.fault(Duration::ZERO, Fault::Blackhole(Direction::Up));
    world.run(Duration::from_millis(1));
    for number in 2..60 {
        world.enqueue(blocked, Draft::numbered(number, 8000));
    }
    let before = world.turns();
    world.run(20 * SECOND);
    assert_eq!(anomalies(&world).first(), Some(&Anomaly::NoResponders));
    assert!(world.session.outbox_len() > 100_000, "there is no room");
    assert!(world.turns() - before < 1000, "{} turns", world.turns() - before);
    world.server.script(Script::default());
    assert!(world.settle(MINUTE));
    stored_once_in_order(&world, blocked);
}

#[test]
fn an_answer_about_the_stream_may_take_longer_than_the_timer_that_asks_again() {
    let (mut world, publisher) = scenes::plain(1);
    world.server.api_delay = 7 * SECOND;
    world.enqueue_numbered(publisher, 5);
    assert!(world.settle(8 * SECOND));
    // At once, and after 0.5, 1.5 and 3.5 s.
    assert_eq!(world.server.counts().info_questions, 4);
    stored_once_in_order(&world, publisher);
}
