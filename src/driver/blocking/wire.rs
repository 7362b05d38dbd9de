//! What the driver's threads share: the present socket, and how the session is told of it.

use std::net::{Shutdown, TcpStream};
use std::string::ToString;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::connection::{Epoch, LinkError};
use crate::driver::handles::Shared;
use crate::session::Session;
use crate::time::Instant;

/// Threads beside the driver's own: the reader, a dial or an authenticator, and those given up whose system calls have
/// not returned yet.
const THREADS_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) shared: Arc<Shared>,
    /// Locked within the session's lock, never around it.
    slot: Mutex<Slot>,
    /// Until when the driver sleeps, in microseconds. Read and written under the session's lock.
    asleep_until: AtomicU64,
    threads: AtomicUsize,
}

/// The present link, from its dial on.
#[derive(Debug, Default)]
struct Slot {
    epoch: Option<Epoch>,
    socket: Option<Arc<TcpStream>>,
    /// Why writing failed. Reading goes on until its end: the server may have said why it closed.
    write_error: Option<LinkError>,
}

impl Wire {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, slot: Mutex::default(), asleep_until: AtomicU64::new(u64::MAX), threads: AtomicUsize::new(0) }
    }

    /// A dial begins; what was before it is over.
    pub(super) fn dial(&self, epoch: Epoch) {
        self.replace(Slot { epoch: Some(epoch), ..Slot::default() });
    }

    /// Ends this link, if it is the present one. Its reader is woken by that.
    pub(super) fn hang_up(&self, epoch: Epoch) {
        if self.slot().epoch == Some(epoch) {
            self.replace(Slot::default());
        }
    }

    /// Ends whatever link there is.
    pub(super) fn end(&self) {
        self.replace(Slot::default());
    }

    /// The dial has led to this socket. `false` when nobody wants it any more.
    pub(super) fn connected(&self, epoch: Epoch, socket: &Arc<TcpStream>) -> bool {
        let mut slot = self.slot();
        let wanted = slot.epoch == Some(epoch);
        if wanted {
            slot.socket = Some(Arc::clone(socket));
        }
        wanted
    }

    /// Where bytes are to be written.
    pub(super) fn socket(&self) -> Option<(Epoch, Arc<TcpStream>)> {
        let slot = self.slot();
        slot.epoch.zip(slot.socket.clone())
    }

    /// This link's socket does not take what is written: nothing more is, and its reader reads what had come.
    pub(super) fn write_failed(&self, epoch: Epoch, cause: LinkError) {
        let mut slot = self.slot();
        if slot.epoch == Some(epoch)
            && let Some(socket) = slot.socket.take()
        {
            slot.write_error = Some(cause);
            drop(slot);
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// The reader has come to this link's end. Why writing had failed before, if it had.
    pub(super) fn read_out(&self, epoch: Epoch) -> Option<LinkError> {
        let mut slot = self.slot();
        match slot.epoch == Some(epoch) {
            true => std::mem::take(&mut *slot).write_error,
            false => None,
        }
    }

    /// Tells the session a fact from a thread that is not the driver's, and wakes the driver if there is something to do.
    pub(super) fn tell(&self, fact: impl FnOnce(&mut Session, Instant)) {
        self.shared.with_now(|session, now| {
            fact(session, now);
            let until = Instant::from_micros(self.asleep_until.load(Ordering::Relaxed));
            if session.is_due(until) || session.outbox_len() > 0 {
                session.wake_driver();
            }
        });
    }

    /// The driver is about to sleep until then. Whether it would miss something. To be called under the session's lock.
    pub(super) fn sleeps_until(&self, session: &Session, until: Option<Instant>) -> bool {
        let until = until.unwrap_or(Instant::from_micros(u64::MAX));
        self.asleep_until.store(until.as_micros(), Ordering::Relaxed);
        session.is_due(until)
    }

    /// Does something that may block, on a thread of its own.
    pub(super) fn spawn(
        self: &Arc<Self>,
        name: &str,
        act: impl FnOnce(&Self) + Send + 'static,
    ) -> Result<(), LinkError> {
        if self.threads.fetch_add(1, Ordering::Relaxed) >= THREADS_MAX {
            self.threads.fetch_sub(1, Ordering::Relaxed);
            let words = "too many name lookups, dials or authenticators that were given up have not come back yet";
            return Err(LinkError::Transport(words.into()));
        }
        let counted = Counted(Arc::clone(self));
        let spawned = thread::Builder::new().name(name.to_string()).spawn(move || act(&counted.0));
        spawned.map(drop).map_err(|error| LinkError::Transport(std::format!("no thread from the system: {error}")))
    }

    fn replace(&self, slot: Slot) {
        let old = std::mem::replace(&mut *self.slot(), slot);
        if let Some(socket) = old.socket {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that counts for as long as it runs.
struct Counted(Arc<Wire>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::Relaxed);
    }
}
