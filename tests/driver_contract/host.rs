//! The strict model server of the simulations, on a real socket: what the drivers with sockets are tried against.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Instant as StdInstant;

use natsink::sim::{ConnectionId, Server};
use natsink::time::Instant;

/// A model server that listens. Dropped, it hangs up on everybody.
pub(crate) struct Host {
    shared: Arc<Shared>,
    port: u16,
}

struct Shared {
    started: StdInstant,
    state: Mutex<State>,
    /// What is stalled has changed.
    changed: Condvar,
}

struct State {
    server: Server,
    links: BTreeMap<ConnectionId, Link>,
    is_over: bool,
}

struct Link {
    socket: TcpStream,
    /// Bytes vanish, and neither side is told.
    is_blackholed: bool,
    /// Nothing more is read.
    is_stalled: bool,
}

impl Host {
    pub(crate) fn start(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Mutex::new(State { server, links: BTreeMap::new(), is_over: false });
        let shared = Arc::new(Shared { started: StdInstant::now(), state, changed: Condvar::new() });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for socket in listener.incoming().map_while(Result::ok) {
                    if shared.lock().is_over {
                        return;
                    }
                    shared.accept(socket);
                }
            }
        });
        Self { shared, port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Does something with the model, and lets it say what it then has to say.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Server) -> R) -> R {
        let mut state = self.shared.lock();
        let result = act(&mut state.server);
        state.answer();
        result
    }

    /// Ends all links there are, with all that is on its way.
    pub(crate) fn cut(&self) {
        for link in self.shared.lock().links.values_mut() {
            (link.is_stalled, link.is_blackholed) = (false, true);
            let _ = link.socket.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    /// From now on nothing more is read on the links there are.
    pub(crate) fn stall(&self) {
        self.shared.lock().links.values_mut().for_each(|link| link.is_stalled = true);
    }

    /// Reading goes on.
    pub(crate) fn resume(&self) {
        self.shared.lock().links.values_mut().for_each(|link| link.is_stalled = false);
        self.shared.changed.notify_all();
    }

    /// From now on nothing passes on the links there are.
    pub(crate) fn blackhole(&self) {
        self.shared.lock().links.values_mut().for_each(|link| link.is_blackholed = true);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.cut();
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the host panics with the lock")
    }

    fn accept(self: &Arc<Self>, mut socket: TcpStream) {
        let mut state = self.lock();
        let id = state.server.accept();
        let writer = socket.try_clone().expect("a socket can be cloned");
        state.links.insert(id, Link { socket: writer, is_blackholed: false, is_stalled: false });
        state.answer();
        drop(state);
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let mut input = [0; 4096];
            while let Ok(len @ 1..) = socket.read(&mut input) {
                let now = Instant::from_micros(shared.started.elapsed().as_micros() as u64);
                let is_stalled = |state: &mut State| state.links[&id].is_stalled;
                let mut state =
                    shared.changed.wait_while(shared.lock(), is_stalled).expect("no thread panics with the lock");
                if !state.links[&id].is_blackholed {
                    state.server.handle_input(id, &input[..len], now);
                    state.answer();
                }
            }
            let mut state = shared.lock();
            state.links.remove(&id);
            state.server.handle_closed(id);
        });
    }
}

impl State {
    /// Writes what the model owes to its clients, and hangs up where it has.
    fn answer(&mut self) {
        let Self { server, links, .. } = self;
        for (id, link) in links.iter_mut().filter(|(_, link)| !link.is_blackholed) {
            let mut output = Vec::new();
            let is_open = server.take_output(*id, &mut output);
            // A client that is gone is told of by its reader.
            let _ = link.socket.write_all(&output);
            if !is_open {
                let _ = link.socket.shutdown(Shutdown::Both);
            }
        }
    }
}
