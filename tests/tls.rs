//! TLS against real servers: who is let in, who is refused and why, and that nothing is lost under it.
#![cfg(feature = "tls")]

mod support;

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use natsink::Client;
use natsink::connection::{CloseReason, ConnectionOptions, LinkError, ServerList, TlsError, TlsOptions};
use natsink::proto::Subject;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use support::{Authority, Identity, Server, ServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Long enough for anything that ends at all.
const DEADLINE: Duration = Duration::from_secs(60);
/// Within this a refusal is known.
const QUICKLY: Duration = Duration::from_secs(5);

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("done within the deadline")
}

fn path(path: impl AsRef<Path>) -> Option<String> {
    Some(path.as_ref().to_str().expect("test paths are UTF-8").into())
}

/// Trust in this authority and nobody else.
fn trusting(authority: &Authority) -> TlsOptions {
    TlsOptions { ca_file: path(authority.ca_file()), ..TlsOptions::default() }
}

/// The same, and a certificate to show.
fn as_client(authority: &Authority, client: &Identity) -> TlsOptions {
    TlsOptions { cert_file: path(&client.cert), key_file: path(&client.key), ..trusting(authority) }
}

fn options(url: &str, tls: TlsOptions) -> ConnectionOptions {
    let mut options = ConnectionOptions::new(ServerList::parse(url).expect("a URL").servers);
    options.tls = tls;
    options
}

/// A server that greets under TLS; whoever does not ask for TLS is let in too, as the tests' own reader.
fn lenient(identity: &Identity) -> Server {
    let mut options = ServerOptions::with_tls(identity, "");
    options.config.push_str("\nallow_non_tls: true");
    Server::start(options)
}

async fn connect(url: &str, tls: TlsOptions) -> Client {
    within(Client::connect(options(url, tls))).await.expect("a server that lets us in")
}

/// Why there is no TLS with this server.
async fn refusal(url: &str, tls: TlsOptions) -> TlsError {
    let before = Instant::now();
    let refused = timeout(QUICKLY, Client::connect(options(url, tls))).await.expect("refused quickly");
    match refused.expect_err("no way in") {
        CloseReason::Incompatible(LinkError::Tls(error)) => error,
        other => panic!("after {:?}: {other:?}", before.elapsed()),
    }
}

async fn untrusted(url: &str, tls: TlsOptions) -> String {
    match refusal(url, tls).await {
        TlsError::Untrusted(words) => words,
        other => panic!("{other:?}"),
    }
}

/// Whether messages go out and answers come back.
async fn works(client: &Client) {
    let subject = Subject::new("$JS.API.INFO").expect("a subject");
    let answer = within(client.request(subject, b"", DEADLINE)).await.expect("an answer");
    assert!(answer.payload.starts_with(b"{"));
}

#[tokio::test]
async fn a_link_is_secured_wherever_one_side_wants_it() {
    let authority = Authority::new("roots");
    let required = Server::start(ServerOptions::with_tls(&authority.server(), ""));
    for scheme in ["nats", "tls"] {
        works(&connect(&format!("{scheme}://{}", required.address()), trusting(&authority)).await).await;
    }
    let available = lenient(&authority.server());
    works(&connect(&available.url(), trusting(&authority)).await).await;
    let clear = within(natsink::connect(&available.url())).await.expect("clear text is allowed there");
    works(&clear).await;
    let first = Server::start(ServerOptions::with_tls(&authority.server(), "handshake_first: true"));
    works(&connect(&first.url(), TlsOptions { first: true, ..trusting(&authority) }).await).await;
}

