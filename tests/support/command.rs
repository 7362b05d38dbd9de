//! The command `natsink` as people run it: from outside, with a deadline, judged by what it says and leaves behind.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Raw, Server, ServerOptions, reader};

/// How long anything may take that happens at all.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks at something that will change.
const LOOK: Duration = Duration::from_millis(2);

/// A server with the stream ORDERS on `orders.>`, and a folder for files, in which runs start.
pub struct Place {
    pub server: Server,
    folder: TempDir,
    runs: AtomicU32,
}

/// A run of the command. Dropped, it is killed.
pub struct Run {
    child: Child,
    pipe: Option<ChildStdin>,
    told: Arc<Mutex<String>>,
    listening: Option<JoinHandle<()>>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    receipt: PathBuf,
    checkpoint: Option<PathBuf>,
    started: Instant,
    gives_lines: bool,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; 128 and the signal's number where a signal ended it.
    pub code: i32,
    /// What stood on stderr.
    pub told: String,
    /// What stood on stdout: nothing, but where it is a sink.
    pub stdout: String,
    /// The receipt; null where there is none.
    pub receipt: Value,
    pub took: Duration,
}

/// A message of a stream, as nats-py reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    pub seq: u64,
    pub subject: String,
    pub id: String,
    pub payload: String,
    pub headers: Value,
}

impl Place {
    pub fn new() -> Self {
        let place = Self::without_stream(ServerOptions::default());
        place.create_stream(json!({}));
        place
    }

    pub fn without_stream(options: ServerOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { server: Server::start(options), folder, runs: AtomicU32::new(0) }
    }

    /// Makes the stream ORDERS on `orders.>`, with more of its configuration.
    pub fn create_stream(&self, mut config: Value) {
        config["name"] = config.get("name").cloned().unwrap_or(json!("ORDERS"));
        config["subjects"] = config.get("subjects").cloned().unwrap_or(json!(["orders.>"]));
        self.raw().create_stream(config);
    }

    pub fn raw(&self) -> Raw {
        Raw::connect(&self.server.url())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("the folder is ours");
    }

    pub fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let file = OpenOptions::new().append(true).open(self.path(name));
        file.and_then(|mut file| file.write_all(bytes.as_ref())).expect("the file is ours");
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8(fs::read(self.path(name)).expect("the file is there")).expect("it is text")
    }

    /// The file's lines as JSON.
    pub fn letters(&self, name: &str) -> Vec<Value> {
        self.read(name).lines().map(|line| serde_json::from_str(line).expect("a letter is JSON")).collect()
    }

    /// Where the checkpoint file says that the next run starts.
    pub fn position(&self, name: &str) -> u64 {
        position(&self.path(name)).expect("a checkpoint")
    }

    /// Writes `natsink.yaml` with these lines, and with a sink that has these members besides those it cannot do without.
    pub fn configure(&self, top: &str, sink: &str) {
        let url = if sink.contains("url:") { String::new() } else { format!("url: '{}', ", self.server.url()) };
        let sink = format!("{{ {url}stream: ORDERS, subject: orders.events, {sink} }}");
        self.write("natsink.yaml", format!("{top}\nsinks: [{{ type: nats, config: {sink} }}]\n"));
    }

    /// Starts `natsink run` with these further arguments. Server, stream and subject are those of the place where the
    /// arguments do not say else; there is always a receipt.
    pub fn start(&self, args: &[&str]) -> Run {
        self.start_in(args, &[])
    }

    /// The same with more of an environment.
    pub fn start_in(&self, args: &[&str], environment: &[(&str, &str)]) -> Run {
        let url = self.server.url();
        let mut words = vec!["run"];
        for (flag, value) in [("--url", url.as_str()), ("--stream", "ORDERS"), ("--subject", "orders.events")] {
            if !args.contains(&flag) && !args.contains(&"-c") {
                words.extend([flag, value]);
            }
        }
        self.spawn(&[words.as_slice(), args].concat(), environment)
    }

    /// Starts the command with these arguments and a receipt.
    pub fn start_bare(&self, args: &[&str]) -> Run {
        self.spawn(args, &[])
    }

    fn spawn(&self, args: &[&str], environment: &[(&str, &str)]) -> Run {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let receipt = self.path(&format!("receipt-{number}.json"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_natsink"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NATS_")) {
            command.env_remove(name);
        }
        command.envs(environment.iter().copied());
        command.current_dir(self.folder.path()).args(args).arg("--receipt").arg(&receipt);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command runs");
        let told = Arc::new(Mutex::new(String::new()));
        let (mut stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let heard = Arc::clone(&told);
        let value_of = |flag| args.iter().position(|arg| *arg == flag).and_then(|at| args.get(at + 1));
        Run {
            pipe: child.stdin.take(),
            child,
            told,
            listening: Some(thread::spawn(move || listen(stderr, &heard))),
            stdout: Some(thread::spawn(move || {
                let mut all = Vec::new();
                stdout.read_to_end(&mut all).expect("a pipe can be read");
                all
            })),
            receipt,
            checkpoint: value_of("--checkpoint").map(|name| self.path(name)),
            started: Instant::now(),
            gives_lines: false,
        }
    }

    /// Runs the command with an empty stdin.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.start(args).end()
    }

    /// Runs the command and pipes these bytes.
    pub fn pipe(&self, args: &[&str], bytes: impl Into<Vec<u8>>) -> Ended {
        let mut run = self.start(args);
        run.pipe_all(bytes);
        run.end()
    }

    /// All that the stream ORDERS holds, as nats-py reads it.
    pub fn stored(&self) -> Vec<Event> {
        self.stored_in("ORDERS")
    }

    pub fn stored_in(&self, stream: &str) -> Vec<Event> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let event = |message: Value| Event {
            seq: message["seq"].as_u64().expect("a sequence"),
            subject: text(&message["subject"]),
            id: text(&message["headers"]["Nats-Msg-Id"]),
            payload: text(message.get("payload").unwrap_or(&message["payload_base64"])),
            headers: message["headers"].clone(),
        };
        reader::dump(&self.server.url(), stream).into_iter().map(event).collect()
    }

    /// The payloads that the stream ORDERS holds, in its order.
    pub fn payloads(&self) -> Vec<String> {
        self.stored().into_iter().map(|event| event.payload).collect()
    }

    /// Says that the stream holds exactly the lines of this file, each once, in order, each with an id of its own.
    #[track_caller]
    pub fn holds_exactly(&self, name: &str) {
        let verdict = reader::verdict(&self.server.url(), "ORDERS", &self.path(name));
        assert!(verdict.is_exact(), "{verdict:?}");
    }
}

