//! What every driver owes a session, as `natsink::driver` states it: the same checks over all three drivers.

mod host;
mod rigs;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use natsink::connection::{
    Auth, AuthError, Authenticator, Challenge, CloseReason, ConnectionOptions, Credentials, LinkError, Secret,
    ServerAddr,
};
use natsink::jetstream::{Outcome, Rejection};
use natsink::proto::ServerError;
use natsink::session::{LinkNotice, LinkState};
use natsink::sim::{Draft, Refusal, Verdict};
use rigs::{Blocking, Rig, Tokio, Virtual, model};

macro_rules! every_driver {
    ($($check:ident),* $(,)?) => {
        every_driver!(@ tokio_driver Tokio $($check)*);
        every_driver!(@ blocking_driver Blocking $($check)*);
        every_driver!(@ virtual_driver Virtual $($check)*);
    };
    (@ $driver:ident $rig:ident $($check:ident)*) => {
        mod $driver {
            $(
                #[test]
                fn $check() {
                    super::$check::<super::$rig>();
                }
            )*
        }
    };
}

every_driver!(
    greets_and_idles_without_a_word_out_of_place,
    answers_pings_while_its_caller_idles,
    gives_the_same_outcomes,
    outlives_a_cut,
    writes_on_where_a_full_socket_stopped_it,
    begins_anew_after_a_cut_in_the_middle_of_a_message,
    takes_no_link_for_stuck_that_takes_its_bytes,
    finds_a_stuck_link_while_it_writes,
    finds_a_dead_link_by_its_silence,
    tells_what_came_before_the_end,
    makes_another_link_when_asked,
    asks_for_credentials_once_for_each_link,
    goes_on_after_an_authenticator_that_fails,
    gives_up_a_greeting_that_does_not_come,
    hangs_up_before_it_rests,
    makes_what_is_pending_unknown_at_the_close,
    ends_with_its_last_handle,
);

fn options() -> ConnectionOptions {
    let nobody = ServerAddr { host: "filled in by the rig".into(), port: 1, tls: false };
    let mut options = ConnectionOptions::new(vec![nobody]);
    options.retry_at_start = true;
    options.backoff.initial = Duration::from_millis(10);
    options
}

fn started<R: Rig>() -> R {
    let mut rig = R::start(options());
    rig.until_up();
    rig
}

fn draft(number: usize) -> Draft {
    Draft::numbered(number, 8)
}

/// The stream holds exactly these messages, in this order.
#[track_caller]
fn holds<R: Rig>(rig: &mut R, numbers: &[usize]) {
    let ids: Vec<_> = rig.server(|server| server.streams[0].stored().iter().map(|stored| stored.id.clone()).collect());
    assert_eq!(ids, numbers.iter().map(|number| Some(draft(*number).id)).collect::<Vec<_>>());
    assert_eq!(rig.server(|server| server.violations().to_vec()), []);
}

fn greets_and_idles_without_a_word_out_of_place<R: Rig>() {
    let mut rig: R = started();
    rig.until("the stream was looked at", |rig| rig.server(|server| server.counts().info_questions == 1));
    assert_eq!((rig.statistics().connects, rig.statistics().dials_failed), (1, 0));
    assert!(matches!(&rig.notices()[..], [LinkNotice::Up { .. }]), "{:?}", rig.notices());
    holds(&mut rig, &[]);
}

fn answers_pings_while_its_caller_idles<R: Rig>() {
    let mut rig: R = started();
    for pings in 2..5 {
        // The model's own first PING comes with the greeting.
        rig.until("all PINGs are answered", |rig| rig.server(|server| server.counts().pongs == pings - 1));
        rig.server(|server| server.say(|out| out.extend_from_slice(b"PING\r\n")));
    }
    rig.until("all PINGs are answered", |rig| rig.server(|server| server.counts().pongs == 4));
}

fn gives_the_same_outcomes<R: Rig>() {
    let mut rig: R = started();
    rig.submit(draft(0));
    assert_eq!(rig.settled(), [Outcome::Stored { seq: 1 }]);
    let refused = Refusal { code: 400, err_code: 10_071, description: "wrong last sequence" };
    rig.server(|server| {
        for verdict in [Verdict::Store, Verdict::Refuse(refused), Verdict::Refuse503] {
            server.decide_next(verdict);
        }
    });
    for number in [0, 1, 2, 3, 4] {
        rig.submit(draft(number));
    }
    let mut outcomes = rig.settled();
    let refused = Rejection::Refused { code: 400, err_code: 10_071, description: "wrong last sequence".into() };
    // Which of the last two is written first again depends on how far writing had come when the 503 did.
    assert_eq!(outcomes[1..3], [Outcome::Duplicate { seq: 1, verified: true }, Outcome::Rejected(refused)]);
    outcomes.drain(..3);
    outcomes.sort_by_key(|outcome| if let Outcome::Stored { seq } = outcome { *seq } else { 0 });
    assert_eq!(outcomes, [2, 3, 4].map(|seq| Outcome::Stored { seq }));
}