#[tokio::test]
async fn a_server_that_requires_tls_is_not_trusted_blindly() {
    let server = Server::start(ServerOptions::with_tls(&Authority::new("unknown").server(), ""));
    let error = refusal(&server.url(), TlsOptions::default()).await;
    // A system without any roots says so instead.
    assert!(matches!(error, TlsError::Untrusted(_) | TlsError::Files(_)), "{error}");
    let stranger = Authority::new("roots");
    let words = untrusted(&server.url(), trusting(&stranger)).await;
    assert!(words.contains("ca.pem"), "{words}");
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused() {
    let (authority, stranger) = (Authority::new("roots"), Authority::new("another"));
    let cases = [
        (authority.server_named(&["db.example.com"]), "not for \"127.0.0.1\" but for"),
        (authority.server_named(&["localhost"]), "not for \"127.0.0.1\" but for"),
        (authority.server_named(&[]), "not for \"127.0.0.1\" but for no name"),
        (authority.server_expired(), "expired"),
        (authority.server_not_yet(), "not valid for another"),
        (authority.server_for_clients_only(), "not for servers"),
        (authority.server_self_signed(), "nobody in"),
        (authority.server_as_authority(), "CA:FALSE"),
        (stranger.server(), "nobody in"),
    ];
    let mut server = Server::start(ServerOptions::with_tls(&cases[0].0, ""));
    for (identity, expected) in &cases {
        server.restart_with(&identity.tls_block(""));
        let words = untrusted(&server.url(), trusting(&authority)).await;
        assert!(words.contains(expected), "{words}");
    }
}

#[tokio::test]
async fn the_name_that_is_checked_can_be_given() {
    let authority = Authority::new("roots");
    let server = Server::start(ServerOptions::with_tls(&authority.server_named(&["nats.example.com"]), ""));
    let named = |name: &str| TlsOptions { server_name: Some(name.into()), ..trusting(&authority) };
    works(&connect(&server.url(), named("nats.example.com")).await).await;
    let words = untrusted(&server.url(), named("example.com")).await;
    assert!(words.contains("\"example.com\"") && words.contains("nats.example.com"), "{words}");
    let words = untrusted(&server.url(), named("no name")).await;
    assert!(words.contains("\"no name\" is neither"), "{words}");
}

#[tokio::test]
async fn a_server_that_verifies_clients_lets_in_its_own_alone() {
    let (authority, stranger) = (Authority::new("roots"), Authority::new("another"));
    for more in ["", ", handshake_first: true"] {
        let verify = format!("{}{more}", authority.verify());
        let server = Server::start(ServerOptions::with_tls(&authority.server(), &verify));
        let with = |tls| TlsOptions { first: !more.is_empty(), ..tls };
        works(&connect(&server.url(), with(as_client(&authority, &authority.client("ann")))).await).await;
        let refused = [
            (trusting(&authority), "wants a client certificate"),
            (as_client(&authority, &stranger.client("ann")), "client certificate"),
            (as_client(&authority, &authority.server_expired()), "client certificate"),
        ];
        for (tls, expected) in refused {
            match refusal(&server.url(), with(tls)).await {
                TlsError::Refused(words) => assert!(words.contains(expected), "{words}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A server that says `greeting`, then `answer` to the first bytes, and tells all that it was sent.
fn scripted(greeting: &'static str, answer: &'static str) -> (String, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("nats://{}", listener.local_addr().expect("bound"));
    let said = thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket takes a timeout");
        socket.write_all(greeting.as_bytes()).expect("the client is there");
        let mut said = vec![0; 4096];
        let len = socket.read(&mut said).unwrap_or(0);
        said.truncate(len);
        let _ = socket.write_all(answer.as_bytes());
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.read_to_end(&mut said);
        said
    });
    (url, said)
}

#[tokio::test]
async fn nothing_is_said_in_clear_where_tls_is_wanted() {
    const CLEAR: &str = "INFO {\"headers\":true,\"max_payload\":1048576}\r\n";
    const TLS: &str = "INFO {\"headers\":true,\"max_payload\":1048576,\"tls_required\":true}\r\n";
    const INJECTED: &str = "INFO {\"headers\":true,\"max_payload\":1048576,\"tls_required\":true}\r\nMSG x 1 0\r\n\r\n";
    let demands = TlsOptions { required: true, ..TlsOptions::default() };
    let first = TlsOptions { first: true, ..TlsOptions::default() };
    let cases = [
        // (greeting, answer to the hello, options, whether the client begins to shake hands)
        (CLEAR, "", demands.clone(), false),
        (TLS, "PONG\r\n", demands.clone(), true),
        (TLS, "HTTP/1.1 400 Bad Request\r\n\r\n", TlsOptions::default(), true),
        (TLS, "\x15\x03\x01\x00\x02\x02\x28", TlsOptions::default(), true),
        (TLS, "", TlsOptions::default(), true),
        (INJECTED, "", demands, false),
        (CLEAR, "", first, true),
    ];
    for (greeting, answer, tls, shakes) in cases {
        let authority = Authority::new("roots");
        let (url, said) = scripted(greeting, answer);
        let tls = TlsOptions { ca_file: path(authority.ca_file()), ..tls };
        let refused = timeout(QUICKLY, Client::connect(options(&url, tls.clone()))).await.expect("refused quickly");
        let reason = refused.expect_err("no TLS, no link");
        let said = said.join().expect("the script ends");
        assert_eq!(said.first() == Some(&0x16), shakes, "{greeting} {tls:?} {reason}: {said:?}");
        assert!(!said.windows(4).any(|word| word == b"CONN"), "{reason}");
        assert!(shakes || said.is_empty(), "{reason}: {said:?}");
        match (greeting, answer) {
            (CLEAR, _) if !shakes => {
                assert_eq!(reason, CloseReason::Incompatible(LinkError::TlsUnavailable));
            }
            (INJECTED, _) => {
                assert!(matches!(reason, CloseReason::Unreachable(LinkError::OutOfPlace(_))), "{reason:?}");
            }
            (_, "") if !tls.first => {
                assert!(matches!(reason, CloseReason::Unreachable(LinkError::Closed { hint: Some(_) })), "{reason:?}");
            }
            (_, answer) if answer.starts_with('\x15') => {
                assert!(
                    matches!(reason, CloseReason::Incompatible(LinkError::Tls(TlsError::Refused(_)))),
                    "{reason:?}"
                );
            }
            _ => {
                assert!(matches!(reason, CloseReason::Incompatible(LinkError::Tls(TlsError::NotTls(_)))), "{reason:?}");
            }
        }
    }
}

/// A server of this one version of TLS, which demands a client certificate of the authority, greets the first client
/// that has one and lets it in.
async fn one_version(
    version: &'static SupportedProtocolVersion,
    authority: &Authority,
    identity: &Identity,
) -> (String, tokio::task::JoinHandle<()>) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.ca_file()).expect("a certificate")).expect("an authority's");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("ring knows it")
        .with_client_cert_verifier(verifier.build().expect("there are roots"))
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&identity.cert).expect("a certificate")],
            PrivateKeyDer::from_pem_file(&identity.key).expect("a key"),
        )
        .expect("a certificate and its key");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("tls://{}", listener.local_addr().expect("bound"));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let serving = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a client");
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let info = b"INFO {\"headers\":true,\"proto\":1,\"max_payload\":1048576,\"tls_required\":true}\r\n";
            stream.write_all(info).await.expect("the client is there");
            let mut said = Vec::new();
            while !said.ends_with(b"PING\r\n") {
                let read = stream.read_buf(&mut said).await.expect("the client says CONNECT");
                assert!(read > 0, "the client went away: {}", String::from_utf8_lossy(&said));
            }
            assert!(said.starts_with(b"CONNECT {"));
            stream.write_all(b"PONG\r\n").await.expect("the client is there");
            // Until the client hangs up.
            let _ = stream.read_buf(&mut said).await;
            return;
        }
    });
    (url, serving)
}

