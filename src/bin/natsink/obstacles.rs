//! What stands between a run and its end, as link and publisher tell it.

use std::collections::{BTreeMap, VecDeque};

use natsink::connection::LinkError;
use natsink::jetstream::{Anomaly, Notice};
use natsink::session::LinkNotice;

use super::outlet::Outlet;

/// Obstacles that are told: with several servers each may have its own.
const KEPT_MAX: usize = 3;

/// Reads notices, and keeps what to tell a person who asks why it takes so long with a sink. The log has them by itself.
#[derive(Default)]
pub(crate) struct Obstacles {
    /// The latest, each once, the last one last.
    kept: VecDeque<String>,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    pub(crate) server: Option<String>,
    pub(crate) verified: bool,
}

impl Obstacles {
    /// Takes note of what is new: of the link, and of the outlet.
    pub(crate) fn look(&mut self, link: &[LinkNotice], outlet: &Outlet) {
        for notice in link {
            match notice {
                LinkNotice::Up { addr, .. } => {
                    self.kept.clear();
                    (self.server, self.verified) = (Some(addr.to_string()), false);
                }
                LinkNotice::Lost(cause) => {
                    self.verified = false;
                    self.keep(kind_of(cause).unwrap_or("link_lost"), format!("connection lost: {cause}"));
                }
                LinkNotice::DialFailed(cause) => {
                    self.keep(kind_of(cause).unwrap_or("connect_failed"), format!("cannot connect: {cause}"));
                }
                LinkNotice::ServerError(error) => self.keep("server_error", format!("the server says: {error}")),
                _ => {}
            }
        }
        // Told after the link's: a stream is verified over the link that is up.
        let Outlet::Stream(publisher) = outlet else { return };
        for notice in publisher.notices() {
            match notice {
                Notice::Verified => {
                    self.kept.clear();
                    self.verified = true;
                }
                Notice::Paused { anomaly, .. } => self.keep(kind_of_anomaly(&anomaly), anomaly.to_string()),
                Notice::RecallPaused { anomaly, .. } => {
                    self.keep(kind_of_anomaly(&anomaly), format!("reading back pauses: {anomaly}"));
                }
                Notice::Recalled { .. } => self.kept.clear(),
                _ => {}
            }
        }
    }

    /// What stood in the way last, if something did.
    pub(crate) fn told(&self) -> Option<String> {
        (!self.kept.is_empty()).then(|| self.kept.iter().map(String::as_str).collect::<Vec<_>>().join("; "))
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

fn kind_of_anomaly(anomaly: &Anomaly) -> &'static str {
    match anomaly {
        Anomaly::NoResponders => "no_responders",
        Anomaly::Refused { .. } => "refused",
        Anomaly::Silence => "ack_timeout",
        Anomaly::Untold => "read_back",
        _ => "overtaken",
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
