//! Private nats-server processes: a free loopback port and a store of their own, always killed and reaped.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::certs::Identity;
use super::jwt::Operator;

/// How long a server may take until it is ready, or until it ends.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// How long a monitoring page may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks at something that will change.
const LOOK: Duration = Duration::from_millis(5);
/// The log's words once a server listens.
const READY: &str = "Server is ready";
/// The log's words when a reload changes what cannot be changed.
const NOT_RELOADED: &str = "Failed to reload";
/// The log's words once a reload has been applied.
const RELOADED: &str = "Reloaded server configuration";
/// How often a first start may lose its port to someone else.
const PORT_TRIES: u32 = 10;

/// Configuration that lets a lame duck end in seconds; without it that takes minutes.
pub const LAME_DUCK: &str = "lame_duck_duration: 30s, lame_duck_grace_period: 1s";

/// What a private server is to be.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// JetStream with file storage in the server's own folder.
    pub jetstream: bool,
    /// `max_payload` in bytes; the server's own default when `None`.
    pub max_payload: Option<usize>,
    /// More of the configuration file, in its own language: `authorization { .. }`, `tls { .. }`, limits.
    pub config: String,
    /// `user:password` or a token, to put into [`Server::url`].
    pub credentials: Option<String>,
    /// Answers [`Server::monitored`].
    pub monitor: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { jetstream: true, max_payload: None, config: String::new(), credentials: None, monitor: false }
    }
}

impl ServerOptions {
    /// A server that lets in this user alone.
    pub fn with_user(user: &str, password: &str) -> Self {
        let config = format!("authorization {{ user: {user:?}, password: {password:?} }}");
        Self { config, credentials: Some(format!("{user}:{password}")), ..Self::default() }
    }

    /// A server that lets in this token alone.
    pub fn with_token(token: &str) -> Self {
        let config = format!("authorization {{ token: {token:?} }}");
        Self { config, credentials: Some(token.into()), ..Self::default() }
    }

    /// A server with a certificate, and more of its `tls` block: `verify: true`, `handshake_first: true`.
    pub fn with_tls(identity: &Identity, more: &str) -> Self {
        Self { config: identity.tls_block(more), ..Self::default() }
    }

    /// A server that trusts this operator's accounts and users, and nobody else.
    pub fn with_operator(operator: &Operator) -> Self {
        Self { config: operator.config(), ..Self::default() }
    }
}

/// A running (or, after a kill, not running) nats-server with its port and its store.
pub struct Server {
    child: Option<Child>,
    port: u16,
    monitor_port: u16,
    options: ServerOptions,
    dir: TempDir,
}

impl Server {
    /// Starts a server on a free port and waits until it is ready.
    pub fn start(options: ServerOptions) -> Self {
        let dir = tempfile::Builder::new().prefix("natsink-server-").tempdir().expect("a temporary folder");
        let mut server = Self { child: None, port: 0, monitor_port: 0, options, dir };
        for _ in 0..PORT_TRIES {
            server.port = free_port();
            server.monitor_port = free_port();
            server.spawn();
            if server.became_ready() {
                return server;
            }
            let lost_port = server.log().contains("address already in use");
            assert!(lost_port, "nats-server did not come up:\n{}", server.log());
        }
        panic!("no free port in {PORT_TRIES} tries");
    }

    /// `nats://` with the credentials of the options, if any.
    pub fn url(&self) -> String {
        let credentials = self.options.credentials.as_ref().map_or(String::new(), |words| format!("{words}@"));
        format!("nats://{credentials}{}", self.address())
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port alone, to be dialled under another name of loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's name, as INFO and the monitoring pages give it.
    pub fn name(&self) -> String {
        self.dir.path().file_name().expect("a folder has a name").to_string_lossy().into_owned()
    }

    /// The folder of the store.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Puts a file into the server's folder, which goes with the server: credentials, seeds, JWTs.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("the folder is ours");
        path
    }

    /// The process id of the running server.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Whether there is a process; one that has ended is reaped.
    pub fn is_running(&mut self) -> bool {
        let Some(child) = &mut self.child else { return false };
        let ended = child.try_wait().expect("a child can be asked").is_some();
        if ended {
            self.child = None;
        }
        !ended
    }

