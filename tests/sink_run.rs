//! The command on a real server: what arrives, under which ids, and where the next run begins.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::{Raw, Server, ServerOptions};

/// A server with the stream ORDERS, and a folder for files.
struct Place {
    server: Server,
    raw: Raw,
    folder: tempfile::TempDir,
}

/// How a run ended, and its receipt.
struct Ran {
    code: i32,
    receipt: Value,
    told: String,
}

impl Place {
    fn new() -> Self {
        let server = Server::start(ServerOptions::default());
        let mut raw = Raw::connect(&server.url());
        raw.create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
        Self { server, raw, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn append(&self, name: &str, text: &str) {
        OpenOptions::new().append(true).open(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Runs the command in the folder with these further arguments.
    fn run(&self, args: &[&str], piped: &[u8]) -> Ran {
        let mut run = Command::new(env!("CARGO_BIN_EXE_natsink"));
        run.current_dir(self.folder.path()).env_remove("NATS_USER").env_remove("NATS_PASSWORD");
        run.args(["run", "--url", &self.server.url(), "--stream", "ORDERS", "--receipt", "receipt.json"]);
        if !args.contains(&"--subject") {
            run.args(["--subject", "orders.events"]);
        }
        run.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = run.spawn().unwrap();
        // A run that fails at once does not read what is piped.
        let _ = child.stdin.take().unwrap().write_all(piped);
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let receipt = fs::read(self.path("receipt.json")).unwrap();
        fs::remove_file(self.path("receipt.json")).unwrap();
        let told = String::from_utf8(stderr).unwrap();
        Ran { code: status.code().unwrap(), receipt: serde_json::from_slice(&receipt).unwrap(), told }
    }

    /// All messages of the stream as subject, id and payload.
    fn stored(&mut self) -> Vec<(String, String, String)> {
        let stored = self.raw.stored("ORDERS");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        stored
            .iter()
            .map(|message| (message.subject.clone(), message.id().unwrap().into(), text(&message.payload)))
            .collect()
    }

    fn payloads(&mut self) -> Vec<String> {
        self.stored().into_iter().map(|(_, _, payload)| payload).collect()
    }
}

impl Ran {
    #[track_caller]
    fn counts(&self, code: i32, read: u64, stored: u64, duplicate: u64, dead: u64, pending: u64) -> &Self {
        let count = |name: &str| self.receipt[name].as_u64().unwrap();
        let found = (self.code, count("read"), count("stored"), count("duplicate"), count("dead"), count("pending"));
        assert_eq!(found, (code, read, stored, duplicate, dead, pending), "{}\n{}", self.told, self.receipt);
        self
    }
}

#[test]
fn events_arrive_as_they_were_and_routing_is_obeyed() {
    let mut place = Place::new();
    let source = r#""source":{"connector":"pg","db":"d","schema":"s","table":"orders","lsn":7,"txId":1}"#;
    let numbers = r#""after":{"total":12345678901234567890.123456789,"e":1e400}"#;
    let place_in_log = r#""transaction":{"id":"1","total_order":1}"#;
    let whole = format!("{{\"op\":\"c\",{source},{place_in_log},{numbers}}}");
    let routed = format!("{{\"op\":\"u\",{source},\"routing\":{{\"topic\":\"orders.vip\"}},{numbers}}}");
    let raw = format!("{{\"op\":\"u\",{source},\"routing\":{{\"raw_payload\":true}},\"after\":{{ \"a\":1.0 }}}}\r");
    let text = format!("{whole}\n\n{routed}\n{raw}\n");
    let args = ["--subject", "orders.${source.table}.${op}", "--pipeline", "shop", "--input-id", "x"];
    place.run(&args, text.as_bytes()).counts(0, 4, 3, 0, 0, 0);
    let position = whole.len() + 2;
    let event = |subject: &str, id: &str, payload: String| (subject.to_owned(), id.to_owned(), payload);
    let expected = [
        event("orders.orders.c", "shop|pg|d.s.orders|7,1,1", whole),
        event("orders.vip", &format!("shop|x:{position}"), format!("{{\"op\":\"u\",{source},{numbers}}}")),
        event("orders.orders.u", &format!("shop|x:{}", position + routed.len() + 1), "{ \"a\":1.0 }".into()),
    ];
    assert_eq!(place.stored(), expected);
}

#[test]
fn a_file_is_continued_where_it_was_left() {
    let mut place = Place::new();
    place.write("in", "{\"n\":1}\n{\"n\":2}\n");
    let args = ["--format", "json", "--input", "in", "--checkpoint", "c"];
    place.run(&args, b"").counts(0, 2, 2, 0, 0, 0);
    place.run(&args, b"").counts(0, 0, 0, 0, 0, 0);
    place.append("in", "{\"n\":3}\n{\"n\":4}");
    place.run(&args, b"").counts(0, 2, 2, 0, 0, 0);
    // Rotated, and a new file with the same beginning.
    place.append("in", "\n{\"n\":5}\n");
    fs::rename(place.path("in"), place.path("in.1")).unwrap();
    place.write("in", "{\"n\":1}\n{\"n\":6}\n");
    place.run(&args, b"").counts(0, 4, 3, 0, 0, 0);
    // Truncated.
    place.write("in", "{\"n\":7}\n");
    place.run(&args, b"").counts(0, 1, 1, 0, 0, 0);
    let numbers: Vec<String> = [1, 2, 3, 4, 5, 1, 6, 7].map(|n| format!("{{\"n\":{n}}}")).into();
    assert_eq!(place.payloads(), numbers);
}

#[test]
fn a_file_without_checkpoint_is_the_same_input_again() {
    let mut place = Place::new();
    place.write("in", "a\nb\n");
    place.write("copy", "a\nb\n");
    let run = |place: &Place, file: &str| place.run(&["--format", "lines", "--input", file], b"");
    run(&place, "in").counts(0, 2, 2, 0, 0, 0);
    place.append("in", "c\n");
    run(&place, "in").counts(0, 3, 1, 2, 0, 0);
    run(&place, "copy").counts(0, 2, 2, 0, 0, 0);
    assert_eq!(place.payloads(), ["a", "b", "c", "a", "b"]);
}

#[test]
fn two_pipes_never_collide_and_a_named_one_is_known_again() {
    let mut place = Place::new();
    let lines = ["--format", "lines"];
    place.run(&lines, b"a\n").counts(0, 1, 1, 0, 0, 0);
    place.run(&lines, b"a\n").counts(0, 1, 1, 0, 0, 0);
    let named = ["--format", "lines", "--input-id", "nightly"];
    place.run(&named, b"x\ny\n").counts(0, 2, 2, 0, 0, 0);
    place.run(&named, b"x\ny\nz\n").counts(0, 3, 1, 2, 0, 0);
    assert_eq!(place.payloads(), ["a", "a", "x", "y", "z"]);
}

#[test]
fn a_pipe_goes_on_behind_the_bytes_it_brought_before() {
    let mut place = Place::new();
    let args = ["--format", "lines", "--input-id", "nightly", "--checkpoint", "c"];
    place.run(&args, b"one\ntwo\n").counts(0, 2, 2, 0, 0, 0);
    place.run(&args, b"one\ntwo\nthree\n").counts(0, 1, 1, 0, 0, 0);
    let other = place.run(&args, b"one\nTwo\nthree\nfour\n");
    other.counts(65, 0, 0, 0, 0, 0);
    assert!(other.told.contains("nothing was sent"), "{}", other.told);
    place.run(&args, b"one\n").counts(65, 0, 0, 0, 0, 0);
    place.run(&args, b"one\ntwo\nthree\nfour\n").counts(0, 1, 1, 0, 0, 0);
    assert_eq!(place.payloads(), ["one", "two", "three", "four"]);
    // The checkpoint is that pipe's, and that pipeline's.
    let wrong = place.run(&["--format", "lines", "--input-id", "other", "--checkpoint", "c"], b"one\n");
    wrong.counts(78, 0, 0, 0, 0, 0);
    let wrong = place.run(&["--pipeline", "p", "--format", "lines", "--input-id", "nightly", "--checkpoint", "c"], b"");
    wrong.counts(78, 0, 0, 0, 0, 0);
    place.run(&["--format", "lines", "--checkpoint", "c"], b"one\n").counts(64, 0, 0, 0, 0, 0);
}

#[test]
fn a_bad_event_is_a_dead_letter_or_stops_the_run() {
    let mut place = Place::new();
    let long = "x".repeat(2_000_000);
    let text = format!(
        "{{\"t\":\"a\"}}\n{{\"t\":\n{{}}\n{{\"t\":\"a b\"}}\n{{\"t\":\"x\\r\\nPUB y\"}}\n{{\"t\":\"a\",\"pad\":\"{long}\"}}\n{{\"t\":\"b\"}}\n"
    );
    place.write("in", &text);
    let args = ["--format", "json", "--subject", "orders.${t}", "--input", "in"];
    let stopped = place.run(&args, b"");
    stopped.counts(65, 2, 1, 0, 0, 1);
    assert_eq!(stopped.receipt["position"], 10);
    assert!(stopped.told.contains("line 2"), "{}", stopped.told);
    let mut kept = args.to_vec();
    kept.extend(["--dead-letter", "dead"]);
    place.run(&kept, b"").counts(0, 7, 1, 1, 5, 0);
    let letters = fs::read_to_string(place.path("dead")).unwrap();
    let letters: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<&str> = text.lines().collect();
    let mut payloads: Vec<&str> = letters.iter().map(|letter| letter["payload"].as_str().unwrap()).collect();
    payloads.sort_by_key(|payload| lines.iter().position(|line| line == payload));
    assert_eq!(payloads, lines[1..6]);
    assert_eq!(place.payloads(), [lines[0], lines[6]]);
    kept.push("--strict-input");
    place.run(&kept, b"").counts(65, 7, 0, 2, 5, 0);
}

#[test]
fn one_id_for_two_payloads_is_no_duplicate() {
    let mut place = Place::new();
    let args = ["--format", "json", "--id", "${id}", "--dead-letter", "dead"];
    place.run(&args, b"{\"id\":1,\"v\":\"a\"}\n").counts(0, 1, 1, 0, 0, 0);
    place.run(&args, b"{\"id\":1,\"v\":\"a\"}\n{\"id\":1,\"v\":\"b\"}\n{\"id\":\"\"}\n").counts(0, 3, 0, 1, 2, 0);
    assert_eq!(place.payloads(), ["{\"id\":1,\"v\":\"a\"}"]);
    let letters = fs::read_to_string(place.path("dead")).unwrap();
    assert!(letters.contains("id collision") && letters.contains("no id: id is empty"), "{letters}");
}

#[test]
fn a_purged_event_is_a_duplicate_that_nobody_can_verify() {
    let mut place = Place::new();
    place.write("in", "a\nb\n");
    let args = ["--format", "lines", "--input", "in"];
    place.run(&args, b"").counts(0, 2, 2, 0, 0, 0);
    place.raw.api("STREAM.PURGE.ORDERS", &json!({}));
    let again = place.run(&args, b"");
    again.counts(0, 2, 0, 2, 0, 0);
    assert_eq!(again.receipt["unverified"], 2);
}

#[test]
fn events_that_steer_the_server_are_refused() {
    let mut place = Place::new();
    let event = |routing: Value| json!({"op": "c", "source": {}, "routing": routing}).to_string() + "\n";
    let text = [
        event(json!({"topic": "$JS.API.STREAM.DELETE.ORDERS"})),
        event(json!({"topic": "_INBOX.x"})),
        event(json!({"topic": "elsewhere"})),
        event(json!({"headers": {"Nats-Rollup": "all"}})),
        event(json!({"topic": "orders.good"})),
    ];
    let ran = place.run(&["--dead-letter", "dead"], text.concat().as_bytes());
    ran.counts(0, 5, 1, 0, 4, 0);
    assert_eq!(place.stored()[0].0, "orders.good");
}
