//! The tests' own ground: servers that survive kill -9, a proxy that cuts to the byte, a reader that sees faults.

mod support;

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use support::proxy::Rules;
use support::reader::{self, Verdict};
use support::{Authority, Direction, Identity, Operator, Proxy, Raw, Server, ServerOptions, User};

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

#[test]
fn an_operators_users_are_let_in_until_they_expire_or_are_revoked() {
    let mut operator = Operator::new();
    let mut server = Server::start(ServerOptions::with_operator(&operator));
    let (ann, bob) = (operator.user("ann"), operator.user("bob"));
    let denied = operator.user_with("eve", json!({"pub": {"deny": ["orders.secret"]}}));
    let mut raw = Raw::connect_user(&server.address(), &ann);
    orders(&mut raw);
    publish_lines(&mut raw, &["one"]);
    assert_eq!(Raw::connect_user(&server.address(), &denied).stream_messages("ORDERS"), 1);
    let connects = |user: &User| std::panic::catch_unwind(|| Raw::connect_user(&server.address(), user)).is_ok();
    assert!(connects(&bob) && connects(&operator.renewed(&bob, None)));
    assert!(!connects(&Operator::new().user("stranger")));
    assert!(!connects(&operator.user_expired("late")));
    let mut brief = Raw::connect_user(&server.address(), &operator.user_for("brief", Duration::from_secs(2)));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| brief.next())).unwrap_err();
    assert!(ended.downcast_ref::<String>().unwrap().contains("User Authentication Expired"), "{ended:?}");
    operator.revoke(&bob);
    server.reload(&operator.config());
    let connects = |user: &User| std::panic::catch_unwind(|| Raw::connect_user(&server.address(), user)).is_ok();
    assert!(connects(&ann) && !connects(&bob));
    operator.pardon();
    server.reload(&operator.config());
    Raw::connect_user(&server.address(), &bob).flush();
}

#[test]
fn a_foreign_client_judges_the_certificates_as_they_are_meant() {
    let authority = Authority::new("ours");
    let mut server = Server::start(ServerOptions::default());
    for (identity, words) in [
        (authority.server(), "PONG"),
        (authority.server_named(&["elsewhere.example"]), "IP address mismatch"),
        (authority.server_named(&["localhost"]), "IP address mismatch"),
        (authority.server_named(&[]), "IP address mismatch"),
        (authority.server_expired(), "certificate has expired"),
        (authority.server_not_yet(), "certificate is not yet valid"),
        (authority.server_for_clients_only(), "certificate purpose"),
        (authority.server_self_signed(), "self-signed certificate"),
        (Authority::new("ours").server(), "certificate verify failed"),
    ] {
        server.restart_with(&identity.tls_block(""));
        let told = over_tls(&server, "later", &authority, None);
        assert!(told.contains(words), "{words}: {told}");
    }
    server.restart_with(&authority.server().tls_block(&format!("{}, handshake_first: true", authority.verify())));
    for (client, words) in [
        (Some(authority.client("ann")), "PONG"),
        (Some(Authority::new("theirs").client("ann")), "alert"),
        (None, "alert"),
    ] {
        let told = over_tls(&server, "first", &authority, client.as_ref());
        assert!(told.contains(words), "{words}: {told}");
    }
}

/// What Python's own TLS, trusting this authority, says to the server: its answer to PING, or the error.
fn over_tls(server: &Server, when: &str, authority: &Authority, client: Option<&Identity>) -> String {
    const SCRIPT: &str = "
import socket, ssl, sys
port, when, ca, *client = sys.argv[1:]
try:
    link = socket.create_connection(('127.0.0.1', int(port)), timeout=20)
    if when == 'later':
        while not link.recv(1) == b'\\n': pass
    context = ssl.create_default_context(cafile=ca)
    if client: context.load_cert_chain(*client)
    link = context.wrap_socket(link, server_hostname='127.0.0.1').makefile('rwb')
    link.write(b'CONNECT {\"verbose\":false}\\r\\nPING\\r\\n')
    link.flush()
    print(*(line.split()[0].decode() for line in (link.readline(), link.readline()) if line))
except OSError as problem:
    print(problem)
";
    let mut words = vec![server.port().to_string(), when.to_owned(), authority.ca_file().display().to_string()];
    words.extend(client.iter().flat_map(|client| [&client.cert, &client.key]).map(|path| path.display().to_string()));
    let out = std::process::Command::new("python3").args(["-c", SCRIPT]).args(words).output().expect("python3 runs");
    String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
}

#[test]
fn a_lame_duck_tells_its_clients_and_ends() {
    let config = support::server::LAME_DUCK.into();
    let mut server = Server::start(ServerOptions { config, monitor: true, ..ServerOptions::default() });
    assert_eq!(server.monitored("/varz").unwrap()["server_name"], server.name());
    let mut raw = Raw::connect(&server.url());
    server.lame_duck();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| raw.next())).unwrap_err();
    assert!(ended.downcast_ref::<&str>().is_some() || ended.downcast_ref::<String>().is_some());
    server.wait_end();
    assert!(!server.is_running() && server.monitored("/varz").is_none());
}
