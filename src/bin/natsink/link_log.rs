//! What stood last between a run and its end, as link and publisher tell it.

use natsink::jetstream::Notice;
use natsink::session::LinkNotice;
use natsink::{Client, Publisher};

/// Reads notices, and keeps what to tell a person who asks why it takes so long. The log has them by itself.
pub(crate) struct LinkLog {
    client: Client,
    publisher: Publisher,
    last: Option<String>,
}

impl LinkLog {
    pub(crate) fn new(client: Client, publisher: Publisher) -> Self {
        Self { client, publisher, last: None }
    }

    /// Takes note of what is new.
    pub(crate) fn look(&mut self) {
        for notice in self.client.link_notices() {
            match notice {
                LinkNotice::Up { .. } => self.last = None,
                LinkNotice::Lost(cause) => self.last = Some(format!("connection lost: {cause}")),
                LinkNotice::DialFailed(cause) => self.last = Some(format!("cannot connect: {cause}")),
                LinkNotice::ServerError(error) => self.last = Some(format!("the server says: {error}")),
                _ => {}
            }
        }
        for notice in self.publisher.notices() {
            if let Notice::Paused { anomaly, .. } = notice {
                self.last = Some(anomaly.to_string());
            }
        }
    }

    /// What stood in the way last.
    pub(crate) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }
}
