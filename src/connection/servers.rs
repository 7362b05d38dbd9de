//! The server pool: whom to dial next, and when.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::{Backoff, ConnectionOptions, SERVERS_MAX, ServerAddr};
use crate::rng::Rng;
use crate::time::Instant;

/// How long a server that refused the credentials at the start is left alone before it is asked once more:
/// a server that reloads its configuration refuses valid users for some milliseconds.
const REFUSAL_PAUSE_AT_START: Duration = Duration::from_millis(150);
/// Refusals at the start after which a server's answer is final.
const REFUSALS_AT_START: u32 = 2;
/// The first pause after a refusal at a reconnect.
const REFUSAL_BACKOFF: Backoff = Backoff { initial: Duration::from_millis(250), max: Duration::from_secs(5) };

/// How long a server that is about to shut down is left alone, where there is another.
const LAME_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Servers {
    servers: Vec<Server>,
    backoff: Backoff,
    in_order: bool,
    /// Whether no server of this pool is ever spoken to in clear.
    tls_floor: bool,
    rng: Rng,
    current: usize,
}

/// Whose turn it is to be dialled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Turn {
    pub(crate) addr: ServerAddr,
    /// The name that its certificate must bear.
    pub(crate) tls_name: String,
    /// Which of its addresses comes first, modulo their count.
    pub(crate) turn: u32,
}

#[derive(Debug)]
struct Server {
    addr: ServerAddr,
    tls_name: String,
    /// Told of by a server, not by the owner: forgotten when servers no longer tell of it.
    is_discovered: bool,
    /// Whether it has ever asked for TLS.
    wanted_tls: bool,
    /// Which of the addresses that the name stands for is dialled next: each dial takes the one after the last.
    turn: u32,
    failures: u32,
    refusals: u32,
    /// Since when it has refused the credentials and has done nothing else.
    refused_since: Option<Instant>,
    ready_at: Instant,
}

impl Servers {
    pub(crate) fn new(options: &ConnectionOptions, mut rng: Rng) -> Self {
        let tls_floor = options.tls.is_demanded() || options.servers.iter().any(|addr| addr.tls);
        let mut servers: Vec<Server> =
            options.servers.iter().map(|addr| Server::new(addr.clone(), addr.host.clone(), false)).collect();
        if !options.servers_in_order {
            rng.shuffle(&mut servers);
            // Many clients of one name begin with different addresses of it.
            servers.iter_mut().for_each(|server| server.turn = rng.next_u64() as u32);
        }
        let current = servers.len().saturating_sub(1);
        Self { servers, backoff: options.backoff, in_order: options.servers_in_order, tls_floor, rng, current }
    }

    /// Whether the current server is never spoken to in clear: one `tls://` is a demand for all.
    pub(crate) fn demands_tls(&self) -> bool {
        self.tls_floor || self.servers[self.current].wanted_tls
    }

    /// The current server has wanted TLS: it is never spoken to in clear again, whoever answers for it then.
    pub(crate) fn wants_tls(&mut self) {
        self.servers[self.current].wanted_tls = true;
    }

    pub(crate) fn len(&self) -> usize {
        self.servers.len()
    }

    /// Takes what the current server tells of others: adds those that are new, and forgets those once told of that are
    /// no longer, but for the current one. What cannot be read is left out. Nothing at all changes nothing.
    pub(crate) fn discover(&mut self, urls: &[String]) {
        let told: Vec<ServerAddr> = urls.iter().filter_map(|url| ServerAddr::parse_host_port(url).ok()).collect();
        if told.is_empty() {
            return;
        }
        let is_same = |one: &ServerAddr, other: &ServerAddr| one.host == other.host && one.port == other.port;
        let current_name = self.servers[self.current].tls_name.clone();
        for index in (0..self.servers.len()).rev() {
            let server = &self.servers[index];
            let is_told = told.iter().any(|addr| is_same(addr, &server.addr));
            if server.is_discovered && !is_told && index != self.current {
                self.servers.remove(index);
                self.current -= usize::from(index < self.current);
            }
        }
        for mut addr in told {
            if self.servers.len() == SERVERS_MAX || self.servers.iter().any(|server| is_same(&addr, &server.addr)) {
                continue;
            }
            addr.tls = self.tls_floor;
            // Servers tell of bare addresses, and certificates bear names: it is the name that was dialled which counts.
            let is_bare = addr.host.parse::<IpAddr>().is_ok();
            let tls_name = if is_bare { current_name.clone() } else { addr.host.clone() };
            let len = self.servers.len();
            let index = if self.in_order { len } else { self.rng.below(len as u64 + 1) as usize };
            self.servers.insert(index, Server::new(addr, tls_name, true));
            self.current += usize::from(index <= self.current);
        }
    }