#[tokio::test]
async fn both_versions_are_spoken_and_a_refusal_is_understood_in_each() {
    let (authority, stranger) = (Authority::new("roots"), Authority::new("another"));
    let first = |tls: TlsOptions| TlsOptions { first: true, ..tls };
    for version in [&TLS12, &TLS13] {
        let (url, serving) = one_version(version, &authority, &authority.server()).await;
        for tls in [trusting(&authority), as_client(&authority, &stranger.client("ann"))] {
            let error = refusal(&url, first(tls)).await;
            assert!(matches!(error, TlsError::Refused(_)), "{version:?}: {error}");
        }
        drop(connect(&url, first(as_client(&authority, &authority.client("ann")))).await);
        within(serving).await.expect("the server saw what it wants");
    }
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_with_the_connect_timeout() {
    let authority = Authority::new("roots");
    for (greeting, first) in
        [("", true), ("INFO {\"headers\":true,\"tls_required\":true,\"max_payload\":1}\r\n", false)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let url = format!("nats://{}", listener.local_addr().expect("bound"));
        let mut options = options(&url, TlsOptions { first, ..trusting(&authority) });
        options.connect_timeout = Duration::from_millis(200);
        let stalling = thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            socket.write_all(greeting.as_bytes()).expect("the client is there");
            // Until the client hangs up.
            let _ = socket.read_to_end(&mut Vec::new());
        });
        let reason = timeout(QUICKLY, Client::connect(options)).await.expect("given up in time").expect_err("no link");
        assert_eq!(reason, CloseReason::Unreachable(LinkError::ConnectTimeout));
        stalling.join().expect("the socket was closed");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_where_it_is_demanded() {
    let server = Server::start(ServerOptions { config: "trace: true".into(), ..ServerOptions::default() });
    let url = server.url().replace("nats://", "tls://");
    let refused = timeout(QUICKLY, Client::connect(options(&url, TlsOptions::default()))).await.expect("in time");
    assert_eq!(refused.expect_err("no TLS"), CloseReason::Incompatible(LinkError::TlsUnavailable));
    works(&within(natsink::connect(&server.url())).await.expect("clear text is allowed there")).await;
    // Only who was let in has said CONNECT.
    server.until_log("<<- [CONNECT", 1);
    assert_eq!(server.log().matches("<<- [CONNECT").count(), 1);
}
