//! What the link and the publisher have to tell, put into the log.

use natsink::session::LinkNotice;
use natsink::{Client, Publisher};

use super::log;

/// Reads notices and logs them.
pub(crate) struct LinkLog {
    client: Client,
    publisher: Publisher,
    last: Option<String>,
}

impl LinkLog {
    pub(crate) fn new(client: Client, publisher: Publisher) -> Self {
        Self { client, publisher, last: None }
    }

    /// Logs what is new.
    pub(crate) fn look(&mut self) {
        for notice in self.client.link_notices() {
            match notice {
                LinkNotice::Up { addr, server } => {
                    self.last = None;
                    let named = server.map(|name| format!(", server {name}")).unwrap_or_default();
                    log::info(format_args!("connected to {addr}{named}"));
                }
                LinkNotice::Lost(cause) => self.warn("connection lost", &cause),
                LinkNotice::DialFailed(cause) => self.warn("cannot connect", &cause),
                LinkNotice::ServerError(error) => self.warn("the server says", &error),
                LinkNotice::LameDuck => log::warn("the server is about to shut down"),
                LinkNotice::Closed(_) => {}
                other => log::debug(format_args!("{other:?}")),
            }
        }
        for notice in self.publisher.notices() {
            match notice {
                natsink::jetstream::Notice::Verified => log::debug("the stream is as it should be"),
                natsink::jetstream::Notice::Paused { anomaly, pause } => {
                    self.last = Some(anomaly.to_string());
                    log::warn(format_args!("paused for {} ms: {anomaly}", pause.as_millis()));
                }
                other => log::debug(format_args!("{other:?}")),
            }
        }
    }

    /// What stood in the way last.
    pub(crate) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    fn warn(&mut self, what: &str, cause: &dyn std::fmt::Display) {
        let text = format!("{what}: {cause}");
        log::warn(&text);
        self.last = Some(text);
    }
}
