//! What a service manager is told: readiness, a line of status and signs of life, as datagrams to `$NOTIFY_SOCKET`.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// Between two lines of status.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest line of status, characters.
const LINE_LEN_MAX: usize = 512;

/// The manager's socket, where there is one. Nothing here waits, and nothing fails: a manager that does not listen is its
/// own concern.
pub(crate) struct Notify {
    socket: Option<UnixDatagram>,
    /// How often a sign of life is due; `None` where none is wanted.
    alive_every: Option<Duration>,
    alive_at: Instant,
    line: String,
    line_at: Instant,
    is_ready: bool,
    is_stopping: bool,
}

impl Notify {
    /// As the environment says.
    pub(crate) fn from_env() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|path| connect(&path).ok());
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        // The word is for another process, such as a shell in between, where its id is named.
        let is_for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let micros = number("WATCHDOG_USEC").filter(|&micros| micros > 0 && is_for_us);
        let now = Instant::now();
        Self {
            socket,
            // Twice as often as it must be.
            alive_every: micros.map(|micros| Duration::from_micros(micros / 2)),
            alive_at: now,
            line: String::new(),
            line_at: now,
            is_ready: false,
            is_stopping: false,
        }
    }

    /// The stream is verified and events are read. Told once.
    pub(crate) fn ready(&mut self) {
        if !std::mem::replace(&mut self.is_ready, true) {
            self.send("READY=1");
        }
    }

    /// Nothing more is read. Told once.
    pub(crate) fn stopping(&mut self) {
        if !std::mem::replace(&mut self.is_stopping, true) {
            self.send("STOPPING=1");
        }
    }

    /// Credentials and certificates were read again.
    pub(crate) fn reloaded(&mut self) {
        if self.is_ready && !self.is_stopping {
            self.send("RELOADING=1");
            self.send("READY=1");
        }
    }

    /// The run loop turns, and this is how it goes.
    pub(crate) fn turned(&mut self, now: Instant, line: impl FnOnce() -> String) {
        if self.socket.is_none() {
            return;
        }
        if let Some(every) = self.alive_every
            && now >= self.alive_at
        {
            self.alive_at = now + every;
            self.send("WATCHDOG=1");
        }
        if now < self.line_at {
            return;
        }
        self.line_at = now + PAUSE;
        let line = line();
        let shown = line.chars().take(LINE_LEN_MAX).map(|char| if char.is_control() { ' ' } else { char });
        let line: String = shown.collect();
        if line != self.line {
            self.send(&format!("STATUS={line}"));
            self.line = line;
        }
    }

    fn send(&self, words: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(words.as_bytes());
        }
    }
}

fn connect(path: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match path.as_encoded_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt as _;
            socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
        }
        _ => socket.connect(path)?,
    }
    Ok(socket)
}
