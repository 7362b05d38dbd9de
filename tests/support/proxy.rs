//! A TCP proxy on loopback that slows, delays, holds, half-closes and cuts what passes through it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Which way bytes travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Bytes per second; no limit when `None`.
    pub rate: Option<u64>,
    /// How long every byte travels.
    pub delay: Duration,
    /// Nothing passes until this is false again: a black hole that may end.
    pub hold: bool,
    /// After exactly so many more bytes both sockets of the connection close; then the rule is gone.
    pub cut_after: Option<u64>,
}

/// A running proxy. Dropped, it cuts what is open and stops.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    rules: [Rules; 2],
    forwarded: [u64; 2],
    links: Vec<Link>,
    accepted: u64,
    closing: bool,
}

/// The two sockets of one connection, indexed by the direction that writes to them.
struct Link([TcpStream; 2]);

impl Link {
    fn cut(&self) {
        self.0.iter().for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
    }
}

impl Proxy {
    /// Listens on a free port and forwards to `upstream`, `host:port`.
    pub fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let (accepting, upstream) = (Arc::clone(&shared), upstream.to_owned());
        let listening = Some(thread::spawn(move || accept_all(&listener, &upstream, &accepting)));
        Self { port, shared, listening }
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Replaces the rules of one direction, for connections open now and later.
    pub fn set(&self, direction: Direction, rules: Rules) {
        self.shared.lock().rules[direction as usize] = rules;
        self.shared.changed.notify_all();
    }

    /// Closes all open connections now, both sockets.
    pub fn cut(&self) {
        self.shared.lock().links.drain(..).for_each(|link| link.cut());
    }

    /// Ends one direction of all open connections; the other goes on.
    pub fn half_close(&self, direction: Direction) {
        let state = self.shared.lock();
        state.links.iter().for_each(|link| drop(link.0[direction as usize].shutdown(Shutdown::Write)));
    }

    /// How many connections came in so far.
    pub fn accepted(&self) -> u64 {
        self.shared.lock().accepted
    }

    /// How many bytes passed in this direction so far.
    pub fn forwarded(&self, direction: Direction) -> u64 {
        self.shared.lock().forwarded[direction as usize]
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        self.cut();
        let _ = TcpStream::connect(self.address());
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the proxy panics with the lock")
    }

    /// Waits while the direction is held; the rules then, or `None` when the proxy stops.
    fn rules(&self, direction: Direction) -> Option<Rules> {
        let held = |state: &mut State| state.rules[direction as usize].hold && !state.closing;
        let state = self.changed.wait_while(self.lock(), held).expect("no thread of the proxy panics with the lock");
        (!state.closing).then(|| state.rules[direction as usize])
    }

    /// Counts bytes that are on their way; true when the link is to be cut behind them.
    fn count(&self, direction: Direction, bytes: u64) -> bool {
        let mut state = self.lock();
        state.forwarded[direction as usize] += bytes;
        let Some(left) = &mut state.rules[direction as usize].cut_after else { return false };
        *left -= bytes;
        let cut = *left == 0;
        if cut {
            state.rules[direction as usize].cut_after = None;
        }
        cut
    }
}

fn accept_all(listener: &TcpListener, upstream: &str, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        if shared.lock().closing {
            return;
        }
        // With nobody upstream the client's socket is dropped, which is what it would see without a proxy, later.
        let Ok(server) = TcpStream::connect(upstream) else { continue };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let copy = |socket: &TcpStream| socket.try_clone().expect("a socket can be cloned");
        let mut state = shared.lock();
        state.accepted += 1;
        state.links.push(Link([copy(&server), copy(&client)]));
        pump(Direction::ToServer, copy(&client), copy(&server), shared);
        pump(Direction::ToClient, server, client, shared);
    }
}

/// Forwards one direction on two threads: one reads, one waits, writes and counts.
fn pump(direction: Direction, mut from: TcpStream, to: TcpStream, shared: &Arc<Shared>) {
    let (sender, receiver) = sync_channel::<(Instant, Vec<u8>)>(64);
    let shared = Arc::clone(shared);
    let source = from.try_clone().expect("a socket can be cloned");
    thread::spawn(move || read_all(&mut from, &sender));
    thread::spawn(move || {
        if write_all(direction, &to, &receiver, &shared).is_none() {
            Link([source, to]).cut();
        } else {
            let _ = to.shutdown(Shutdown::Write);
        }
    });
}

fn read_all(from: &mut TcpStream, sender: &SyncSender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if sender.send((Instant::now(), buffer[..read].to_vec())).is_err() {
            return;
        }
    }
}

/// `None` when the link is to be cut, `Some` when the source ended.
fn write_all(
    direction: Direction,
    mut to: &TcpStream,
    receiver: &Receiver<(Instant, Vec<u8>)>,
    shared: &Shared,
) -> Option<()> {
    for (read_at, chunk) in receiver {
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            let rules = shared.rules(direction)?;
            thread::sleep((read_at + rules.delay).saturating_duration_since(Instant::now()));
            let slice = rules.rate.map_or(u64::MAX, |rate| (rate / 20).max(1));
            let size = slice.min(rules.cut_after.unwrap_or(u64::MAX)).min(rest.len() as u64);
            let (now, later) = rest.split_at(usize::try_from(size).expect("no longer than the rest"));
            let cut = shared.count(direction, size);
            to.write_all(now).ok()?;
            if cut {
                return None;
            }
            rules.rate.inspect(|&rate| thread::sleep(Duration::from_secs_f64(size as f64 / rate as f64)));
            rest = later;
        }
    }
    Some(())
}
