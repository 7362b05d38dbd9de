//! The status over HTTP: figures that are true, readiness that is red when it must be, and guests that disturb nobody.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::command::{Place, events, until};
use support::http::{addr, get, metrics, send, try_send};

/// The memory of a process now, KiB.
fn rss_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

/// Whether it is ready, and what it says.
#[track_caller]
fn ready(at: SocketAddr) -> (bool, String) {
    let answer = get(at, "/readyz");
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    (answer.status == 200, answer.body)
}

#[track_caller]
fn turns(at: SocketAddr, green: bool, words: &str) {
    until(words, || {
        let (is_green, told) = ready(at);
        is_green == green && told.contains(words)
    });
    assert_eq!(get(at, "/healthz").status, 200, "the process lives");
}

#[track_caller]
fn settles(at: SocketAddr, read: u64) -> Value {
    let status = || serde_json::from_str::<Value>(&get(at, "/status").body).expect("JSON");
    until("all is settled and committed", || {
        let status = status();
        status["read"] == read
            && status["pending"] == 0
            && status["checkpoint"]["position"] == status["input"]["position"]
    });
    status()
}

#[test]
fn metrics_receipt_and_stream_agree() {
    let place = Place::new();
    let text = events(1000);
    let args = ["--input-id", "x", "--checkpoint", "c", "--dead-letter", "d", "--http", "127.0.0.1:0"];
    // Half of it is stored already.
    let half = events(500);
    place.pipe(&["--input-id", "x"], half.clone()).ends(0, [500, 500, 0, 0, 0, 0]);
    let mut run = place.start(&[&args[..], &["--from-start", "--pipeline", "natsink"]].concat());
    let at = addr(&mut run);
    run.write(text.clone() + "nonsense\n\nmore nonsense\n");
    let status = settles(at, 1003);
    let found = metrics(at);
    let sink = [("pipeline", "natsink"), ("sink", "nats")];
    assert_eq!(found.value("deltaforge_sink_events_total", &sink), 1000.0);
    assert_eq!(found.value("deltaforge_sink_latency_seconds_count", &sink), 1000.0);
    assert_eq!(found.value("deltaforge_sink_latency_seconds_bucket", &[("le", "+Inf")]), 1000.0);
    assert_eq!(found.value("deltaforge_stage_latency_seconds_count", &[("stage", "sink")]), 1000.0);
    assert!((1..=1003).contains(&found.count("deltaforge_sink_batch_total")));
    let read = (text.len() + "nonsense\n\nmore nonsense\n".len()) as u64;
    for name in ["deltaforge_checkpoint_position_bytes", "deltaforge_sink_position_bytes"] {
        assert_eq!(found.count(name), read, "{name}");
    }
    let ups = ["deltaforge_ready", "deltaforge_sink_link_up", "deltaforge_sink_stream_verified"];
    assert_eq!(ups.map(|name| found.count(name)), [1; 3]);
    let batches = status["batches"].as_u64();
    let ended = run.end();
    ended.ends(0, [1003, 500, 500, 2, 0, 1]);
    assert_eq!(batches, Some(found.count("deltaforge_sink_batch_total")));
    let pairs = [
        ("deltaforge_input_events_total", ended.count("read")),
        ("deltaforge_input_skipped_total", ended.count("skipped")),
        ("deltaforge_sink_events_total", ended.count("stored") + ended.count("duplicate")),
        ("deltaforge_sink_duplicates_total", ended.count("duplicate")),
        ("deltaforge_sink_unverified_duplicates_total", ended.count("unverified")),
        ("deltaforge_sink_dead_letters_total", ended.count("dead")),
        ("deltaforge_sink_replayed_total", ended.count("replayed")),
        ("deltaforge_sink_inversions_total", ended.count("inversions")),
        ("deltaforge_sink_reconnects_total", ended.count("reconnects")),
        ("deltaforge_sink_bytes_total", ended.count("bytes")),
        ("deltaforge_sink_pending_events", ended.count("pending")),
        ("deltaforge_sink_in_flight", 0),
        ("deltaforge_sink_gap_events_total", 0),
    ];
    for (name, counted) in pairs {
        assert_eq!(found.count(name), counted, "{name}");
    }
    assert_eq!(place.stored().len() as u64, found.count("deltaforge_sink_events_total"));
    assert_eq!(place.letters("d").len() as u64, found.count("deltaforge_sink_dead_letters_total"));
    let payload: usize = place.payloads().iter().map(String::len).sum();
    assert_eq!(payload as u64, found.count("deltaforge_sink_bytes_total"));
}

