//! The stage with sockets: the tokio client, and a server on a real listener, in clear or under TLS.

use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use natsink::Client;
use natsink::connection::{ConnectionOptions, ServerAddr, Statistics};
use natsink::jetstream::{
    Message, Notice, Outcome, PublisherError, PublisherOptions, PublisherStatistics, SubmitError,
};
use natsink::proto::Subject;
use natsink::session::{FlushError, LinkNotice, LinkState, Received, RequestError};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::stage::{Chunking, Cutter, Heard, Place, Stage};

/// Between two looks at something that will change.
const LOOK: Duration = Duration::from_millis(1);
/// How long a handshake, or a write to a client that reads, may take.
const SOCKET_DEADLINE: Duration = Duration::from_secs(10);

/// The client in its runtime, and the server's end of its link.
pub(crate) struct Sockets {
    place: Place,
    cutter: Cutter,
    listener: TcpListener,
    link: Link,
    is_heard: bool,
    /// Whether hands are shaken as soon as somebody dials.
    tls_first: bool,
    tls: Option<Arc<ServerConfig>>,
    client: Client,
    publisher: Option<natsink::Publisher>,
    asked: Option<JoinHandle<Result<Received, RequestError>>>,
    flushed: Option<JoinHandle<Result<(), FlushError>>>,
    started: Instant,
    runtime: Runtime,
}