impl Run {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its stdout is a sink.
    pub fn gives_lines(mut self) -> Self {
        self.gives_lines = true;
        self
    }

    /// Writes into the pipe; the run must be reading.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let pipe = self.pipe.as_mut().expect("the pipe is open");
        pipe.write_all(bytes.as_ref()).and_then(|()| pipe.flush()).expect("the run reads");
    }

    /// Writes all of it in the background, as fast as the run reads, and closes the pipe.
    pub fn pipe_all(&mut self, bytes: impl Into<Vec<u8>>) {
        let (mut pipe, bytes) = (self.pipe.take().expect("the pipe is open"), bytes.into());
        // A run that fails does not read all of it.
        thread::spawn(move || drop(pipe.write_all(&bytes)));
    }

    /// Writes all of it in the background, and closes the pipe; gives how many bytes it has written so far.
    pub fn pipe_counted(&mut self, bytes: Vec<u8>) -> impl Fn() -> usize + use<> {
        let mut pipe = self.pipe.take().expect("the pipe is open");
        let written = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&written);
        thread::spawn(move || {
            for block in bytes.chunks(32 * 1024) {
                if pipe.write_all(block).is_err() {
                    return;
                }
                counted.fetch_add(block.len(), Ordering::Relaxed);
            }
        });
        move || written.load(Ordering::Relaxed)
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success(), "no signal {name}");
    }

    /// `kill -9`, reaped.
    pub fn kill9(mut self) {
        self.child.kill().expect("a child of ours can be killed");
        self.child.wait().expect("a killed child can be reaped");
    }

    /// What stood on stderr so far.
    pub fn told(&self) -> String {
        self.told.lock().expect("no listener panics").clone()
    }

    /// Waits until stderr has these words.
    #[track_caller]
    pub fn tells(&mut self, words: &str) {
        self.until(words, |run| run.told().contains(words));
    }

    /// Waits until it is so, while the run goes on.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        while !is_so(self) {
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none() || is_so(self), "the run ended before {what}:\n{}", self.told());
            assert!(self.started.elapsed() < DEADLINE, "not in time: {what}\n{}", self.told());
            thread::sleep(LOOK);
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// Sends a signal and waits for the end, with the pipe still open.
    #[track_caller]
    pub fn stop(self, signal: &str) -> Ended {
        self.signal(signal);
        self.ended()
    }

    /// Closes the pipe and waits for the end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        drop(self.pipe.take());
        self.ended()
    }

    /// Waits for the end; what must hold at every end is checked.
    #[track_caller]
    fn ended(mut self) -> Ended {
        let code = loop {
            match self.child.try_wait().expect("a child can be asked") {
                Some(status) => break status.code().unwrap_or_else(|| 128 + status.signal().expect("a signal")),
                None => assert!(self.started.elapsed() < DEADLINE, "the run does not end:\n{}", self.told()),
            }
            thread::sleep(LOOK);
        };
        let took = self.started.elapsed();
        let stdout = self.stdout.take().expect("joined once").join().expect("no reader panics");
        self.listening.take().expect("joined once").join().expect("no listener panics");
        let receipt =
            fs::read(&self.receipt).ok().map(|json| serde_json::from_slice(&json).expect("a receipt is JSON"));
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        assert!(self.gives_lines || stdout.is_empty(), "stdout is not empty: {stdout}");
        let ended = Ended { code, told: self.told(), stdout, receipt: receipt.unwrap_or(Value::Null), took };
        ended.check(self.checkpoint.as_deref());
        ended
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// What holds for every run, however it ended.
    #[track_caller]
    fn check(&self, checkpoint: Option<&Path>) {
        assert!(!self.told.contains("a fault in natsink itself"), "{self:?}");
        if self.receipt.is_null() {
            // Words that are no command line name no receipt.
            assert!(self.code == 64 && self.told.starts_with("error: "), "no receipt: {self:?}");
            return;
        }
        let counts = self.counts();
        assert_eq!(counts[0], counts[1..].iter().sum::<u64>(), "what was read is not what became of it: {self:?}");
        assert_eq!(self.receipt["exit"]["code"], self.code, "{self:?}");
        let message = self.receipt["exit"]["message"].as_str().expect("an exit has a message");
        assert!(!message.is_empty() && (self.code == 0 || self.told.contains(message)), "{self:?}");
        // Before the checkpoint is read, or where it cannot be, nobody knows where the next run starts.
        if let Some(position) = checkpoint.and_then(position)
            && self.count("read") > 0
        {
            assert_eq!(self.count("position"), position, "not the checkpoint's position: {self:?}");
        }
    }

    /// A number of the receipt.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        self.receipt[name].as_u64().unwrap_or_else(|| panic!("no count {name}: {self:?}"))
    }

    /// A sink's own part of the receipt.
    #[track_caller]
    pub fn sink(&self, id: &str) -> &Value {
        let sinks = self.receipt["sinks"].as_array().unwrap_or_else(|| panic!("no sinks: {self:?}"));
        sinks.iter().find(|sink| sink["id"] == id).unwrap_or_else(|| panic!("no sink {id}: {self:?}"))
    }

    /// read, stored, duplicate, dead, gap, pending, skipped of a sink, which add up.
    #[track_caller]
    pub fn counts_of(&self, id: &str) -> [u64; 7] {
        let counts = ["read", "stored", "duplicate", "dead", "gap", "pending", "skipped"];
        let counts = counts.map(|name| self.sink(id)[name].as_u64().unwrap_or_else(|| panic!("no {name}: {self:?}")));
        assert_eq!(counts[0], counts[1..].iter().sum::<u64>(), "{id}: {self:?}");
        counts
    }

    /// read, stored, duplicate, dead, pending, skipped.
    pub fn counts(&self) -> [u64; 6] {
        ["read", "stored", "duplicate", "dead", "pending", "skipped"].map(|name| self.count(name))
    }

    /// Says how it ended, and what it had read, stored, known already, given up, left and skipped.
    #[track_caller]
    pub fn ends(&self, code: i32, counts: [u64; 6]) -> &Self {
        assert_eq!((self.code, self.counts()), (code, counts), "{self:?}");
        self
    }

    /// Says that it failed in this way, and told a person these words.
    #[track_caller]
    pub fn fails(&self, code: i32, kind: &str, words: &[&str]) -> &Self {
        assert_eq!((self.code, self.receipt["exit"]["kind"].as_str()), (code, Some(kind)), "{self:?}");
        self.says(words)
    }

    /// Says that stderr has these words.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> &Self {
        for words in words {
            assert!(self.told.contains(words), "does not say {words:?}: {}", self.told);
        }
        self
    }
}

/// Waits until it is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        thread::sleep(LOOK);
    }
}

/// `count` different events, one a line.
pub fn events(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        writeln!(text, r#"{{"op":"c","source":{{"table":"orders"}},"after":{{"id":{number},"text":"{number:064}"}}}}"#)
            .expect("a String grows");
        text
    })
}

/// Where a checkpoint file says that the next run starts, if it is one.
fn position(path: &Path) -> Option<u64> {
    let checkpoint: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    checkpoint["state"]["input"]["position"].as_u64()
}

fn listen(mut stderr: impl Read, told: &Mutex<String>) {
    let mut block = [0; 4096];
    let mut unfinished = Vec::new();
    while let Ok(read @ 1..) = stderr.read(&mut block) {
        unfinished.extend_from_slice(&block[..read]);
        let whole = unfinished.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = unfinished.drain(..whole).collect();
        told.lock().expect("no reader panics").push_str(&String::from_utf8(lines).expect("stderr is UTF-8"));
    }
    told.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&unfinished));
}
