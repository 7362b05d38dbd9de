//! The signals that a run listens to: two that stop it, and one that asks it to connect anew.

use natsink::Client;
use natsink::config::NatsPlan;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Code, Failure};
use super::status::Board;
use super::{log, opening};

/// SIGINT, SIGTERM and SIGHUP, as they come.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// Who connects anew, and from what.
    connected: Vec<(Client, NatsPlan)>,
    /// Where it is shown.
    board: Option<Board>,
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
            connected: Vec::new(),
            board: None,
        })
    }

    /// From now on SIGHUP makes these clients connect anew, and so read their credentials and certificates again.
    pub(crate) fn reconnect(&mut self, clients: Vec<(Client, NatsPlan)>, board: Board) {
        (self.connected, self.board) = (clients, Some(board));
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
        if self.connected.is_empty() {
            log::info("SIGHUP: nothing is connected");
        }
        for (client, nats) in &self.connected {
            match opening::check_secrets(nats) {
                Ok(()) => {
                    log::info("SIGHUP: connecting anew, with credentials and certificates read again");
                    client.reconnect();
                    self.board.iter().for_each(Board::reloaded);
                }
                Err(failure) => log::warn(format_args!("SIGHUP: the connection stays as it is: {failure}")),
            }
        }
    }
}