enum Link {
    None,
    Clear(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Sockets {
    /// A listener, and a client that dials it; how the server shakes hands, and whether as soon as somebody dials.
    pub(crate) fn new(mut options: ConnectionOptions, place: Place, tls: Option<(Arc<ServerConfig>, bool)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a listener can be asked without waiting");
        let port = listener.local_addr().expect("it is bound").port();
        for server in &mut options.servers {
            *server = ServerAddr { host: "localhost".into(), port, tls: server.tls };
        }
        let (tls, tls_first) = tls.map_or((None, false), |(config, first)| (Some(config), first));
        let runtime =
            Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime can be made");
        let client = runtime.block_on(async { Client::start(options) }).expect("the system has random bytes");
        let chunking = match place {
            Place::Memory(chunking) | Place::Socket(chunking) => chunking,
            Place::Tls => Chunking::Whole,
        };
        Self {
            place,
            cutter: Cutter::new(chunking),
            listener,
            link: Link::None,
            is_heard: false,
            tls_first,
            tls,
            client,
            publisher: None,
            asked: None,
            flushed: None,
            started: Instant::now(),
            runtime,
        }
    }

    fn publisher(&self) -> &natsink::Publisher {
        self.publisher.as_ref().expect("the script has a publisher")
    }
}

impl Link {
    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::None => None,
            Self::Clear(socket) => Some(socket),
            Self::Tls(stream) => Some(&stream.sock),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Clear(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::None => Ok(0),
            Self::Clear(socket) => socket.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Stage for Sockets {
    fn place(&self) -> Place {
        self.place
    }

    fn accept(&mut self) -> bool {
        match self.listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false).expect("a socket can wait");
                socket.set_nodelay(true).expect("a socket takes nodelay");
                socket.set_write_timeout(Some(SOCKET_DEADLINE)).expect("a socket takes a timeout");
                (self.link, self.is_heard) = (Link::Clear(socket), true);
                if self.tls_first {
                    self.secure();
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("the listener fails: {error}"),
        }
    }

    fn dialled(&self) -> ServerAddr {
        let port = self.listener.local_addr().expect("it is bound").port();
        ServerAddr { host: "localhost".into(), port, tls: false }
    }

    fn say(&mut self, bytes: &[u8]) {
        for piece in self.cutter.pieces(bytes) {
            // Who hangs up while we speak tells why by itself.
            if self.link.write(piece).is_err() {
                self.is_heard = false;
                return;
            }
        }
    }

    fn is_heard(&self) -> bool {
        self.is_heard
    }

    fn hear(&mut self) -> Heard {
        if let Some(socket) = self.link.socket() {
            socket.set_read_timeout(Some(LOOK)).expect("a socket takes a timeout");
        }
        let mut bytes = vec![0; 64 << 10];
        match self.link.read(&mut bytes) {
            Ok(0) => Heard::Gone,
            Ok(len) => {
                bytes.truncate(len);
                Heard::Bytes(bytes)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Heard::Nothing,
            Err(_) => Heard::Gone,
        }
    }

    fn said(&self) -> usize {
        self.cutter.said()
    }

    fn close(&mut self) {
        if let Some(socket) = self.link.socket() {
            // The client may have been quicker.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.link = Link::None;
    }

    fn secure(&mut self) -> Option<String> {
        let config = Arc::clone(self.tls.as_ref().expect("the case has a certificate"));
        let connection = ServerConnection::new(config).expect("the configuration is good");
        let Link::Clear(socket) = std::mem::replace(&mut self.link, Link::None) else { panic!("a socket in clear") };
        socket.set_read_timeout(Some(SOCKET_DEADLINE)).expect("a socket takes a timeout");
        let mut stream = Box::new(StreamOwned::new(connection, socket));
        while stream.conn.is_handshaking() {
            // A client that breaks the handshake off tells why by itself.
            if stream.conn.complete_io(&mut stream.sock).is_err() {
                break;
            }
        }
        let name = stream.conn.server_name().map(str::to_owned);
        self.link = Link::Tls(stream);
        name
    }

    fn is_fresh(&self) -> bool {
        match &self.link {
            Link::Tls(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Full),
            _ => false,
        }
    }

    fn become_another(&mut self, server: Arc<ServerConfig>) {
        self.tls = Some(server);
    }

    fn turn(&mut self) -> bool {
        std::thread::sleep(LOOK);
        true
    }

    fn pass(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn notices(&mut self) -> Vec<LinkNotice> {
        self.client.link_notices().collect()
    }

    fn link_state(&self) -> LinkState {
        self.client.link_state()
    }

    fn statistics(&self) -> Statistics {
        self.client.statistics()
    }

    fn add_publisher(&mut self, options: PublisherOptions) {
        self.publisher = Some(self.client.publisher(options).expect("options of a test are good"));
    }

    fn submit(&mut self, tag: u64, message: &Message<'_>) -> Result<(), SubmitError> {
        self.publisher().try_send(tag, message)
    }

    fn outcomes(&mut self) -> Vec<(u64, Outcome)> {
        let mut outcomes = Vec::new();
        self.publisher().try_outcomes(&mut outcomes);
        outcomes
    }

    fn failure(&self) -> Option<PublisherError> {
        self.publisher().failure()
    }

    fn publisher_statistics(&self) -> PublisherStatistics {
        self.publisher().statistics()
    }

    fn publisher_notices(&mut self) -> Vec<Notice> {
        self.publisher().notices().collect()
    }

    fn outbox_len(&mut self) -> usize {
        self.publisher().outbox_len()
    }

    fn ask(&mut self, subject: &str) {
        let (client, subject) = (self.client.clone(), subject.to_owned());
        self.asked = Some(self.runtime.spawn(async move {
            client.request(Subject::new(&subject).expect("a subject"), b"", SOCKET_DEADLINE).await
        }));
    }

    fn answer(&mut self) -> Option<Received> {
        let asked = self.asked.take_if(|asked| asked.is_finished())?;
        match self.runtime.block_on(asked).expect("a question does not panic") {
            Ok(received) => Some(received),
            Err(error) => panic!("no answer: {error}"),
        }
    }

    fn reconnect(&mut self) {
        self.client.reconnect();
    }

    fn flush(&mut self) {
        let client = self.client.clone();
        self.flushed = Some(self.runtime.spawn(async move { client.flush(SOCKET_DEADLINE).await }));
    }

    fn is_flushed(&mut self) -> bool {
        let Some(flushed) = self.flushed.take_if(|flushed| flushed.is_finished()) else { return false };
        self.runtime.block_on(flushed).expect("a question does not panic").expect("the server has read all");
        true
    }

    fn show(&self, to: &mut dyn FnMut(&dyn Debug)) {
        to(&self.client);
    }
}
