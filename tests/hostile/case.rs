//! The runner: one script, played wherever the table says.

use std::sync::Arc;
use std::time::Duration;

use natsink::connection::{Backoff, ConnectionOptions, ServerUrl};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::memory::Memory;
use super::peer::Peer;
use super::socket::Sockets;
use super::stage::{Chunking, Place};
use super::support::{Authority, Identity};
use super::table::{self, Row};

/// Scripts that say no more than this are split in every place.
const SPLIT_MAX: usize = 1200;

/// A case of the table, and the client that it is played with.
pub(crate) struct Case {
    row: Row,
    options: ConnectionOptions,
    in_memory: [Chunking; 5],
    over_sockets: [Chunking; 2],
}

/// Fine enough for every op to be cut.
const FINE: [Chunking; 5] =
    [Chunking::Whole, Chunking::Every(1), Chunking::Every(2), Chunking::Every(7), Chunking::Every(64)];
/// For scripts of a megabyte.
const COARSE: [Chunking; 5] = [
    Chunking::Whole,
    Chunking::Every(1021),
    Chunking::Every(4096),
    Chunking::Every(65_536),
    Chunking::Every(99_991),
];

impl Case {
    pub(crate) fn new(number: &str) -> Self {
        let mut options = ConnectionOptions::new(vec![ServerUrl::parse("localhost").expect("a URL").addr]);
        options.retry_at_start = true;
        options.backoff = Backoff { initial: Duration::from_millis(5), max: Duration::from_secs(10) };
        let over_sockets = [Chunking::Whole, Chunking::Every(7)];
        Self { row: table::row(number), options, in_memory: FINE, over_sockets }
    }

    /// Much is said: it is cut into larger pieces.
    pub(crate) fn coarse(mut self) -> Self {
        self.in_memory = COARSE;
        self.over_sockets = [Chunking::Whole, Chunking::Every(1021)];
        self
    }

    /// Over sockets each byte is written alone.
    pub(crate) fn bytewise(mut self) -> Self {
        self.over_sockets[1] = Chunking::Every(1);
        self
    }

    /// With other options.
    pub(crate) fn with(mut self, tune: impl FnOnce(&mut ConnectionOptions)) -> Self {
        tune(&mut self.options);
        self
    }

    /// Plays the script everywhere.
    pub(crate) fn play(&self, script: impl Fn(&mut Peer)) {
        if self.row.memory {
            self.play_in_memory(&script);
        }
        if self.row.socket {
            for chunking in self.over_sockets {
                let place = Place::Socket(chunking);
                play(self.row, place, Peer::new(Box::new(Sockets::new(self.options.clone(), place, None))), &script);
            }
        }
        if self.row.tls {
            let authority = Authority::new("authority of a case");
            let mut options = self.options.clone();
            options.tls.first = true;
            options.tls.ca_file = Some(authority.ca_file().to_str().expect("a path of ours is text").into());
            let server = Some(server_config(&authority.server()));
            play(self.row, Place::Tls, Peer::new(Box::new(Sockets::new(options, Place::Tls, server))), &script);
        }
    }

    fn play_in_memory(&self, script: &impl Fn(&mut Peer)) {
        let stage = |chunking| Box::new(Memory::new(self.options.clone(), chunking));
        let mut said = 0;
        for chunking in self.in_memory {
            said = play(self.row, Place::Memory(chunking), Peer::new(stage(chunking)), script);
        }
        for at in (1..said).filter(|_| said <= SPLIT_MAX) {
            let chunking = Chunking::SplitAt(at);
            play(self.row, Place::Memory(chunking), Peer::new(stage(chunking)), script);
        }
    }
}

/// Plays the script once, and says how much the server said.
fn play(row: Row, place: Place, mut peer: Peer, script: &impl Fn(&mut Peer)) -> usize {
    let _shown = Shown(row, place);
    script(&mut peer);
    let said = peer.stage.said();
    peer.end();
    said
}

/// Shows where a case fails.
struct Shown(Row, Place);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} failed in {:?}", self.0.number, self.1);
        }
    }
}

/// A server with this identity.
pub(crate) fn server_config(identity: &Identity) -> Arc<ServerConfig> {
    let certs: Vec<_> = CertificateDer::pem_file_iter(&identity.cert)
        .and_then(Iterator::collect)
        .expect("the certificates are in their file");
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("the key is in its file");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .expect("key and certificate belong together");
    Arc::new(config)
}