fn outlives_a_cut<R: Rig>() {
    let mut rig: R = started();
    let numbers: Vec<usize> = (0..200).collect();
    for number in &numbers {
        rig.submit(draft(*number));
        if number % 50 == 25 {
            let connects = rig.statistics().connects;
            rig.cut();
            rig.until("there is another link", |rig| rig.statistics().connects > connects);
        }
    }
    let outcomes = rig.settled();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored { .. } | Outcome::Duplicate { .. })));
    assert_eq!(rig.statistics().connects, 5);
    holds(&mut rig, &numbers);
}

/// Fills every buffer on the way to a server that has settled one message and reads no more.
fn stuffed<R: Rig>(options: ConnectionOptions) -> R {
    let mut rig = R::start(options);
    rig.until_up();
    // Each pass begins with one message alone; the rest may follow it.
    rig.submit(draft(0));
    rig.settled();
    rig.stall();
    for number in 1..32 {
        rig.submit(Draft::numbered(number, 512 << 10));
    }
    rig
}

fn writes_on_where_a_full_socket_stopped_it<R: Rig>() {
    let mut rig: R = stuffed(options());
    rig.rest(Duration::from_millis(200));
    rig.resume();
    assert_eq!(rig.settled(), (1..33).map(|seq| Outcome::Stored { seq }).collect::<Vec<_>>());
    assert_eq!(rig.statistics().connects, 1);
    holds(&mut rig, &(0..32).collect::<Vec<_>>());
}

fn begins_anew_after_a_cut_in_the_middle_of_a_message<R: Rig>() {
    let mut rig: R = stuffed(options());
    rig.rest(Duration::from_millis(200));
    assert_eq!(rig.statistics().connects, 1);
    rig.cut();
    assert_eq!(rig.settled(), (1..33).map(|seq| Outcome::Stored { seq }).collect::<Vec<_>>());
    assert_eq!(rig.statistics().connects, 2);
    holds(&mut rig, &(0..32).collect::<Vec<_>>());
}

fn takes_no_link_for_stuck_that_takes_its_bytes<R: Rig>() {
    let mut options = options();
    // There is always something to write, and no other reason to give the link up.
    options.ping_interval = Duration::from_millis(50);
    options.pings_out_max = 1000;
    options.write_timeout = Duration::from_millis(500);
    let mut rig = R::start(options);
    rig.until_up();
    rig.submit(draft(0));
    rig.settled();
    rig.rest(Duration::from_millis(1500));
    assert_eq!(rig.statistics().connects, 1, "{:?}", rig.notices());
    assert!(rig.statistics().bytes_out > 200);
}

fn finds_a_stuck_link_while_it_writes<R: Rig>() {
    let mut options = options();
    options.write_timeout = Duration::from_millis(300);
    let mut rig: R = stuffed(options);
    let lost = LinkNotice::Lost(LinkError::WriteStalled);
    rig.until("the link is given up", |rig| rig.notices().contains(&lost));
    rig.until("there is another link", |rig| rig.statistics().connects == 2);
    assert_eq!(rig.settled().len(), 32);
}

fn finds_a_dead_link_by_its_silence<R: Rig>() {
    let mut options = options();
    options.ping_interval = Duration::from_millis(100);
    let mut rig = R::start(options);
    rig.until_up();
    rig.submit(draft(0));
    rig.settled();
    rig.blackhole();
    rig.submit(draft(1));
    rig.until("there is another link", |rig| rig.statistics().connects >= 2);
    assert_eq!(rig.settled()[1], Outcome::Stored { seq: 2 });
    assert!(rig.notices().contains(&LinkNotice::Lost(LinkError::Silent)), "{:?}", rig.notices());
    holds(&mut rig, &[0, 1]);
}

fn tells_what_came_before_the_end<R: Rig>() {
    let mut rig: R = started();
    rig.server(|server| server.max_payload = 64);
    // Larger than the server takes by now, which nobody was told; and more behind it, into a socket that is being closed.
    rig.submit(Draft::numbered(0, 1000));
    rig.until("the link is lost", |rig| {
        if rig.outcomes().len() < 1000 {
            rig.submit(draft(1));
        }
        rig.notices().iter().any(|notice| matches!(notice, LinkNotice::Lost(_)))
    });
    let said = LinkNotice::Lost(LinkError::Refused(ServerError::MaximumPayloadViolation));
    assert!(rig.notices().contains(&said), "{:?}", rig.notices());
}

fn makes_another_link_when_asked<R: Rig>() {
    let mut rig: R = started();
    for connects in 2..5 {
        rig.reconnect();
        rig.until("there is another link", |rig| rig.statistics().connects == connects);
    }
    rig.until("one link is left", |rig| rig.server(|server| server.clients() == 1));
    rig.submit(draft(0));
    assert_eq!(rig.settled(), [Outcome::Stored { seq: 1 }]);
}

