//! What stands between a run and its end, as link and publisher tell it.

use std::collections::VecDeque;

use natsink::jetstream::Notice;
use natsink::session::LinkNotice;
use natsink::{Client, Publisher};

/// Obstacles that are told: with several servers each may have its own.
const KEPT_MAX: usize = 3;

/// Reads notices, and keeps what to tell a person who asks why it takes so long. The log has them by itself.
pub(crate) struct Obstacles {
    client: Client,
    publisher: Publisher,
    /// The latest, each once, the last one last.
    kept: VecDeque<String>,
}

impl Obstacles {
    pub(crate) fn new(client: Client, publisher: Publisher) -> Self {
        Self { client, publisher, kept: VecDeque::new() }
    }

    /// Takes note of what is new.
    pub(crate) fn look(&mut self) {
        for notice in self.client.link_notices() {
            match notice {
                LinkNotice::Up { .. } => self.kept.clear(),
                LinkNotice::Lost(cause) => self.keep(format!("connection lost: {cause}")),
                LinkNotice::DialFailed(cause) => self.keep(format!("cannot connect: {cause}")),
                LinkNotice::ServerError(error) => self.keep(format!("the server says: {error}")),
                _ => {}
            }
        }
        for notice in self.publisher.notices() {
            if let Notice::Paused { anomaly, .. } = notice {
                self.keep(anomaly.to_string());
            }
        }
    }

    /// What stood in the way last, if something did.
    pub(crate) fn told(&self) -> Option<String> {
        (!self.kept.is_empty()).then(|| self.kept.iter().map(String::as_str).collect::<Vec<_>>().join("; "))
    }

    fn keep(&mut self, obstacle: String) {
        self.kept.retain(|kept| *kept != obstacle);
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(obstacle);
    }
}