#[test]
fn each_sink_has_figures_of_its_own() {
    let place = Place::new();
    let url = place.server.url();
    // An optional sink whose server is not there, and a queue that is soon full.
    place.write(
        "natsink.yaml",
        format!(
            "pipeline: p\nin_flight: {{ max_events: 16 }}\ndead_letter: {{ path: dead }}\ncheckpoint: {{ path: c }}\n\
             source: {{ type: stdin, input_id: x }}\nhttp: {{ listen: 127.0.0.1:0 }}\nsinks:\n  \
             - {{ type: nats, config: {{ id: main, url: '{url}', stream: ORDERS, subject: orders.events }} }}\n  \
             - {{ type: nats, config: {{ id: far, url: 'nats://127.0.0.1:1', stream: ORDERS, subject: orders.far, \
             required: false, send_timeout_secs: 1 }} }}\n  \
             - {{ type: file, config: {{ id: copy, path: copy }} }}\n"
        ),
    );
    let mut run = place.start(&["-c", "natsink.yaml"]);
    let at = addr(&mut run);
    run.write(events(500));
    settles(at, 500);
    until("the copy is there", || metrics(at).value("deltaforge_sink_events_total", &[("sink", "copy")]) == 500.0);
    turns(at, true, "ready");
    let found = metrics(at);
    let of = |name: &str, sink: &str| found.value(name, &[("pipeline", "p"), ("sink", sink)]);
    let up = ["main", "far", "copy"].map(|sink| of("deltaforge_sink_link_up", sink));
    assert_eq!(up, [1.0, 0.0, 1.0]);
    let delivered = ["main", "far", "copy"].map(|sink| of("deltaforge_sink_events_total", sink));
    assert_eq!(delivered, [500.0, 0.0, 500.0]);
    assert_eq!(of("deltaforge_sink_latency_seconds_count", "copy"), 500.0);
    assert_eq!(found.count("deltaforge_stage_latency_seconds_count"), 500);
    assert!(of("deltaforge_sink_gap_events_total", "far") > 0.0);
    for sink in ["main", "far", "copy"] {
        let parts = ["events_total", "dead_letters_total", "gap_events_total", "pending_events"];
        let sum: f64 = parts.iter().map(|part| of(&format!("deltaforge_sink_{part}"), sink)).sum();
        assert_eq!(sum, 500.0, "{sink}");
    }
    let ended = run.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    let sinks = ended.receipt["sinks"].as_array().expect("sinks").iter();
    let stored: Vec<(&str, u64)> =
        sinks.map(|sink| (sink["id"].as_str().expect("an id"), sink["stored"].as_u64().expect("a count"))).collect();
    assert_eq!(stored, [("main", 500), ("far", 0), ("copy", 500)]);
    assert_eq!(place.stored().len(), 500);
    assert_eq!(place.read("copy"), events(500));
}

#[test]
fn latency_has_the_buckets_of_the_manual() {
    let place = Place::new();
    let mut run = place.start(&["--http", "127.0.0.1:0", "--pipeline", "a\"b\\c"]);
    let at = addr(&mut run);
    run.write(events(10));
    settles_without_checkpoint(at, 10);
    let found = metrics(at);
    for family in ["deltaforge_sink_latency_seconds", "deltaforge_stage_latency_seconds"] {
        let samples = found.0[family]["samples"].as_array().expect("samples");
        let bounds = samples.iter().filter_map(|sample| sample[1]["le"].as_str());
        let expected = "0.001 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 +Inf";
        assert_eq!(bounds.collect::<Vec<_>>().join(" "), expected);
        // Names are whatever the configuration allows: they are written so that a parser reads the same.
        assert!(samples.iter().all(|sample| sample[1]["pipeline"] == "a\"b\\c"), "{samples:?}");
    }
    run.end().ends(0, [10, 10, 0, 0, 0, 0]);
}

