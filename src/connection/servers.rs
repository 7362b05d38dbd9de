//! The server pool: whom to dial next, and when.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Backoff, ServerAddr};
use crate::rng::Rng;
use crate::time::Instant;

/// How long a server that refused the credentials at the start is left alone before it is asked once more:
/// a server that reloads its configuration refuses valid users for some milliseconds.
const REFUSAL_PAUSE_AT_START: Duration = Duration::from_millis(150);
/// Refusals at the start after which a server's answer is final.
const REFUSALS_AT_START: u32 = 2;
/// The first pause after a refusal at a reconnect.
const REFUSAL_BACKOFF: Backoff = Backoff { initial: Duration::from_millis(250), max: Duration::from_secs(5) };

#[derive(Debug)]
pub(crate) struct Servers {
    servers: Vec<Server>,
    backoff: Backoff,
    rng: Rng,
    current: usize,
}

#[derive(Debug)]
struct Server {
    addr: ServerAddr,
    /// Dials so far: each takes the next of the addresses that the name stands for.
    dials: u32,
    failures: u32,
    refusals: u32,
    /// Since when it has refused the credentials and has done nothing else.
    refused_since: Option<Instant>,
    ready_at: Instant,
}

impl Servers {
    pub(crate) fn new(addrs: &[ServerAddr], in_order: bool, backoff: Backoff, mut rng: Rng) -> Self {
        let mut servers: Vec<Server> = addrs
            .iter()
            .map(|addr| Server {
                addr: addr.clone(),
                dials: 0,
                failures: 0,
                refusals: 0,
                refused_since: None,
                ready_at: Instant::ZERO,
            })
            .collect();
        if !in_order {
            rng.shuffle(&mut servers);
        }
        let current = servers.len().saturating_sub(1);
        Self { servers, backoff, rng, current }
    }

    /// The moment when the next dial is due; `None` when there is no server at all.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.servers.iter().map(|server| server.ready_at).min()
    }

    /// Takes the server that has been ready longest, in turn after the current one.
    /// Gives its address and how many dials went before.
    pub(crate) fn take_next(&mut self) -> Option<(ServerAddr, u32)> {
        let count = self.servers.len();
        let next = (1..=count).map(|step| (self.current + step) % count).min_by_key(|&i| self.servers[i].ready_at)?;
        self.current = next;
        let server = &mut self.servers[next];
        let dials = server.dials;
        server.dials = dials.wrapping_add(1);
        Some((server.addr.clone(), dials))
    }

    /// The current server answered and stayed: what went wrong before is forgotten.
    pub(crate) fn settled(&mut self) {
        let server = &mut self.servers[self.current];
        server.failures = 0;
        server.refusals = 0;
    }

    /// The current server took the credentials.
    pub(crate) fn accepted(&mut self) {
        self.servers.iter_mut().for_each(|server| server.refused_since = None);
    }

    /// The current server could not be reached, or was lost.
    pub(crate) fn failed(&mut self, now: Instant) {
        let pause = self.backoff.pause(self.servers[self.current].failures);
        let pause = self.jittered(pause);
        let server = &mut self.servers[self.current];
        server.failures = server.failures.saturating_add(1);
        server.refused_since = None;
        server.ready_at = now + pause;
    }

    /// The current server refused the credentials. Says for how long it has been doing so and nothing else.
    pub(crate) fn refused(&mut self, at_start: bool, now: Instant) -> Duration {
        let refusals = self.servers[self.current].refusals.saturating_add(1);
        let pause = match at_start && refusals < REFUSALS_AT_START {
            true => REFUSAL_PAUSE_AT_START,
            false => self.jittered(REFUSAL_BACKOFF.pause(refusals)),
        };
        let server = &mut self.servers[self.current];
        server.refusals = refusals;
        server.ready_at = now + pause;
        now.since(*server.refused_since.get_or_insert(now))
    }

    /// Whether every server has refused the credentials often enough to be believed at the start.
    pub(crate) fn all_refused(&self) -> bool {
        self.servers.iter().all(|server| server.refusals >= REFUSALS_AT_START)
    }

    /// Whether every server has failed, one way or the other, since it last worked.
    pub(crate) fn all_failed(&self) -> bool {
        self.servers.iter().all(|server| server.failures + server.refusals > 0)
    }

    fn jittered(&mut self, pause: Duration) -> Duration {
        let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros - self.rng.below(micros / 2 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn pool(hosts: &[&str]) -> Servers {
        let addrs: Vec<ServerAddr> =
            hosts.iter().map(|host| ServerAddr { host: host.to_string(), port: 4222, tls: false }).collect();
        Servers::new(&addrs, true, Backoff::default(), Rng::new(1))
    }

    #[test]
    fn servers_are_taken_in_turn_and_the_first_retry_is_immediate() {
        let mut servers = pool(&["a", "b"]);
        let mut taken = vec![];
        for _ in 0..4 {
            let (addr, dials) = servers.take_next().unwrap();
            taken.push((addr.host, dials));
            servers.failed(Instant::ZERO);
        }
        let expected = [("a", 0), ("b", 0), ("a", 1), ("b", 1)].map(|(host, dials)| (host.to_string(), dials));
        assert_eq!(taken, expected);
        assert!(servers.next_at().unwrap() >= Instant::from_micros(50_000), "the second retry waits");
    }

    #[test]
    fn pauses_grow_with_jitter_within_half_and_reset_when_settled() {
        let mut servers = pool(&["a"]);
        servers.take_next();
        let mut now = Instant::ZERO;
        for max in [0, 100_000, 200_000, 400_000] {
            servers.failed(now);
            let pause = servers.next_at().unwrap().since(now).as_micros();
            assert!(pause >= max / 2 && pause <= max, "{pause} of {max}");
            now = servers.next_at().unwrap();
        }
        servers.settled();
        servers.failed(now);
        assert_eq!(servers.next_at().unwrap(), now);
    }

    #[test]
    fn a_server_that_refuses_is_not_hammered_while_another_is_out_of_reach() {
        let mut servers = pool(&["a"]);
        let mut now = Instant::ZERO;
        for _ in 0..10 {
            servers.take_next();
            servers.refused(true, now);
            now = servers.next_at().unwrap();
        }
        assert!(now > Instant::from_micros(10_000_000), "ten attempts in {now:?}");
    }

    #[test]
    fn one_refusal_long_after_another_is_one_refusal() {
        let mut servers = pool(&["a"]);
        servers.take_next();
        assert_eq!(servers.refused(false, Instant::ZERO), Duration::ZERO);
        let hour = Instant::ZERO + Duration::from_secs(3600);
        assert_eq!(servers.refused(false, hour), Duration::from_secs(3600));
        servers.failed(hour);
        assert_eq!(servers.refused(false, hour + Duration::from_secs(1)), Duration::ZERO);
        servers.accepted();
        assert_eq!(servers.refused(false, hour + Duration::from_secs(2)), Duration::ZERO);
    }

    #[test]
    fn refusals_are_final_at_the_start_only_when_all_servers_said_it_twice() {
        let mut servers = pool(&["a", "b"]);
        for round in 0..4 {
            assert!(!servers.all_refused(), "round {round}");
            servers.take_next();
            servers.refused(true, Instant::from_micros(round * 1000));
        }
        assert!(servers.all_refused());
    }
}