/// Counts how often it is asked.
#[derive(Default)]
struct Counting {
    asked: AtomicU64,
    /// How often it fails before it does not.
    failures: u64,
}

impl Authenticator for Counting {
    fn answer(&self, challenge: &Challenge<'_>) -> Result<Credentials, AuthError> {
        assert!(challenge.nonce.is_none() && !challenge.is_secure);
        match self.asked.fetch_add(1, Ordering::SeqCst) {
            at if at >= self.failures => Ok(Credentials::Token(Secret::from("token"))),
            at => Err(AuthError::Failed(format!("failure {at}"))),
        }
    }
}

fn asks_for_credentials_once_for_each_link<R: Rig>() {
    let counting = Arc::new(Counting::default());
    let mut rig = R::start(ConnectionOptions { auth: Auth::Asked(counting.clone()), ..options() });
    rig.until_up();
    assert_eq!(counting.asked.load(Ordering::SeqCst), 1);
    rig.cut();
    rig.until("there is another link", |rig| rig.statistics().connects == 2);
    assert_eq!(counting.asked.load(Ordering::SeqCst), 2);
    holds(&mut rig, &[]);
}

fn goes_on_after_an_authenticator_that_fails<R: Rig>() {
    let counting = Arc::new(Counting { failures: 1, ..Counting::default() });
    let mut rig = R::start(ConnectionOptions { auth: Auth::Asked(counting.clone()), ..options() });
    rig.until_up();
    let failed = LinkNotice::DialFailed(LinkError::Credentials(AuthError::Failed("failure 0".into())));
    assert!(rig.notices().contains(&failed), "{:?}", rig.notices());
    assert_eq!(counting.asked.load(Ordering::SeqCst), 2);
}

/// On virtual time nothing may panic, so only the drivers with threads are asked.
fn takes_a_panic_of_the_authenticator_for_an_answer<R: Rig>() {
    struct Panicking;

    impl Authenticator for Panicking {
        fn answer(&self, _: &Challenge<'_>) -> Result<Credentials, AuthError> {
            panic!("as the test wants it")
        }
    }

    let mut rig = R::start(ConnectionOptions { auth: Auth::asked(Panicking), ..options() });
    rig.until("it is over", |rig| matches!(rig.link_state(), LinkState::Closed(CloseReason::AuthRefused(_))));
}

#[test]
fn tokio_takes_a_panic_for_an_answer() {
    takes_a_panic_of_the_authenticator_for_an_answer::<Tokio>();
}

#[test]
fn blocking_takes_a_panic_for_an_answer() {
    takes_a_panic_of_the_authenticator_for_an_answer::<Blocking>();
}

fn gives_up_a_greeting_that_does_not_come<R: Rig>() {
    let mut rig = R::start(ConnectionOptions { connect_timeout: Duration::from_millis(200), ..options() });
    rig.until_up();
    rig.server(|server| server.pongs = false);
    rig.cut();
    let late = LinkNotice::DialFailed(LinkError::ConnectTimeout);
    rig.until("a dial has taken too long", |rig| rig.notices().contains(&late));
    rig.server(|server| server.pongs = true);
    rig.until_up();
    rig.until("one link is left", |rig| rig.server(|server| server.clients() == 1));
}

fn hangs_up_before_it_rests<R: Rig>() {
    let mut options = options();
    options.connect_timeout = Duration::from_millis(200);
    // Longer than anything is waited for here.
    options.backoff.initial = Duration::from_secs(600);
    options.backoff.max = Duration::from_secs(600);
    let mut model = model();
    model.pongs = false;
    let mut rig = R::start_with(options, model);
    // The first retry is immediate.
    let late = [LinkNotice::DialFailed(LinkError::ConnectTimeout), LinkNotice::DialFailed(LinkError::ConnectTimeout)];
    rig.until("two dials have taken too long", |rig| rig.notices() == late);
    rig.until("the server is told", |rig| rig.server(|server| server.clients() == 0));
    assert_eq!(rig.link_state(), LinkState::Resting);
}

fn makes_what_is_pending_unknown_at_the_close<R: Rig>() {
    let mut rig: R = started();
    rig.submit(draft(0));
    rig.settled();
    rig.server(|server| server.decide_next(Verdict::StoreButLoseAck));
    rig.submit(draft(1));
    rig.until("it has come", |rig| rig.server(|server| server.arrivals() == 2));
    rig.close();
    assert_eq!(rig.settled(), [Outcome::Stored { seq: 1 }, Outcome::Unknown]);
    assert_eq!(rig.link_state(), LinkState::Closed(CloseReason::Requested));
    rig.until("the server is told", |rig| rig.server(|server| server.clients() == 0));
}

fn ends_with_its_last_handle<R: Rig>() {
    let mut rig: R = started();
    assert_eq!(rig.server(|server| server.clients()), 1);
    rig.abandon();
    rig.until("the server is told", |rig| rig.server(|server| server.clients() == 0));
}
