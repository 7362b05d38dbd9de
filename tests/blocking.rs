//! The blocking driver against real servers: what it does with its threads, and what callers see of waiting.

mod support;

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use natsink::blocking::{self, Ack, Client, Publisher};
use natsink::connection::{
    Auth, AuthError, Authenticator, Challenge, CloseReason, ConnectionOptions, Credentials, LinkError, Secret,
    ServerList, TlsError,
};
use natsink::jetstream::{Message, Outcome, PublisherError, PublisherOptions, StreamProblem, SubmitError};
use natsink::proto::{MsgId, Pattern, ServerError, Subject};
use natsink::session::{LinkNotice, LinkState, RequestError, SubscriptionEnd};
use serde_json::json;
use support::{Raw, Server, ServerOptions, reader};

/// Long enough for anything that ends at all.
const DEADLINE: Duration = Duration::from_secs(60);
/// Long enough to see that something does not happen.
const MOMENT: Duration = Duration::from_millis(100);

fn orders(server: &Server) -> Raw {
    let mut raw = Raw::connect(&server.url());
    raw.create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
    raw
}

fn publisher(url: &str) -> (Client, Publisher) {
    let client = blocking::connect(url).expect("a server");
    let publisher = client.publisher(PublisherOptions::stream("ORDERS")).expect("an open connection");
    (client, publisher)
}

fn options(url: &str) -> ConnectionOptions {
    ConnectionOptions::new(ServerList::parse(url).expect("a URL").servers)
}

fn publish(publisher: &Publisher, id: &str, payload: &str) -> Ack {
    let message = Message::new(Subject::new("orders.new").expect("a subject"), payload);
    let id = MsgId::new(id).expect("an id");
    publisher.publish_timeout(&message.id(id), DEADLINE).expect("a message that can be stored")
}

fn outcome(ack: Ack) -> Outcome {
    ack.wait_timeout(DEADLINE).expect("an outcome within the deadline")
}

