//! The tests' own ground: servers that survive kill -9, a proxy that cuts to the byte, a reader that sees faults.

mod support;

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use support::proxy::Rules;
use support::reader::{self, Verdict};
use support::{Direction, Proxy, Raw, Server, ServerOptions};

fn publish_lines(raw: &mut Raw, lines: &[&str]) {
    for (at, line) in lines.iter().enumerate() {
        let ack = raw.publish("orders.all", &[("Nats-Msg-Id", &format!("id-{at}"))], line.as_bytes());
        assert_eq!(ack["stream"], "ORDERS", "{ack}");
    }
}

fn file_of(lines: &[&str]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    lines.iter().for_each(|line| writeln!(file, "{line}").expect("a file of ours"));
    file
}

fn orders(raw: &mut Raw) {
    raw.create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
}

#[test]
fn a_killed_server_keeps_its_stream() {
    let mut server = Server::start(ServerOptions::default());
    let mut raw = Raw::connect(&server.url());
    orders(&mut raw);
    publish_lines(&mut raw, &["one", "two"]);
    server.kill9();
    assert!(std::net::TcpStream::connect(server.address()).is_err());
    server.restart();
    let mut raw = Raw::connect(&server.url());
    let stored = raw.stored("ORDERS");
    let seen: Vec<_> = stored.iter().map(|m| (m.seq, m.id().unwrap(), m.payload.as_slice())).collect();
    assert_eq!(seen, [(1, "id-0", b"one".as_slice()), (2, "id-1", b"two".as_slice())]);
    server.sigterm();
}

#[test]
fn credentials_and_reload_work() {
    let mut server = Server::start(ServerOptions::with_user("ann", "secret"));
    let url = server.url();
    Raw::connect(&url).flush();
    let stranger = std::panic::catch_unwind(|| Raw::connect(&url.replace("secret", "wrong")));
    assert!(stranger.is_err());
    server.reload("authorization { user: ann, password: other }");
    let refused = std::panic::catch_unwind(|| Raw::connect(&url));
    assert!(refused.is_err());
    let token = Server::start(ServerOptions::with_token("t0ken"));
    Raw::connect(&token.url()).flush();
}

#[test]
fn a_stopped_server_answers_after_it_goes_on() {
    let server = Server::start(ServerOptions::default());
    let mut raw = Raw::connect(&server.url());
    server.stop();
    let before = Instant::now();
    std::thread::scope(|scope| {
        let flushed = scope.spawn(|| {
            raw.flush();
            before.elapsed()
        });
        std::thread::sleep(Duration::from_millis(200));
        server.cont();
        assert!(flushed.join().unwrap() >= Duration::from_millis(200));
    });
}

#[test]
fn the_reader_sees_what_was_published_and_every_fault() {
    let server = Server::start(ServerOptions::default());
    let mut raw = Raw::connect(&server.url());
    orders(&mut raw);
    publish_lines(&mut raw, &["a", "c", "b", "b", "d", "x"]);
    let (url, exact) = (server.url(), file_of(&["a", "b", "c", "d", "e"]));
    let found = reader::verdict(&url, "ORDERS", exact.path());
    let expected =
        Verdict { messages: 6, lost: 1, duplicated: 1, out_of_order: 1, altered: 1, first_seq: 1, last_seq: 6 };
    assert_eq!(found, expected);
    let dump = reader::dump(&url, "ORDERS");
    assert_eq!(dump[2]["seq"], 3);
    assert_eq!(dump[2]["subject"], "orders.all");
    assert_eq!(dump[2]["headers"]["Nats-Msg-Id"], "id-2");
    assert_eq!(dump[2]["payload"], "b");
}

#[test]
fn the_reader_is_content_with_an_exact_stream() {
    let server = Server::start(ServerOptions::default());
    let mut raw = Raw::connect(&server.url());
    orders(&mut raw);
    publish_lines(&mut raw, &["a", "b", "c"]);
    let verdict = reader::verdict(&server.url(), "ORDERS", file_of(&["a", "b", "c"]).path());
    assert!(verdict.is_exact(), "{verdict:?}");
    assert_eq!(verdict.messages, 3);
}

#[test]
fn the_proxy_cuts_to_the_byte() {
    let server = Server::start(ServerOptions::default());
    let proxy = Proxy::start(&server.address());
    let mut raw = Raw::connect(&proxy.url());
    orders(&mut raw);
    let already = proxy.forwarded(Direction::ToServer);
    // `PUB orders.a 1\r\nx\r\n` is 19 bytes: the cut comes one byte before the second is whole.
    proxy.set(Direction::ToServer, Rules { cut_after: Some(37), ..Rules::default() });
    raw.send("orders.a", None, &[], b"x");
    raw.send("orders.a", None, &[], b"y");
    let hung_up = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| raw.flush()));
    assert!(hung_up.is_err());
    assert_eq!(proxy.forwarded(Direction::ToServer) - already, 37);
    let mut raw = Raw::connect(&proxy.url());
    assert_eq!(raw.stored("ORDERS").len(), 1);
    assert_eq!(proxy.accepted(), 2);
}

#[test]
fn the_proxy_slows_delays_and_holds() {
    let server = Server::start(ServerOptions::default());
    let proxy = Proxy::start(&server.address());
    let mut raw = Raw::connect(&proxy.url());
    let mut time = |rules: Rules, payload: usize| {
        proxy.set(Direction::ToServer, rules);
        let before = Instant::now();
        raw.send("core", None, &[], &vec![b'x'; payload]);
        raw.flush();
        before.elapsed()
    };
    assert!(time(Rules { rate: Some(10_000), ..Rules::default() }, 4_000) > Duration::from_millis(300));
    assert!(time(Rules { delay: Duration::from_millis(200), ..Rules::default() }, 10) >= Duration::from_millis(200));
    proxy.set(Direction::ToServer, Rules { hold: true, ..Rules::default() });
    let before = proxy.forwarded(Direction::ToServer);
    std::thread::scope(|scope| {
        let flushed = scope.spawn(|| raw.flush());
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(proxy.forwarded(Direction::ToServer), before);
        proxy.set(Direction::ToServer, Rules::default());
        flushed.join().unwrap();
    });
}
