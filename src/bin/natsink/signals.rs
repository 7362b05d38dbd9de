//! The signals that a run listens to: two that stop it, and one that asks it to read its credentials again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Code, Failure};
use super::log;

/// SIGINT, SIGTERM and SIGHUP, as they come.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(Code::Io, "signals", format!("cannot listen to signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The number of the next signal that stops. Dropped, it loses none.
    pub(crate) async fn next(&mut self) -> u8 {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return 2,
                _ = self.terminate.recv() => return 15,
                // A user, a password and a token stand in the plan; there is no file to read them from again.
                _ = self.hangup.recv() => log::info("SIGHUP: no credentials come from a file, nothing to read again"),
            }
        }
    }
}
