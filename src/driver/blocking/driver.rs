//! The driver's own thread: it does what the session asks for, writes, and tells the time.

use std::format;
use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::sync::Arc;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant as StdInstant};
use std::vec::Vec;

use super::link::Dial;
use super::park::Parking;
use super::wire::Wire;
use crate::connection::{Action, AuthError, Challenge, CloseReason, Epoch, LinkError, TlsError, Transmit};
use crate::driver::broken::link_error;
use crate::driver::handles::Shared;
use crate::driver::transport::SLICES;
use crate::time::Instant;

/// Runs one session until it is over.
pub(super) struct Driver {
    wire: Arc<Wire>,
    connect_timeout: Duration,
    parking: Parking,
    /// Bytes carried off for this link and not yet written.
    transmit: Transmit,
    transmit_of: Option<Epoch>,
}

/// Lets a thread of its own drive the session until it is over.
pub(super) fn spawn(shared: Arc<Shared>, connect_timeout: Duration) -> Result<(), CloseReason> {
    let run = move || Driver::new(shared, connect_timeout).run();
    let spawned = thread::Builder::new().name("natsink".into()).spawn(run);
    spawned
        .map(drop)
        .map_err(|error| CloseReason::Unreachable(LinkError::Transport(format!("no thread from the system: {error}"))))
}

impl Driver {
    fn new(shared: Arc<Shared>, connect_timeout: Duration) -> Self {
        Self {
            wire: Arc::new(Wire::new(shared)),
            connect_timeout,
            parking: Parking::new(),
            transmit: Transmit::new(),
            transmit_of: None,
        }
    }

    fn run(mut self) {
        let mut woken = Vec::new();
        loop {
            let mut moved = self.act();
            moved |= self.write();
            moved |= self.time_out();
            if moved {
                continue;
            }
            let sleeping = self.sleep(&mut woken);
            woken.drain(..).for_each(Waker::wake);
            match sleeping {
                Sleeping::NotYet => {}
                Sleeping::Until(until) => _ = self.parking.park(until.map(|until| self.wire.shared.at(until))),
                Sleeping::Over => return,
            }
        }
    }

    /// Prepares to sleep, unless something came up meanwhile. From here on whoever has something to do wakes the driver.
    fn sleep(&self, woken: &mut Vec<Waker>) -> Sleeping {
        let mut session = self.wire.shared.lock();
        session.take_woken(woken);
        if session.is_closed() {
            return Sleeping::Over;
        }
        let until = session.poll_timeout();
        // Looked at under the lock: else a link could come up and have its say between the two.
        let is_writable = self.wire.socket().is_some();
        if self.wire.sleeps_until(&session, until) || (is_writable && session.outbox_len() > 0) {
            return Sleeping::NotYet;
        }
        session.sleep(self.parking.waker());
        Sleeping::Until(until)
    }

    /// Does what the session asks for.
    fn act(&mut self) -> bool {
        let mut acted = false;
        loop {
            let action = self.wire.shared.lock().poll_action();
            match action {
                None => return acted,
                Some(Action::Dial { epoch, addr, turn }) => {
                    self.wire.dial(epoch);
                    let dial =
                        Dial { epoch, addr, turn, deadline: StdInstant::now().checked_add(self.connect_timeout) };
                    if let Err(cause) = self.wire.spawn("natsink-link", |wire| dial.run(wire)) {
                        self.lose(epoch, cause);
                    }
                }
                Some(Action::StartTls { epoch, .. }) => self.lose(epoch, LinkError::Tls(TlsError::NotBuilt)),
                Some(Action::Authenticate { epoch, nonce, is_secure }) => self.ask(epoch, nonce, is_secure),
                Some(Action::Hangup(epoch)) => self.wire.hang_up(epoch),
            }
            acted = true;
        }
    }

    /// Asks for credentials on a thread that may block. An answer that comes after its link has gone is ignored.
    fn ask(&mut self, epoch: Epoch, nonce: Option<String>, is_secure: bool) {
        let (authenticator, server) = {
            let session = self.wire.shared.lock();
            (session.authenticator(), session.server().cloned())
        };
        let (Some(authenticator), Some(server)) = (authenticator, server) else { return };
        let asked = self.wire.spawn("natsink-auth", move |wire| {
            let challenge = Challenge::new(nonce.as_deref(), &server, is_secure);
            let answer = catch_unwind(AssertUnwindSafe(|| authenticator.answer(&challenge)))
                .unwrap_or_else(|_| Err(AuthError::Failed("the authenticator panicked".into())));
            wire.tell(|session, now| session.handle_credentials(epoch, answer, now));
        });
        if let Err(cause) = asked {
            self.lose(epoch, cause);
        }
    }

    /// Gives a link up. The cause is told first: the reader, woken by the socket's end, knows only that it ended.
    fn lose(&mut self, epoch: Epoch, cause: LinkError) {
        self.wire.shared.with_now(|session, now| session.handle_disconnected(epoch, cause, now));
        self.wire.hang_up(epoch);
    }

    /// Writes once. A socket that takes nothing for a moment is asked again, after the time was told.
    fn write(&mut self) -> bool {
        let socket = self.wire.socket();
        let epoch = socket.as_ref().map(|(epoch, _)| *epoch);
        if self.transmit_of != epoch {
            self.transmit.clear();
            self.transmit_of = epoch;
        }
        let Some((epoch, socket)) = socket else { return false };
        if self.transmit.is_empty() {
            let now = self.wire.shared.now();
            if !self.wire.shared.lock().poll_transmit(epoch, &mut self.transmit, now) {
                return false;
            }
        }
        match write_some(&socket, &self.transmit) {
            Ok(len) => {
                self.transmit.advance(len);
                self.wire.shared.with_now(|session, now| session.handle_transmitted(epoch, len, now));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                self.wire.write_failed(epoch, LinkError::WriteStalled);
            }
            Err(error) => self.wire.write_failed(epoch, link_error(&error)),
        }
        true
    }

    fn time_out(&mut self) -> bool {
        self.wire.shared.with_now(|session, now| {
            let is_due = session.poll_timeout().is_some_and(|at| at <= now);
            if is_due {
                session.handle_timeout(now);
            }
            is_due
        })
    }
}

/// What comes when there is nothing to do.
enum Sleeping {
    /// There is.
    NotYet,
    Until(Option<Instant>),
    /// There will never be.
    Over,
}

impl Drop for Driver {
    /// Nobody will move bytes any more, so the session is over, however it came to that.
    fn drop(&mut self) {
        self.wire.shared.with_now(|session, now| session.close(now));
        self.wire.end();
    }
}

fn write_some(mut socket: &TcpStream, transmit: &Transmit) -> io::Result<usize> {
    let mut slices = [&[][..]; SLICES];
    match transmit.slices(&mut slices) {
        1 => socket.write(slices[0]),
        filled => socket.write_vectored(&slices.map(IoSlice::new)[..filled]),
    }
}
