//! The connections of a run: one for all sinks that go to the same servers as the same user, in the same way.

use natsink::config::NatsPlan;
use natsink::session::LinkNotice;
use natsink::{Client, connection::ConnectionOptions};

use super::exit::Failure;
use super::{opening, verdict};

/// The connections, each with the plan of the first sink that asked for it.
#[derive(Default)]
pub(crate) struct Connections {
    open: Vec<(Client, NatsPlan)>,
}

impl Connections {
    /// The connection for a sink, and its number: one that is there already, where nothing tells the two apart.
    pub(crate) fn open(&mut self, nats: &NatsPlan) -> Result<(usize, Client), Failure> {
        if let Some(number) = self.open.iter().position(|(_, other)| is_same(nats, other)) {
            return Ok((number, self.open[number].0.clone()));
        }
        let options: ConnectionOptions = opening::connection_options(nats);
        let client = Client::start(options).map_err(|reason| verdict::of_close(&reason))?;
        self.open.push((client.clone(), nats.clone()));
        Ok((self.open.len() - 1, client))
    }

    /// What happened to each link since this was last asked, for all sinks that use it: each is told once.
    pub(crate) fn notices(&self) -> impl Iterator<Item = (usize, Vec<LinkNotice>)> {
        self.open.iter().map(|(client, _)| client.link_notices().collect()).enumerate()
    }

    /// The connections and what they are made from.
    pub(crate) fn all(&self) -> Vec<(Client, NatsPlan)> {
        self.open.clone()
    }
}

/// Whether two sinks would make connections that differ in nothing.
fn is_same(one: &NatsPlan, other: &NatsPlan) -> bool {
    (&one.servers, &one.auth, &one.tls, &one.connection_name)
        == (&other.servers, &other.auth, &other.tls, &other.connection_name)
        && one.inbox_prefix.as_str() == other.inbox_prefix.as_str()
        && (one.connect_timeout, one.retry.auth_max, one.retry.initial, one.retry.max)
            == (other.connect_timeout, other.retry.auth_max, other.retry.initial, other.retry.max)
}