    /// The moment when the next dial is due; `None` when there is no server at all.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.servers.iter().map(|server| server.ready_at).min()
    }

    /// Takes the server that has been ready longest, in turn after the current one.
    pub(crate) fn take_next(&mut self) -> Option<Turn> {
        let count = self.servers.len();
        let next = (1..=count).map(|step| (self.current + step) % count).min_by_key(|&i| self.servers[i].ready_at)?;
        self.current = next;
        let server = &mut self.servers[next];
        let turn = server.turn;
        server.turn = turn.wrapping_add(1);
        Some(Turn { addr: server.addr.clone(), tls_name: server.tls_name.clone(), turn })
    }

    /// The current server is about to shut down, and was left before it did.
    pub(crate) fn left(&mut self, now: Instant) {
        self.servers[self.current].ready_at = now + LAME_PAUSE;
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

impl Server {
    fn new(addr: ServerAddr, tls_name: String, is_discovered: bool) -> Self {
        Self {
            addr,
            tls_name,
            is_discovered,
            wanted_tls: false,
            turn: 0,
            failures: 0,
            refusals: 0,
            refused_since: None,
            ready_at: Instant::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    fn pool(hosts: &[&str]) -> Servers {
        let addrs: Vec<ServerAddr> =
            hosts.iter().map(|host| ServerAddr { host: host.to_string(), port: 4222, tls: false }).collect();
        let options = ConnectionOptions { servers_in_order: true, ..ConnectionOptions::new(addrs) };
        Servers::new(&options, Rng::new(1))
    }

    #[test]
    fn servers_are_taken_in_turn_and_the_first_retry_is_immediate() {
        let mut servers = pool(&["a", "b"]);
        let mut taken = vec![];
        for _ in 0..4 {
            let turn = servers.take_next().unwrap();
            taken.push((turn.addr.host, turn.turn));
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

    fn hosts(servers: &Servers) -> Vec<&str> {
        servers.servers.iter().map(|server| server.addr.host.as_str()).collect()
    }

    fn told(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|url| url.to_string()).collect()
    }

    #[test]
    fn what_servers_tell_of_comes_and_goes_and_what_the_owner_named_stays() {
        let mut servers = pool(&["a"]);
        servers.take_next();
        servers.discover(&told(&["10.0.0.1:4222", "b:4222", "a:4222", "nats://c:1", "d:0"]));
        assert_eq!(hosts(&servers), ["a", "10.0.0.1", "b"]);
        servers.failed(Instant::from_micros(1));
        assert_eq!(servers.take_next().unwrap().addr.host, "10.0.0.1");
        servers.discover(&told(&["e:4222"]));
        assert_eq!(hosts(&servers), ["a", "10.0.0.1", "e"], "the current one is not forgotten");
        servers.discover(&[]);
        assert_eq!(servers.len(), 3, "nothing told is nothing changed");
        let many: Vec<String> = (0..1000).map(|i| format!("h{i}:1")).collect();
        servers.discover(&many);
        assert_eq!(servers.len(), SERVERS_MAX);
        assert_eq!(servers.servers[servers.current].addr.host, "10.0.0.1");
    }

    #[test]
    fn the_demand_for_tls_and_the_name_are_inherited() {
        let addr = ServerAddr { host: "nats.example".into(), port: 4222, tls: true };
        let plain = ServerAddr { tls: false, port: 1, ..addr.clone() };
        let mut servers = Servers::new(&ConnectionOptions::new(vec![addr, plain]), Rng::new(1));
        assert!(servers.demands_tls());
        servers.take_next();
        servers.discover(&told(&["10.0.0.1:4222", "[::1]:4222", "b.example:4222"]));
        let discovered: Vec<_> = servers.servers.iter().filter(|server| server.is_discovered).collect();
        assert_eq!(discovered.len(), 3);
        for server in discovered {
            assert!(server.addr.tls);
            let expected = if server.addr.host == "b.example" { "b.example" } else { "nats.example" };
            assert_eq!(server.tls_name, expected);
        }
    }

    #[test]
    fn a_server_that_was_left_is_the_last_to_be_tried_again() {
        let mut servers = pool(&["a", "b"]);
        assert_eq!(servers.take_next().unwrap().addr.host, "a");
        servers.left(Instant::ZERO);
        for _ in 0..3 {
            assert_eq!(servers.take_next().unwrap().addr.host, "b");
            servers.failed(Instant::ZERO);
        }
    }
}