#[track_caller]
fn settles_without_checkpoint(at: SocketAddr, read: u64) {
    until("all is settled", || {
        let status: Value = serde_json::from_str(&get(at, "/status").body).expect("JSON");
        status["read"] == read && status["pending"] == 0
    });
}

#[test]
fn readiness_is_red_while_the_server_is_gone() {
    let mut place = Place::new();
    place.server.kill9();
    let mut run = place.start(&["--http", "127.0.0.1:0"]);
    let at = addr(&mut run);
    turns(at, false, "sink nats is not connected");
    place.server.restart();
    turns(at, true, "ready");
    run.write(events(10));
    settles_without_checkpoint(at, 10);
    place.server.kill9();
    turns(at, false, "cannot connect");
    let found = metrics(at);
    assert_eq!((found.count("deltaforge_ready"), found.count("deltaforge_sink_link_up")), (0, 0));
    let errors = |kind| found.value("deltaforge_sink_errors_total", &[("kind", kind)]);
    assert!(errors("link_lost") == 1.0 && errors("connect_failed") >= 1.0, "{found:?}");
    place.server.restart();
    turns(at, true, "ready");
    assert_eq!(metrics(at).count("deltaforge_sink_reconnects_total"), 1);
    run.end().ends(0, [10, 10, 0, 0, 0, 0]);
}

#[test]
fn readiness_is_red_when_nothing_moves_and_green_when_it_goes_on() {
    let place = Place::new();
    place.configure("http: { listen: 127.0.0.1:0 }", "send_timeout_secs: 1, batch_timeout_secs: 2");
    let mut run = place.start(&["-c", "natsink.yaml"]);
    let at = addr(&mut run);
    turns(at, true, "ready");
    // With nothing to deliver nothing has to move.
    place.server.stop();
    run.write(events(5));
    turns(at, false, "5 events are pending, and none was settled for");
    assert!(metrics(at).value("deltaforge_stalled_seconds", &[]) > 2.0);
    place.server.cont();
    turns(at, true, "ready");
    // Some may have been stored before the link was given up.
    let ended = run.end();
    ended.ends(0, [5, ended.count("stored"), 5 - ended.count("stored"), 0, 0, 0]);
}

#[test]
fn readiness_is_red_until_the_stream_is_verified() {
    let place = Place::new();
    // A server that lets everybody in, and answers nothing but a PING.
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("nats://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            thread::spawn(move || {
                let info = "INFO {\"headers\":true,\"max_payload\":1048576,\"jetstream\":true}\r\n";
                socket.write_all(info.as_bytes()).expect("it listens");
                let mut block = [0; 4096];
                while let Ok(read @ 1..) = socket.read(&mut block) {
                    let pings = block[..read].windows(6).filter(|bytes| bytes == b"PING\r\n").count();
                    if socket.write_all("PONG\r\n".repeat(pings).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let mut run = place.start(&["--http", "127.0.0.1:0", "--url", &url]);
    let at = addr(&mut run);
    turns(at, false, "sink nats waits for its stream to be verified");
    let found = metrics(at);
    assert_eq!((found.count("deltaforge_sink_link_up"), found.count("deltaforge_sink_stream_verified")), (1, 0));
    run.stop("INT").ends(130, [0; 6]);
}

#[test]
fn pages_are_for_programs_and_for_people() {
    let place = Place::new();
    let mut run = place.start(&["--http", "127.0.0.1:0", "--pipeline", "<b>shop</b>"]);
    let at = addr(&mut run);
    turns(at, true, "ready");
    let json = get(at, "/status");
    assert!(json.head.contains("content-type: application/json"), "{json:?}");
    assert_eq!(serde_json::from_str::<Value>(&json.body).expect("JSON")["pipeline"], "<b>shop</b>");
    let page = send(at, &format!("GET /status HTTP/1.1\r\nHost: {at}\r\nAccept: text/html,*/*;q=0.8\r\n\r\n"));
    assert!(page.head.contains("content-type: text/html") && page.body.contains("<!doctype html>"), "{page:?}");
    assert!(page.body.contains("&lt;b&gt;shop&lt;/b&gt;") && !page.body.contains("<b>shop"), "{}", page.body);
    // All it needs is in it.
    let elsewhere = ["http://www", "https://", "src=", "@import", "url("];
    assert!(!elsewhere.iter().any(|word| page.body.contains(word)), "{}", page.body);
    assert_eq!(get(at, "/status.html").status, 200);
    let head = send(at, &format!("HEAD /metrics HTTP/1.1\r\nHost: {at}\r\n\r\n"));
    assert!(head.status == 200 && head.body.is_empty() && head.head.contains("content-length: "), "{head:?}");
    assert_eq!(get(at, "/metrics/").status, 404);
    assert_eq!(get(at, "/../etc/passwd").status, 404);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let refused = send(at, &format!("{method} /metrics HTTP/1.1\r\nHost: {at}\r\nContent-Length: 0\r\n\r\n"));
        assert!(refused.status == 405 && refused.head.contains("allow: get, head"), "{method}: {refused:?}");
    }
    run.end().ends(0, [0; 6]);
}

#[test]
fn a_port_in_use_is_a_mistake_in_the_configuration() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let at = taken.local_addr().expect("bound").to_string();
    let ended = place.run(&["--http", &at]);
    ended.fails(78, "http", &["cannot listen for HTTP on", &at, "in use", "--http"]);
    // 192.0.2.0/24 is nobody's.
    place.run(&["--http", "192.0.2.1:9000"]).fails(78, "http", &["cannot listen for HTTP on 192.0.2.1:9000"]);
}

#[test]
fn it_listens_at_the_address_it_was_given_and_nowhere_else() {
    let place = Place::new();
    let answers_elsewhere = || {
        let mut run = place.start(&["--http", "127.0.0.2:0"]);
        let at = addr(&mut run);
        assert_eq!(get(at, "/healthz").status, 200);
        let answers = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], at.port()))).is_ok();
        run.end().ends(0, [0; 6]);
        answers
    };
    // Somebody else may have that port there once, and not three times.
    assert!((0..3).any(|_| !answers_elsewhere()), "it answers elsewhere");
}

