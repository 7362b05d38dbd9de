//! The signals that a run listens to: two that stop it, and one that asks it to connect anew.

use natsink::Client;
use natsink::config::Plan;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Code, Failure};
use super::status::Board;
use super::stream_sink::the_sink;
use super::{log, opening};

/// SIGINT, SIGTERM and SIGHUP, as they come.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// Who connects anew, and from what.
    connected: Option<(Client, Plan, Board)>,
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
            connected: None,
        })
    }

    /// From now on SIGHUP makes this client connect anew, and so read its credentials and certificates again.
    pub(crate) fn reconnect(&mut self, client: Client, plan: Plan, board: Board) {
        self.connected = Some((client, plan, board));
    }

    /// The number of the next signal that stops. Dropped, it loses none.
    pub(crate) async fn next(&mut self) -> u8 {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return 2,
                _ = self.terminate.recv() => return 15,
                _ = self.hangup.recv() => self.hang_up(),
            }
        }
    }

    /// Connects anew, unless the files that are read for it would not do: a good link is not given for them.
    fn hang_up(&self) {
        let Some((client, plan, board)) = &self.connected else { return log::info("SIGHUP: nothing is connected yet") };
        match opening::check_secrets(the_sink(plan).nats) {
            Ok(()) => {
                log::info("SIGHUP: connecting anew, with credentials and certificates read again");
                client.reconnect();
                board.reloaded();
            }
            Err(failure) => log::warn(format_args!("SIGHUP: the connection stays as it is: {failure}")),
        }
    }
}