#[track_caller]
fn becomes_true(what: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !what() {
        assert!(Instant::now() < deadline, "not within the deadline");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn outcomes_tell_the_truth() {
    let server = Server::start(ServerOptions::default());
    let mut raw = orders(&server);
    let (_client, publisher) = publisher(&server.url());
    assert_eq!(outcome(publish(&publisher, "a", "one")), Outcome::Stored { seq: 1 });
    assert_eq!(outcome(publish(&publisher, "a", "one")), Outcome::Duplicate { seq: 1, verified: true });
    assert_eq!(publish(&publisher, "b", "two").wait(), Outcome::Stored { seq: 2 });
    assert_eq!(raw.stream_messages("ORDERS"), 2);
}

#[test]
fn tagged_outcomes_come_in_order_and_waits_for_them_end() {
    let server = Server::start(ServerOptions::default());
    orders(&server);
    let (_client, publisher) = publisher(&server.url());
    let mut outcomes = Vec::new();
    assert_eq!(publisher.outcomes(&mut outcomes, MOMENT), Ok(0));
    for tag in 0..10_000 {
        let id = format!("id-{tag}");
        let message = Message::new(Subject::new("orders.new").unwrap(), b"x").id(MsgId::new(&id).unwrap());
        publisher.send(tag, &message).unwrap();
        publisher.try_outcomes(&mut outcomes);
    }
    while outcomes.len() < 10_000 {
        assert!(publisher.outcomes(&mut outcomes, DEADLINE).unwrap() > 0);
    }
    assert!(outcomes.iter().enumerate().all(|(at, told)| *told == (at as u64, Outcome::Stored { seq: at as u64 + 1 })));
    assert!(publisher.settled(Duration::ZERO));
}

#[test]
fn a_full_window_is_waited_for_and_patience_ends() {
    let server = Server::start(ServerOptions::default());
    orders(&server);
    let client = blocking::connect(&server.url()).unwrap();
    let options = PublisherOptions { in_flight_max: 2, ..PublisherOptions::stream("ORDERS") };
    let publisher = client.publisher(options).unwrap();
    publisher.verified(DEADLINE).expect("within the deadline").unwrap();
    server.stop();
    let waiting = publish(&publisher, "a", "x").wait_timeout(MOMENT).expect_err("the server is stopped");
    drop(publish(&publisher, "b", "x"));
    let message = Message::new(Subject::new("orders.new").unwrap(), b"x").id(MsgId::new("c").unwrap());
    assert!(matches!(publisher.try_publish(&message), Err(SubmitError::Full)));
    assert!(matches!(publisher.publish_timeout(&message, MOMENT), Err(SubmitError::Full)));
    assert!(!publisher.ready(MOMENT) && !publisher.settled(MOMENT));
    let late = std::thread::spawn({
        let publisher = publisher.clone();
        move || outcome(publish(&publisher, "d", "x"))
    });
    server.cont();
    assert_eq!(outcome(waiting), Outcome::Stored { seq: 1 });
    assert_eq!(late.join().unwrap(), Outcome::Stored { seq: 3 });
    assert!(publisher.ready(DEADLINE) && publisher.settled(DEADLINE));
    assert_eq!(publisher.statistics().stored, 3);
}

#[test]
fn a_server_killed_and_restarted_under_load_loses_doubles_and_turns_nothing() {
    const COUNT: u64 = 20_000;
    let line = |number: u64| format!("{{\"order\":{number:08},\"text\":\"{}\"}}", "x".repeat(90));
    let mut server = Server::start(ServerOptions::default());
    orders(&server);
    let (client, publisher) = publisher(&server.url());
    let feeding = std::thread::spawn({
        let publisher = publisher.clone();
        move || (0..COUNT).for_each(|number| drop(publish(&publisher, &format!("id-{number}"), &line(number))))
    });
    for third in 1..3 {
        let settled = || publisher.statistics().stored + publisher.statistics().duplicates;
        becomes_true(|| settled() >= third * COUNT / 3);
        server.kill9();
        client.link_changed(&LinkState::Up, DEADLINE).expect("the link is lost");
        server.restart();
    }
    feeding.join().unwrap();
    assert!(publisher.settled(DEADLINE));
    assert_eq!((client.statistics().connects, publisher.statistics().inversions), (3, 0));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    (0..COUNT).for_each(|number| writeln!(file, "{}", line(number)).unwrap());
    let verdict = reader::verdict(&server.url(), "ORDERS", file.path());
    assert!(verdict.is_exact() && verdict.messages == COUNT, "{verdict:?}");
}

#[test]
fn what_cannot_work_is_an_error_with_the_reason() {
    let address = format!("127.0.0.1:{}", support::server::free_port());
    let failed = blocking::connect(&address).unwrap_err();
    assert!(matches!(failed, CloseReason::Unreachable(_)) && failed.to_string().contains(&address), "{failed}");

    let server = Server::start(ServerOptions::with_user("ann", "secret"));
    let refused = blocking::connect(&server.url().replace("secret", "wrong")).unwrap_err();
    assert_eq!(refused, CloseReason::AuthRefused(LinkError::Refused(ServerError::AuthorizationViolation)));

    let (_client, publisher) = publisher(&server.url());
    let missing = publisher.verified(DEADLINE).expect("within the deadline").unwrap_err();
    assert_eq!(missing, PublisherError::Stream(StreamProblem::NotFound { stream: "ORDERS".into() }));

    let secure = server.url().replace("nats://", "tls://");
    let untold = blocking::connect(&secure).unwrap_err();
    assert!(matches!(untold, CloseReason::Incompatible(_)), "{untold}");
    let authority = support::Authority::new("ours");
    let server = Server::start(ServerOptions::with_tls(&authority.server(), ""));
    let unbuilt = blocking::connect(&server.url()).unwrap_err();
    assert_eq!(unbuilt, CloseReason::Incompatible(LinkError::Tls(TlsError::NotBuilt)));
}

#[test]
fn a_dial_that_nobody_answers_ends_in_time() {
    // It takes the call and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = options(&silent.local_addr().unwrap().to_string());
    options.connect_timeout = Duration::from_millis(200);
    let start = Instant::now();
    let failed = Client::connect(options).unwrap_err();
    assert_eq!(failed, CloseReason::Unreachable(LinkError::ConnectTimeout));
    assert!((Duration::from_millis(200)..Duration::from_secs(5)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[test]
fn requests_are_answered_or_not() {
    let server = Server::start(ServerOptions::default());
    orders(&server);
    let client = blocking::connect(&server.url()).unwrap();
    let subject = |name| Subject::new(name).unwrap();
    let info = client.request(subject("$JS.API.STREAM.INFO.ORDERS"), b"", DEADLINE).unwrap();
    assert!(info.payload.starts_with(b"{"));
    assert_eq!(client.request(subject("nobody"), b"", DEADLINE), Err(RequestError::NoResponders));
    let mut listener = Raw::connect(&server.url());
    listener.subscribe("silence");
    listener.flush();
    assert_eq!(client.request(subject("silence"), b"", MOMENT), Err(RequestError::NoAnswer));
}

/// Does not answer before it is let go.
#[derive(Default)]
struct Stuck {
    asked: AtomicUsize,
    let_go: (Mutex<bool>, Condvar),
}

impl Authenticator for Stuck {
    fn answer(&self, _: &Challenge<'_>) -> Result<Credentials, AuthError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (let_go, changed) = &self.let_go;
        let let_go = let_go.lock().expect("nobody panics with it");
        drop(changed.wait_while(let_go, |let_go| !*let_go).expect("nobody panics with it"));
        Ok(Credentials::Token(Secret::from("token")))
    }
}

#[test]
fn authenticators_that_never_answer_are_no_more_than_a_few() {
    let server = Server::start(ServerOptions::default());
    let stuck = Arc::new(Stuck::default());
    let mut options = options(&server.url());
    options.auth = Auth::Asked(stuck.clone());
    options.retry_at_start = true;
    options.connect_timeout = Duration::from_millis(20);
    options.backoff.initial = Duration::from_millis(1);
    options.backoff.max = Duration::from_millis(1);
    let client = Client::start(options).unwrap();
    let is_too_many = |notice: LinkNotice| match notice {
        LinkNotice::DialFailed(LinkError::Transport(words)) => words.contains("given up"),
        _ => false,
    };
    while !client.next_link_notice(DEADLINE).is_some_and(is_too_many) {}
    let asked = stuck.asked.load(Ordering::SeqCst);
    assert!((2..=8).contains(&asked), "{asked} were asked");
    *stuck.let_go.0.lock().unwrap() = true;
    stuck.let_go.1.notify_all();
    becomes_true(|| client.link_state() == LinkState::Up);
}

#[test]
fn core_messages_come_and_a_drain_loses_none_of_them() {
    let server = Server::start(ServerOptions::default());
    let client = blocking::connect(&server.url()).unwrap();
    let mut subscription = client.subscribe(Pattern::new("news.*").unwrap()).unwrap();
    assert_eq!(subscription.next(MOMENT), None);
    assert_eq!(subscription.end(), None);
    client.flush(DEADLINE).unwrap();
    let other = blocking::connect(&server.url()).unwrap();
    for number in 0..1000 {
        let payload = format!("{number}");
        other.publish(Subject::new("news.today").unwrap(), None, None, payload.as_bytes()).unwrap();
    }
    assert!(other.rtt(DEADLINE).unwrap() < DEADLINE);
    let reading = std::thread::spawn(move || {
        let read: Vec<_> = std::iter::from_fn(|| subscription.next(DEADLINE)).collect();
        (read, subscription.end())
    });
    client.drain(DEADLINE).unwrap();
    let (read, end) = reading.join().unwrap();
    assert!(read.iter().enumerate().all(|(number, received)| received.payload == number.to_string()));
    assert_eq!((read.len(), end), (1000, Some(SubscriptionEnd::Drained)));
    assert!(matches!(client.link_state(), LinkState::Closed(CloseReason::Requested)));
    let notices = std::iter::from_fn(|| client.next_link_notice(DEADLINE));
    assert_eq!(notices.last(), Some(LinkNotice::Closed(CloseReason::Requested)));
}

#[test]
fn a_peer_that_reads_nothing_keeps_no_timer_from_its_time() {
    let server = Server::start(ServerOptions::default());
    orders(&server);
    let mut options = options(&server.url());
    options.write_timeout = Duration::from_millis(500);
    options.ping_interval = Duration::from_millis(500);
    let client = Client::connect(options).unwrap();
    let options = PublisherOptions { in_flight_bytes_max: 64 << 20, ..PublisherOptions::stream("ORDERS") };
    let publisher = client.publisher(options).unwrap();
    // Each pass begins with one message alone; the rest may follow it.
    assert!(matches!(outcome(publish(&publisher, "probe", "x")), Outcome::Stored { .. }));
    server.stop();
    let large = vec![b'x'; 512 << 10];
    for number in 0..100 {
        let id = format!("id-{number}");
        let message = Message::new(Subject::new("orders.new").unwrap(), &large[..]).id(MsgId::new(&id).unwrap());
        publisher.try_publish(&message).expect("there is room");
    }
    let start = Instant::now();
    let lost = client.link_changed(&LinkState::Up, DEADLINE).expect("the link is given up");
    assert!(!matches!(lost, LinkState::Closed(_)));
    assert!(client.statistics().bytes_out > 1 << 20, "the socket is full");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    server.cont();
}

/// Alone in a process of their own, since they look at all of the process's threads.
#[cfg(target_os = "linux")]
mod threads {
    use super::*;

    /// What this file says of each of our threads.
    fn ours(file: &str) -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has it");
        let tasks = tasks.filter_map(|task| Some(task.ok()?.path()));
        let is_ours = |name: String| name.starts_with("natsink");
        let ours = tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(is_ours));
        ours.filter_map(|task| std::fs::read_to_string(task.join(file)).ok()).collect()
    }

    /// How often our threads were given the processor.
    fn turns() -> u64 {
        let count = |status: String| -> u64 {
            let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
            lines.filter_map(|line| line.rsplit('\t').next()?.parse::<u64>().ok()).sum()
        };
        ours("status").into_iter().map(count).sum()
    }

    fn resident_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it says so");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }

    #[test]
    #[ignore = "alone in its process: see the test that runs it"]
    fn end_with_their_clients_and_sleep_while_there_is_nothing_to_do() {
        let server = Server::start(ServerOptions::default());
        orders(&server);
        let sockets = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = sockets();
        for _ in 0..5 {
            let clients: Vec<_> = (0..20).map(|_| publisher(&server.url())).collect();
            assert_eq!(ours("comm").len(), 40);
            for (at, (client, publisher)) in clients.iter().enumerate() {
                let ack = publish(publisher, &format!("id-{at}"), "x");
                client.reconnect();
                drop(ack);
            }
            drop(clients);
            becomes_true(|| ours("comm").is_empty());
        }
        // A dial that leads nowhere, and a caller who does not wait for it.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        drop(Client::start(options(&silent.local_addr().unwrap().to_string())).unwrap());
        becomes_true(|| ours("comm").is_empty());
        drop(silent);
        assert_eq!(sockets(), before);

        // A thousand links, one after the other.
        let (client, publisher) = publisher(&server.url());
        assert!(matches!(outcome(publish(&publisher, "first", "x")), Outcome::Stored { .. }));
        let (sockets_before, kib_before) = (sockets(), resident_kib());
        for connects in 2..=1000 {
            client.reconnect();
            becomes_true(|| client.statistics().connects == connects);
        }
        assert!(matches!(outcome(publish(&publisher, "last", "x")), Outcome::Stored { .. }));
        becomes_true(|| ours("comm").len() == 2);
        assert_eq!(sockets(), sockets_before);
        let grown = resident_kib().saturating_sub(kib_before);
        assert!(grown < 4096, "{grown} KiB more after a thousand links");

        std::thread::sleep(MOMENT);
        let turns_before = turns();
        std::thread::sleep(3 * MOMENT);
        assert!(turns() - turns_before <= 4, "{} turns in a time of rest", turns() - turns_before);
    }

    #[test]
    fn do_as_they_should() {
        let itself = std::env::current_exe().unwrap();
        let name = "threads::end_with_their_clients_and_sleep_while_there_is_nothing_to_do";
        let words = ["--exact", name, "--ignored", "--quiet"];
        let output = std::process::Command::new(itself).args(words).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
    }
}

#[cfg(feature = "sink")]
#[test]
fn an_embedded_sink_stores_each_event_once_and_waits_at_its_end() {
    use natsink::sink::{Event, Op, Source};
    use natsink::{Delivered, SinkError, SinkOptions};

    let mut server = Server::start(ServerOptions::default());
    orders(&server);
    let client = blocking::connect(&server.url()).expect("a server");
    let options = SinkOptions::stream("shop", "orders.${source.table}", "ORDERS").expect("a subject");
    let sink = blocking::Sink::new(&client, options).expect("an open connection");
    assert_eq!(sink.verified(DEADLINE), Some(Ok(())));
    let event = |number| {
        let mut event = Event::new(Op::Create, Source::new("embedded", "shop", "new"));
        event.position = Some(number);
        event
    };
    assert_eq!(sink.send(&event(1)), Ok(Delivered::Stored { seq: 1 }));
    assert_eq!(sink.send(&event(1)), Ok(Delivered::Duplicate { seq: 1, verified: true }));
    let sending = std::thread::spawn({
        let (sink, events): (_, Vec<Event>) = (sink.clone(), (1..3000).map(event).collect());
        move || sink.send_batch(&events)
    });
    server.kill9();
    server.restart();
    assert!(sending.join().expect("no panic").is_delivered());
    assert_eq!(sink.close(DEADLINE), Some(Ok(())));
    assert!(matches!(sink.send(&event(9)), Err(SinkError::Closed(_))));
    assert_eq!(Raw::connect(&server.url()).stream_messages("ORDERS"), 2999);
}
