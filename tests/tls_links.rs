//! TLS over the life of a connection: files renewed under it, large payloads, slow sockets, servers killed.
#![cfg(feature = "tls")]

mod support;

use std::fs;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use natsink::connection::{ConnectionOptions, LinkError, ServerList, TlsError, TlsOptions};
use natsink::jetstream::{Message, PublisherOptions};
use natsink::proto::{MsgId, Subject};
use natsink::session::{LinkNotice, LinkState};
use natsink::{Client, Publisher};
use serde_json::json;
use support::proxy::Rules;
use support::{Authority, Direction, Identity, Proxy, Raw, Server, ServerOptions, reader};
use tempfile::NamedTempFile;
#[cfg(target_os = "linux")]
use tokio::io::{AsyncReadExt, AsyncWriteExt};
#[cfg(target_os = "linux")]
use tokio::net::{TcpSocket, TcpStream};
#[cfg(target_os = "linux")]
use tokio::sync::watch;
use tokio::time::timeout;

/// Long enough for anything that ends at all.
const DEADLINE: Duration = Duration::from_secs(60);
/// Longer than anything here takes.
const SILENCE: Duration = Duration::from_secs(3600);
/// Between two looks at something that will change.
const LOOK: Duration = Duration::from_millis(1);

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("done within the deadline")
}

fn path(path: impl AsRef<Path>) -> Option<String> {
    Some(path.as_ref().to_str().expect("test paths are UTF-8").into())
}

async fn connect(url: &str, tls: TlsOptions) -> Client {
    let mut options = ConnectionOptions::new(ServerList::parse(url).expect("a URL").servers);
    options.tls = tls;
    // Nothing but what is tested makes the socket move again.
    options.ping_interval = SILENCE;
    within(Client::connect(options)).await.expect("a server that lets us in")
}

fn trusting(authority: &Authority) -> TlsOptions {
    TlsOptions { ca_file: path(authority.ca_file()), ..TlsOptions::default() }
}

/// A server whose TLS is for those who demand it: the tests' own reader does not.
fn lenient(identity: &Identity) -> Server {
    let mut options = ServerOptions::with_tls(identity, "");
    options.config.push_str("\nallow_non_tls: true");
    let server = Server::start(options);
    Raw::connect(&server.url()).create_stream(json!({"name": "ORDERS", "subjects": ["orders.>"]}));
    server
}

fn line(number: u32, len: usize) -> String {
    format!("{{\"order\":{number:08},\"text\":\"{}\"}}", "x".repeat(len))
}

fn lines(count: u32, len: usize) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    (0..count).for_each(|number| writeln!(file, "{}", line(number, len)).expect("a file of ours"));
    file
}

async fn feed(publisher: &Publisher, numbers: std::ops::Range<u32>, len: usize) {
    for number in numbers {
        let (payload, id) = (line(number, len), format!("id-{number}"));
        let message = Message::new(Subject::new("orders.new").expect("a subject"), payload.as_bytes())
            .id(MsgId::new(&id).expect("an id"));
        drop(within(publisher.publish(&message)).await.expect("a message that can be stored"));
    }
}

fn is_exact(server: &Server, count: u32, len: usize) {
    let verdict = reader::verdict(&server.url(), "ORDERS", lines(count, len).path());
    assert!(verdict.is_exact() && verdict.messages == u64::from(count), "{verdict:?}");
}