    /// `kill -9`, reaped.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child of ours can be killed");
            child.wait().expect("a killed child can be reaped");
        }
    }

    /// SIGTERM, and waits for the end of the process.
    pub fn sigterm(&mut self) {
        self.signal("TERM");
        let mut child = self.child.take().expect("the server runs");
        child.wait().expect("a child can be reaped");
    }

    /// Freezes the process: connections stay, nothing answers.
    pub fn stop(&self) {
        self.signal("STOP");
        let deadline = Instant::now() + READY_DEADLINE;
        while !self.is_stopped() {
            assert!(Instant::now() < deadline, "the server runs on");
            std::thread::sleep(LOOK);
        }
    }

    /// Lets a frozen process go on.
    pub fn cont(&self) {
        self.signal("CONT");
    }

    /// SIGUSR2: the server tells its clients, waits for the grace period, hangs up on them, and ends. See [`LAME_DUCK`].
    pub fn lame_duck(&self) {
        self.signal("USR2");
    }

    /// Waits until the process has ended by itself.
    pub fn wait_end(&mut self) {
        let deadline = Instant::now() + READY_DEADLINE;
        while self.is_running() {
            assert!(Instant::now() < deadline, "nats-server did not end:\n{}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    /// Starts again on the same port and store, and waits until it is ready.
    pub fn restart(&mut self) {
        self.kill9();
        self.spawn();
        assert!(self.became_ready(), "nats-server did not come back:\n{}", self.log());
    }

    /// Starts again with another extra configuration, for what a reload cannot change.
    pub fn restart_with(&mut self, config: &str) {
        self.options.config = config.into();
        self.restart();
    }

    /// Replaces the extra configuration and sends SIGHUP; returns when the server says that it reloaded.
    pub fn reload(&mut self, config: &str) {
        let before = self.log().matches(RELOADED).count();
        self.options.config = config.into();
        self.write_config();
        self.signal("HUP");
        self.until_log(RELOADED, before + 1);
    }

    /// Waits until the log has these words so many times.
    pub fn until_log(&self, words: &str, times: usize) {
        let deadline = Instant::now() + READY_DEADLINE;
        while self.log().matches(words).count() < times {
            assert!(!self.log().contains(NOT_RELOADED), "nats-server does not reload that:\n{}", self.log());
            assert!(Instant::now() < deadline, "no {words:?} from nats-server:\n{}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    /// A page of the monitoring port, such as `/varz` or `/connz?subs=1`; `None` when nobody answers.
    pub fn monitored(&self, page: &str) -> Option<Value> {
        assert!(self.options.monitor, "the server was started without `monitor`");
        let mut socket = TcpStream::connect(("127.0.0.1", self.monitor_port)).ok()?;
        socket.set_read_timeout(Some(ANSWER_DEADLINE)).ok()?;
        write!(socket, "GET {page} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// What the server has written to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &line]).status().expect("sh runs");
        assert!(status.success(), "{line} failed");
    }

    /// Whether each of its threads stands still, which they do a moment after the signal; where there is no telling, yes.
    fn is_stopped(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid())) else { return true };
        let mut stats = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok());
        stats.all(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")))
    }

    fn spawn(&mut self) {
        self.write_config();
        let child = Command::new(binary())
            .args([Path::new("-c"), &self.dir.path().join("server.conf")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server runs");
        self.child = Some(child);
    }

    fn write_config(&self) {
        let mut lines = vec![format!("listen: 127.0.0.1:{}", self.port), format!("server_name: {:?}", self.name())];
        lines.push(format!("log_file: {:?}", self.dir.path().join("log")));
        if self.options.monitor {
            lines.push(format!("http: 127.0.0.1:{}", self.monitor_port));
        }
        lines.extend(self.options.max_payload.map(|bytes| format!("max_payload: {bytes}")));
        if self.options.jetstream {
            lines.push(format!("jetstream {{ store_dir: {:?} }}", self.store()));
        }
        lines.push(self.options.config.clone());
        fs::write(self.dir.path().join("server.conf"), lines.join("\n")).expect("the folder is ours");
    }

    /// True when the server says that it is ready; false when its process ended first.
    fn became_ready(&mut self) -> bool {
        // A line of the log begins with the process id. A greeting would not do: with `handshake_first` there is none.
        let is_ready = format!("[{}] ", self.pid());
        let deadline = Instant::now() + READY_DEADLINE;
        while Instant::now() < deadline {
            if !self.is_running() {
                return false;
            }
            if self.log().lines().any(|line| line.starts_with(&is_ready) && line.ends_with(READY)) {
                return true;
            }
            std::thread::sleep(LOOK);
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("the end of the log of the server at {}:", self.address());
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The server's program, from `scripts/nats-server`, asked once per process.
fn binary() -> &'static Path {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/nats-server");
        let out = Command::new(&script).output().map_err(|error| format!("{}: {error}", script.display()))?;
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned());
        }
        Ok(PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()))
    });
    found.as_ref().unwrap_or_else(|problem| panic!("no nats-server for the tests: {problem}"))
}

/// A loopback port that nobody listens on. It lies below the ephemeral range, so that no outgoing connection takes
/// it while a server is down, and no client connects to itself.
pub fn free_port() -> u16 {
    loop {
        let draw = RandomState::new().build_hasher().finish();
        let port = 10_000 + u16::try_from(draw % 22_000).expect("below 22 000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
