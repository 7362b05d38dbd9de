//! What stands between a run and its end, as link and publisher tell it.

use std::collections::{BTreeMap, VecDeque};

use natsink::connection::LinkError;
use natsink::jetstream::{Anomaly, Notice};
use natsink::session::{LinkNotice, LinkState};
use natsink::{Client, Publisher};

use super::status::SinkStatus;

/// Obstacles that are told: with several servers each may have its own.
const KEPT_MAX: usize = 3;

/// Reads notices, and keeps what to tell a person who asks why it takes so long. The log has them by itself.
pub(crate) struct Obstacles {
    client: Client,
    publisher: Publisher,
    /// The latest, each once, the last one last.
    kept: VecDeque<String>,
    errors: BTreeMap<&'static str, u64>,
    server: Option<String>,
    verified: bool,
}

impl Obstacles {
    pub(crate) fn new(client: Client, publisher: Publisher) -> Self {
        let errors = BTreeMap::new();
        Self { client, publisher, kept: VecDeque::new(), errors, server: None, verified: false }
    }

    /// Takes note of what is new.
    pub(crate) fn look(&mut self) {
        for notice in self.client.link_notices() {
            match notice {
                LinkNotice::Up { addr, .. } => {
                    self.kept.clear();
                    (self.server, self.verified) = (Some(addr.to_string()), false);
                }
                LinkNotice::Lost(cause) => {
                    self.verified = false;
                    self.keep(kind_of(&cause).unwrap_or("link_lost"), format!("connection lost: {cause}"));
                }
                LinkNotice::DialFailed(cause) => {
                    self.keep(kind_of(&cause).unwrap_or("connect_failed"), format!("cannot connect: {cause}"));
                }
                LinkNotice::ServerError(error) => self.keep("server_error", format!("the server says: {error}")),
                _ => {}
            }
        }
        // Told after the link's: a stream is verified over the link that is up.
        for notice in self.publisher.notices() {
            match notice {
                Notice::Verified => {
                    self.kept.clear();
                    self.verified = true;
                }
                Notice::Paused { anomaly, .. } => {
                    let kind = match anomaly {
                        Anomaly::NoResponders => "no_responders",
                        Anomaly::Refused { .. } => "refused",
                        Anomaly::Silence => "ack_timeout",
                        _ => "overtaken",
                    };
                    self.keep(kind, anomaly.to_string());
                }
                _ => {}
            }
        }
    }

    /// What stood in the way last, if something did.
    pub(crate) fn told(&self) -> Option<String> {
        (!self.kept.is_empty()).then(|| self.kept.iter().map(String::as_str).collect::<Vec<_>>().join("; "))
    }

    /// Puts what is known of the link and the stream where it is shown.
    pub(crate) fn show(&self, sink: &mut SinkStatus) {
        sink.up = self.client.link_state() == LinkState::Up;
        sink.verified = sink.up && self.verified;
        sink.server.clone_from(&self.server);
        sink.obstacle = self.told();
        sink.in_flight = self.publisher.in_flight() as u64;
        sink.replayed = self.publisher.statistics().replayed;
        sink.reconnects = self.client.statistics().connects.saturating_sub(1);
        sink.errors.extend(self.errors.iter());
    }

    fn keep(&mut self, kind: &'static str, obstacle: String) {
        *self.errors.entry(kind).or_default() += 1;
        self.kept.retain(|kept| *kept != obstacle);
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(obstacle);
    }
}

/// What is at fault, where that is not the way to the server.
fn kind_of(cause: &LinkError) -> Option<&'static str> {
    match cause {
        LinkError::Credentials(_) => Some("auth"),
        LinkError::Refused(error) if error.is_auth() => Some("auth"),
        LinkError::Tls(_) | LinkError::TlsUnavailable => Some("tls"),
        _ => None,
    }
}