#[test]
fn rude_guests_neither_hold_up_the_delivery_nor_fill_the_memory() {
    let place = Place::new();
    let text = events(20_000);
    place.write("in", &text);
    let mut run = place.start(&["--http", "127.0.0.1:0", "--input-id", "x"]);
    let at = addr(&mut run);
    run.write(events(100));
    settles_without_checkpoint(at, 100);
    let before = rss_kib(run.pid());
    // Connections that say nothing, that stop in the middle of a head, and that never end one.
    let mut guests: Vec<TcpStream> = (0..200).map_while(|_| TcpStream::connect(at).ok()).collect();
    for (number, guest) in guests.iter_mut().enumerate() {
        guest.set_nonblocking(true).expect("a socket");
        let _ = match number % 3 {
            0 => guest.write(b"GET /metrics HTTP/1.1\r\nHost: h\r\n"),
            1 => guest.write(&b"X: y\r\n".repeat(100_000)),
            _ => Ok(0),
        };
    }
    // They are shown out, and others get their turn.
    until("an answer", || get(at, "/healthz").status == 200);
    let long = |len| format!("GET /status HTTP/1.1\r\nHost: {at}\r\nX: {}\r\n\r\n", "y".repeat(len));
    assert_eq!(send(at, &long(1000)).status, 200);
    assert!(try_send(at, &long(1_000_000)).is_none_or(|answer| [400, 431].contains(&answer.status)));
    let many = "X: y\r\n".repeat(1000);
    let many = try_send(at, &format!("GET /status HTTP/1.1\r\nHost: {at}\r\n{many}\r\n"));
    assert!(many.is_none_or(|answer| [400, 431].contains(&answer.status)));
    // A body that is promised is not waited for.
    let promised = "GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n";
    assert_eq!(send(at, promised).status, 200);
    let _more: Vec<TcpStream> = (0..200).map_while(|_| TcpStream::connect(at).ok()).collect();
    let mut raw = place.raw();
    let began = Instant::now();
    run.write(&text[events(100).len()..]);
    run.until("all is stored", |_| raw.stream_messages("ORDERS") == 20_000);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let grown = rss_kib(run.pid()).saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more");
    run.end().ends(0, [20_000, 20_000, 0, 0, 0, 0]);
    place.holds_exactly("in");
}
