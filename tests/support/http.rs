//! The command's HTTP as clients see it: raw requests over a socket, and metrics as Prometheus's own parser reads them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::command::Run;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// What the log says where it listens.
const LISTENS: &str = "status, health and metrics: http://";

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Header lines, names in lower case.
    pub head: String,
    pub body: String,
}

/// Metrics, parsed.
#[derive(Clone, Debug)]
pub struct Metrics(pub Value);

/// Where the run listens, once it says so.
#[track_caller]
pub fn addr(run: &mut Run) -> SocketAddr {
    run.tells(LISTENS);
    let told = run.told();
    let rest = told.split_once(LISTENS).expect("just seen").1;
    rest.split(['/', '"']).next().and_then(|addr| addr.parse().ok()).expect("an address")
}

/// Asks for a page.
#[track_caller]
pub fn get(addr: SocketAddr, path: &str) -> Answer {
    send(addr, &format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n"))
}

/// Sends these bytes and reads the answer to its end.
#[track_caller]
pub fn send(addr: SocketAddr, request: &str) -> Answer {
    try_send(addr, request).expect("an answer")
}

/// The same; `None` where there is no answer that could be read.
pub fn try_send(addr: SocketAddr, request: &str) -> Option<Answer> {
    let mut socket = TcpStream::connect(addr).ok()?;
    socket.set_read_timeout(Some(DEADLINE)).ok()?;
    socket.write_all(request.as_bytes()).ok()?;
    let mut text = Vec::new();
    // A server that refuses what it did not read to its end may reset the connection behind its answer.
    let _ = socket.read_to_end(&mut text);
    let text = String::from_utf8(text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// The metrics of a run, checked by `scripts/metrics`.
#[track_caller]
pub fn metrics(addr: SocketAddr) -> Metrics {
    let answer = get(addr, "/metrics");
    assert!(answer.status == 200 && answer.head.contains("content-type: text/plain; version=0.0.4"), "{answer:?}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/metrics");
    let mut child = Command::new(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("scripts/metrics runs");
    let mut stdin = child.stdin.take().expect("piped");
    let text = answer.body.clone();
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()).expect("scripts/metrics reads"));
    let output = child.wait_with_output().expect("scripts/metrics ends");
    writing.join().expect("no writer panics");
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), answer.body);
    Metrics(serde_json::from_slice(&output.stdout).expect("JSON"))
}

impl Metrics {
    /// The one sample of this name that has these labels among its own.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self
            .0
            .as_object()
            .expect("families")
            .values()
            .flat_map(|family| family["samples"].as_array().expect("samples").iter());
        let mut found = samples
            .filter(|sample| sample[0] == name && labels.iter().all(|(label, value)| sample[1][*label] == *value));
        let value = found.next().unwrap_or_else(|| panic!("no sample {name} {labels:?}"))[2].as_f64();
        assert!(found.next().is_none(), "several samples {name} {labels:?}");
        value.expect("a number")
    }

    /// A whole number without further labels.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        self.value(name, &[]) as u64
    }
}