async fn until(done: impl Fn() -> bool) {
    within(async {
        while !done() {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
}

/// Waits until a dial has failed over TLS, and tells why.
async fn refused(client: &Client) -> TlsError {
    within(async {
        loop {
            for notice in client.link_notices() {
                if let LinkNotice::DialFailed(LinkError::Tls(error)) = notice {
                    return error;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
}

async fn up(client: &Client) {
    within(async {
        let mut state = client.link_state();
        while state != LinkState::Up {
            state = client.link_changed(&state).await;
        }
    })
    .await;
}

async fn down(client: &Client) {
    within(client.link_changed(&LinkState::Up)).await;
}

/// A server with TLS, a proxy before it, and a publisher over both whose stream is looked at.
async fn verified_behind_a_proxy(authority: &Authority) -> (Server, Proxy, Client, Publisher) {
    let server = lenient(&authority.server());
    let proxy = Proxy::start(&server.address());
    let client = connect(&proxy.url(), trusting(authority)).await;
    let publisher = client.publisher(PublisherOptions::stream("ORDERS")).expect("an open connection");
    within(publisher.verified()).await.expect("the stream is there");
    (server, proxy, client, publisher)
}

#[tokio::test]
async fn ten_thousand_messages_arrive() {
    let authority = Authority::new("roots");
    let server = lenient(&authority.server());
    let client = connect(&server.url(), trusting(&authority)).await;
    let publisher = client.publisher(PublisherOptions::stream("ORDERS")).expect("an open connection");
    feed(&publisher, 0..10_000, 90).await;
    within(publisher.settled()).await;
    let statistics = publisher.statistics();
    assert_eq!([statistics.stored, statistics.replayed, client.statistics().connects], [10_000, 0, 1]);
    is_exact(&server, 10_000, 90);
}

/// Bytes that this machine holds for sockets which send to `port`, as Linux counts them.
#[cfg(target_os = "linux")]
fn unsent(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux tells");
    let to_port = format!(":{port:04X}");
    let queues = table.lines().skip(1).filter_map(|row| {
        let fields: Vec<_> = row.split_whitespace().collect();
        let (queued, _) = fields[4].split_once(':')?;
        fields[2].ends_with(&to_port).then(|| usize::from_str_radix(queued, 16).expect("a number"))
    });
    queues.sum()
}

/// A port that leads to `upstream`, with little room of its own: while its gate is closed, what is sent there soon stands
/// still at the sender's. For one connection.
#[cfg(target_os = "linux")]
async fn gated(upstream: String) -> (u16, watch::Sender<bool>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 << 10).expect("a socket takes a size");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("loopback has a free port");
    let listener = socket.listen(1).expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let (gate, mut is_open) = watch::channel(true);
    tokio::spawn(async move {
        let (mut from_client, mut to_client) = listener.accept().await.expect("a client").0.into_split();
        let (mut from_server, mut to_server) =
            TcpStream::connect(upstream).await.expect("the server listens").into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut bytes = [0; 4096];
        while is_open.wait_for(|is_open| *is_open).await.is_ok() {
            let Ok(len @ 1..) = from_client.read(&mut bytes).await else { return };
            to_server.write_all(&bytes[..len]).await.expect("the server reads");
        }
    });
    (port, gate)
}

/// The system's buffers are full, and the last message stands in those of TLS alone: nobody else will drive it out.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_tls_has_taken_goes_out_once_the_socket_takes_it() {
    const LEN: usize = 32_000;
    /// More than is on its way while the gate is open.
    const HELD_MIN: usize = 3 * LEN;
    let authority = Authority::new("roots");
    let server = lenient(&authority.server());
    let (port, gate) = gated(server.address()).await;
    let client = connect(&format!("nats://127.0.0.1:{port}"), trusting(&authority)).await;
    let mut options = PublisherOptions::stream("ORDERS");
    options.in_flight_bytes_max = 256 << 20;
    (options.send_timeout, options.batch_timeout) = (SILENCE, SILENCE);
    let publisher = client.publisher(options).expect("an open connection");
    // The first message goes alone.
    feed(&publisher, 0..1, LEN).await;
    within(publisher.settled()).await;
    gate.send_replace(false);
    let (mut count, mut held, mut held_before) = (1, 0, 0);
    while held < HELD_MIN || held > held_before {
        let taken = client.statistics().bytes_out;
        feed(&publisher, count..count + 1, LEN).await;
        count += 1;
        until(|| client.statistics().bytes_out >= taken + LEN as u64).await;
        (held_before, held) = (held, unsent(port));
    }
    gate.send_replace(true);
    within(publisher.settled()).await;
    assert_eq!([publisher.statistics().replayed, client.statistics().connects], [0, 1]);
    is_exact(&server, count, LEN);
}

#[tokio::test]
async fn large_payloads_arrive_over_a_slow_socket() {
    let authority = Authority::new("roots");
    let (server, proxy, _client, publisher) = verified_behind_a_proxy(&authority).await;
    for rate in [Some(20_000_000), Some(50_000_000), None] {
        proxy.set(Direction::ToServer, Rules { rate, ..Rules::default() });
        let done = u32::try_from(publisher.statistics().stored).expect("few");
        feed(&publisher, done..done + 20, 900_000).await;
        within(publisher.settled()).await;
    }
    assert_eq!([publisher.statistics().stored, publisher.statistics().replayed], [60, 0]);
    is_exact(&server, 60, 900_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing() {
    const COUNT: u32 = 30_000;
    let authority = Authority::new("roots");
    let mut server = lenient(&authority.server());
    let client = connect(&server.url(), trusting(&authority)).await;
    let publisher = client.publisher(PublisherOptions::stream("ORDERS")).expect("an open connection");
    let feeding = feed(&publisher, 0..COUNT, 90);
    let killing = async {
        for kill in 1..=3 {
            until(|| publisher.statistics().stored >= kill * 5_000).await;
            server.restart();
            until(|| client.statistics().connects == 1 + kill).await;
        }
    };
    tokio::join!(feeding, killing);
    within(publisher.settled()).await;
    assert_eq!(client.statistics().connects, 4);
    is_exact(&server, COUNT, 90);
}

#[tokio::test]
async fn bytes_lost_in_the_middle_of_a_record_are_a_lost_link() {
    let authority = Authority::new("roots");
    let (server, proxy, client, publisher) = verified_behind_a_proxy(&authority).await;
    for (round, direction) in [Direction::ToServer, Direction::ToClient, Direction::ToClient].into_iter().enumerate() {
        // No farewell of TLS comes before this end.
        proxy.set(direction, Rules { cut_after: Some(5_003), ..Rules::default() });
        let round = u32::try_from(round).expect("few");
        feed(&publisher, round * 1_000..(round + 1) * 1_000, 90).await;
        within(publisher.settled()).await;
    }
    let lost: Vec<_> = client.link_notices().filter(|notice| matches!(notice, LinkNotice::Lost(_))).collect();
    assert_eq!(lost.len(), 3, "{lost:?}");
    for notice in lost {
        assert!(matches!(notice, LinkNotice::Lost(LinkError::Closed { .. })), "{notice:?}");
    }
    is_exact(&server, 3_000, 90);
}

#[tokio::test]
async fn roots_are_read_again_for_each_link() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let trusted = NamedTempFile::new().expect("a temporary file");
    fs::copy(old.ca_file(), trusted.path()).expect("a file of ours");
    let mut server = Server::start(ServerOptions::with_tls(&old.server(), ""));
    let client = connect(&server.url(), TlsOptions { ca_file: path(trusted.path()), ..TlsOptions::default() }).await;
    let identity = new.server();
    server.restart_with(&identity.tls_block(""));
    assert!(matches!(refused(&client).await, TlsError::Untrusted(_)));
    fs::copy(new.ca_file(), trusted.path()).expect("a file of ours");
    up(&client).await;
    // Half a file is no reason to give up, nor to trust whom it no longer names.
    fs::write(trusted.path(), "-----BEGIN CERTIFICATE-----\nMII").expect("a file of ours");
    server.restart();
    assert!(matches!(refused(&client).await, TlsError::Files(words) if words.contains("damaged PEM")));
    fs::copy(new.ca_file(), trusted.path()).expect("a file of ours");
    up(&client).await;
}

#[tokio::test]
async fn client_certificates_are_read_again_for_each_link() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (identity, ann) = (old.server(), old.client("ann"));
    let mut server = Server::start(ServerOptions::with_tls(&identity, &old.verify()));
    let tls = TlsOptions { cert_file: path(&ann.cert), key_file: path(&ann.key), ..trusting(&old) };
    let client = connect(&server.url(), tls).await;
    server.restart_with(&identity.tls_block(&new.verify()));
    assert!(matches!(refused(&client).await, TlsError::Refused(_)));
    // In the middle of a renewal the certificate is new and its key is not.
    let renewed = new.client("ann");
    fs::copy(&renewed.cert, &ann.cert).expect("a file of ours");
    let mismatched = within(async {
        loop {
            if let TlsError::Files(words) = refused(&client).await {
                return words;
            }
        }
    })
    .await;
    assert!(mismatched.contains("not the key of the first certificate"), "{mismatched}");
    ann.become_another(&renewed);
    up(&client).await;
    // An orderly change of links reads them too.
    fs::write(&ann.key, "").expect("a file of ours");
    client.reconnect();
    down(&client).await;
    assert!(matches!(refused(&client).await, TlsError::Files(words) if words.contains("no private key")));
    ann.become_another(&renewed);
    up(&client).await;
}
