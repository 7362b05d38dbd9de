//! Three nats-server processes on loopback that form one cluster with JetStream, taken down and brought back one by one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::server::{LAME_DUCK, free_port};
use super::{Raw, Server, ServerOptions};

/// How long an election, or catching up after a restart, may take.
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks at something that will change.
const LOOK: Duration = Duration::from_millis(20);
/// When a question that was not heeded is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Servers of a cluster: the fewest that survive the loss of one.
const SIZE: usize = 3;

/// A cluster. Servers are meant by their index, 0 to 2; those that are down keep port and store.
pub struct Cluster {
    servers: Vec<Server>,
}

impl Cluster {
    /// Starts the servers and waits until JetStream has a leader that all of them know.
    pub fn start() -> Self {
        let routes: Vec<u16> = (0..SIZE).map(|_| free_port()).collect();
        let urls: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let server = |route: &u16| {
            let config =
                format!("cluster {{ name: natsink, listen: \"127.0.0.1:{route}\", routes: {urls:?} }}\n{LAME_DUCK}");
            Server::start(ServerOptions { config, monitor: true, ..ServerOptions::default() })
        };
        let cluster = Self { servers: routes.iter().map(server).collect() };
        cluster.until("one leader that all know", |cluster| {
            let leader =
                |server: &Server| Some(server.monitored("/jsz")?["meta_cluster"]["leader"].as_str()?.to_owned());
            let leaders: Vec<_> = cluster.servers.iter().map(leader).collect();
            (leaders[0].is_some() && leaders.iter().all(|leader| *leader == leaders[0])).then_some(())
        });
        cluster
    }

    /// All three servers, for a client: `nats://..,nats://..,nats://..`.
    pub fn url(&self) -> String {
        self.servers.iter().map(Server::url).collect::<Vec<_>>().join(",")
    }

    pub fn server(&self, index: usize) -> &Server {
        &self.servers[index]
    }

    /// The server of this name, as a client is told it in INFO.
    pub fn index_of(&self, name: &str) -> usize {
        self.servers.iter().position(|server| server.name() == name).expect("a server of this cluster")
    }

    /// A client of the server that leads the stream, and so answers for it without asking another.
    pub fn raw(&self, stream: &str) -> Raw {
        Raw::connect(&self.servers[self.leader(stream)].url())
    }

    /// Creates a file stream with three replicas, and waits until they have a leader.
    pub fn create_stream(&self, mut config: Value) {
        config["storage"] = json!("file");
        config["num_replicas"] = json!(SIZE);
        let stream = config["name"].as_str().expect("a stream has a name");
        let mut raw = Raw::connect(&self.servers[0].url());
        let mut asked: Option<Instant> = None;
        self.until(&format!("a stream {stream}"), |cluster| {
            // Servers that met a moment ago do not know all that the others listen to: the question can be lost.
            if asked.is_none_or(|at| at.elapsed() > ASK_AGAIN) {
                raw.send(&format!("$JS.API.STREAM.CREATE.{stream}"), None, &[], config.to_string().as_bytes());
                raw.flush();
                asked = Some(Instant::now());
            }
            cluster.leading(stream)
        });
    }

    /// `kill -9`.
    pub fn kill9(&mut self, index: usize) {
        self.servers[index].kill9();
    }

    /// SIGTERM, and waits for the end of the process.
    pub fn sigterm(&mut self, index: usize) {
        self.servers[index].sigterm();
    }

    /// SIGUSR2: the server gives its leaderships away, hangs up on its clients, and ends; see [`Self::wait_end`].
    pub fn lame_duck(&self, index: usize) {
        self.servers[index].lame_duck();
    }

    /// Waits until the server has ended by itself.
    pub fn wait_end(&mut self, index: usize) {
        self.servers[index].wait_end();
    }

    /// Starts a server that is down, and waits until it has caught up.
    pub fn restart(&mut self, index: usize) {
        self.servers[index].restart();
        self.wait_healthy();
    }

    /// Waits until every server says that it is healthy, and every leader of a stream that all replicas have caught up:
    /// a server can call itself healthy before that, and the next fault would then cost the quorum. Not for a cluster
    /// that is being written to.
    pub fn wait_healthy(&self) {
        self.until("all healthy", |cluster| {
            let is_healthy = |server: &Server| server.monitored("/healthz").is_some_and(|page| page["status"] == "ok");
            let is_current = |replica: &Value| replica["current"] == true && replica["lag"].as_u64().unwrap_or(0) == 0;
            let led =
                cluster.servers.iter().flat_map(|server| server.streams().into_iter().filter(|one| server.leads(one)));
            let replicas: Vec<Value> =
                led.filter_map(|one| one["cluster"]["replicas"].as_array().cloned()).flatten().collect();
            (cluster.servers.iter().all(is_healthy) && replicas.iter().all(is_current)).then_some(())
        });
    }

    /// The leader of the stream, once a server says of itself that it is; no server that is down counts.
    pub fn leader(&self, stream: &str) -> usize {
        self.until(&format!("a leader of {stream}"), |cluster| cluster.leading(stream))
    }

    fn leading(&self, stream: &str) -> Option<usize> {
        let leads = |server: &Server| server.streams().iter().any(|one| one["name"] == stream && server.leads(one));
        self.servers.iter().position(leads)
    }

    /// Makes the leader of the stream step down, and waits until the stream has a leader again. Gives both.
    pub fn step_down(&self, stream: &str) -> (usize, usize) {
        let before = self.leader(stream);
        let answer = self.raw(stream).api(&format!("STREAM.LEADER.STEPDOWN.{stream}"), &json!({}));
        assert_eq!(answer["success"], true, "{answer}");
        (before, self.leader(stream))
    }

    #[track_caller]
    fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + SETTLE_DEADLINE;
        loop {
            if let Some(seen) = look(self) {
                return seen;
            }
            assert!(Instant::now() < deadline, "not in time: {what}");
            std::thread::sleep(LOOK);
        }
    }
}

impl Server {
    /// What this server knows of each stream; nothing when it does not answer.
    fn streams(&self) -> Vec<Value> {
        let page = self.monitored("/jsz?streams=true&accounts=true").unwrap_or_default();
        let accounts = page["account_details"].as_array().cloned().unwrap_or_default();
        accounts.iter().filter_map(|account| account["stream_detail"].as_array().cloned()).flatten().collect()
    }

    /// Whether this server calls itself the leader of the stream, as [`Self::streams`] shows it.
    fn leads(&self, stream: &Value) -> bool {
        stream["cluster"]["leader"] == self.name()
    }
}
