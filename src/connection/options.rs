//! What a connection is told once, and the limits it keeps.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Auth, ServerAddr, TlsOptions};

/// What a connection is told once.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Where to dial, at least one. Tried in random order unless `servers_in_order`.
    pub servers: Vec<ServerAddr>,
    /// Credentials, the same for all servers.
    pub auth: Auth,
    /// What is demanded of TLS.
    pub tls: TlsOptions,
    /// Whether the servers that a server tells of are left alone. Otherwise they are dialled too, and those it no longer
    /// tells of are forgotten.
    pub ignore_discovered: bool,
    /// The name that the server shows for this connection.
    pub name: Option<String>,
    /// The first token of every inbox, `_INBOX` by default. Restricted users may need another.
    pub inbox_prefix: String,
    /// Bounds one dial of one address, from name lookup to the first PONG.
    pub connect_timeout: Duration,
    /// Silence of the peer after which it is asked for a sign of life, also while publishing.
    pub ping_interval: Duration,
    /// Unanswered signs of life after which the peer is taken for dead. Each link in a row that ends so is given twice the
    /// time of the last, up to eight times: it may be too slow for what is on its way.
    pub pings_out_max: u32,
    /// How long the socket may take nothing while there is something to write, before the peer is taken for dead. It is
    /// found out within twice this time.
    pub write_timeout: Duration,
    /// The pause before a server is dialled again. The first retry after a good connection is immediate.
    pub backoff: Backoff,
    /// How long refused credentials are tried again at a reconnect. At the start two refusals are final.
    pub auth_budget: Duration,
    /// Whether an unreachable server at the start is retried for ever, like one lost later.
    /// Otherwise the connection closes when every server has failed once.
    pub retry_at_start: bool,
    /// Whether servers are tried in the order given.
    pub servers_in_order: bool,
    /// The limits.
    pub limits: Limits,
}

/// The shortest time that a timer of a connection is taken for.
const TIMER_MIN: Duration = Duration::from_millis(10);
/// How often the time that a link may be silent is doubled at most.
pub(crate) const PATIENCE_DOUBLINGS_MAX: u32 = 3;

/// Pauses that double from `initial` to `max`, each shortened by up to half at random.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    /// The first pause.
    pub initial: Duration,
    /// The longest pause.
    pub max: Duration,
}

/// A limit on everything a peer or a caller could let grow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The longest control line from the server, bytes.
    pub control_line_max: usize,
    /// The longest INFO from the server, bytes.
    pub info_max: usize,
    /// The largest message from the server, headers and payload, bytes.
    pub payload_max: usize,
    /// Bytes in the outbox beyond which machines wait before they write more. Soft by one message.
    pub outbox_max: usize,
    /// Unanswered PINGs of callers, and PONGs owed to a peer that does not read.
    pub pings_max: usize,
    /// Live subscriptions.
    pub subscriptions_max: usize,
}

impl ConnectionOptions {
    /// The defaults, for these servers.
    pub fn new(servers: Vec<ServerAddr>) -> Self {
        Self {
            servers,
            auth: Auth::None,
            tls: TlsOptions::default(),
            ignore_discovered: false,
            name: None,
            inbox_prefix: "_INBOX".into(),
            connect_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(10),
            pings_out_max: 2,
            write_timeout: Duration::from_secs(20),
            backoff: Backoff::default(),
            auth_budget: Duration::from_secs(300),
            retry_at_start: false,
            servers_in_order: false,
            limits: Limits::default(),
        }
    }
}

impl ConnectionOptions {
    /// The same, with no timer that would be over before it began.
    pub(crate) fn timed(mut self) -> Self {
        for time in [&mut self.connect_timeout, &mut self.ping_interval, &mut self.write_timeout] {
            *time = (*time).max(TIMER_MIN);
        }
        self
    }

    /// Signs of life that are asked for in vain, after so many links in a row that were given up in silence.
    pub(crate) fn pings_max(&self, silent_links: u32) -> u32 {
        let rounds = self.pings_out_max.saturating_add(1);
        rounds.saturating_mul(1 << silent_links.min(PATIENCE_DOUBLINGS_MAX)).saturating_sub(1)
    }
}

impl Backoff {
    /// The pause after `failures` failures in a row, without jitter: zero after none, `initial` after the first.
    pub fn pause(&self, failures: u32) -> Duration {
        match failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => self
                .initial
                .checked_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX))
                .unwrap_or(self.max)
                .min(self.max),
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(10) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            control_line_max: 4096,
            info_max: 1 << 20,
            payload_max: 64 << 20,
            outbox_max: 128 << 10,
            pings_max: 1024,
            subscriptions_max: 65_536,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_maximum_and_never_overflow() {
        let backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(10) };
        let pauses: Vec<u128> = [0, 1, 2, 3, 7, 8, 31, 33, u32::MAX].map(|n| backoff.pause(n).as_millis()).to_vec();
        assert_eq!(pauses, [0, 100, 200, 400, 6400, 10_000, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn no_timer_is_over_before_it_began() {
        let options = ConnectionOptions { write_timeout: Duration::ZERO, ..ConnectionOptions::new(Vec::new()) }.timed();
        assert_eq!(options.write_timeout, TIMER_MIN);
        assert_eq!(options.ping_interval, Duration::from_secs(10));
    }
}
