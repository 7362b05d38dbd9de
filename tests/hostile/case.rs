//! The runner: one script, played wherever the table says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use natsink::connection::{Backoff, ConnectionOptions, ServerUrl};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::memory::Memory;
use super::peer::Peer;
use super::socket::Sockets;
use super::stage::{Chunking, Place, Stage};
use super::support::{Authority, Identity};
use super::table::{self, Row};

/// Scripts that say no more than this are split in every place.
const SPLIT_MAX: usize = 1200;

/// A case of the table, and the client that it is played with.
pub(crate) struct Case {
    row: Row,
    options: ConnectionOptions,
    in_memory: [Chunking; 5],
    over_sockets: Vec<Chunking>,
    upgrades: bool,
    /// The server's certificate.
    identity: fn(&Authority) -> Identity,
    /// A file of roots and a server, in the place of an authority of its own.
    trust: Option<(PathBuf, Arc<ServerConfig>)>,
}

/// Fine enough for every op to be cut.
const FINE: [Chunking; 5] =
    [Chunking::Whole, Chunking::Every(1), Chunking::Every(2), Chunking::Every(7), Chunking::Every(64)];
/// For scripts of a megabyte, and for those that take long. These are not split in every place either.
const COARSE: [Chunking; 5] =
    [Chunking::Whole, Chunking::Every(1021), Chunking::Every(4096), Chunking::Every(65_536), Chunking::Every(99_991)];

impl Case {
    pub(crate) fn new(number: &str) -> Self {
        let mut options = ConnectionOptions::new(vec![ServerUrl::parse("localhost").expect("a URL").addr]);
        options.retry_at_start = true;
        options.backoff = Backoff { initial: Duration::from_millis(5), max: Duration::from_millis(100) };
        let over_sockets = vec![Chunking::Whole, Chunking::Every(7)];
        Self {
            row: table::row(number),
            options,
            in_memory: FINE,
            over_sockets,
            upgrades: false,
            identity: Authority::server,
            trust: None,
        }
    }

    /// Much is said, or it takes long: it is cut into larger pieces.
    pub(crate) fn coarse(mut self) -> Self {
        self.in_memory = COARSE;
        self.over_sockets[1] = Chunking::Every(1021);
        self
    }

    /// As [`Case::coarse`], where it is so.
    pub(crate) fn coarse_if(self, much: bool) -> Self {
        if much { self.coarse() } else { self }
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

    /// Over sockets nothing is cut, and the script is played once.
    pub(crate) fn uncut(mut self) -> Self {
        self.over_sockets.truncate(1);
        self
    }

    /// TLS is demanded of the client, and it is the script that shakes hands, behind INFO.
    pub(crate) fn upgrading(mut self) -> Self {
        self.upgrades = true;
        self.options.tls.required = true;
        self
    }

    /// The server has another certificate than a good one.
    pub(crate) fn identity(mut self, identity: fn(&Authority) -> Identity) -> Self {
        self.identity = identity;
        self
    }

    /// The client trusts what this file holds, and this is the server.
    pub(crate) fn trusting(mut self, ca_file: &Path, server: Arc<ServerConfig>) -> Self {
        self.trust = Some((ca_file.to_owned(), server));
        self
    }

    /// Plays the script everywhere.
    pub(crate) fn play(&self, script: impl Fn(&mut Peer)) {
        if self.row.memory {
            self.play_in_memory(&script);
        }
        if self.row.socket {
            for &chunking in &self.over_sockets {
                let place = Place::Socket(chunking);
                self.play_at(place, Box::new(Sockets::new(self.options.clone(), place, None)), &script);
            }
        }
        if self.row.tls {
            let authority = Authority::new("authority of a case");
            let mut options = self.options.clone();
            let own = || (authority.ca_file(), server_config(&(self.identity)(&authority)));
            let (ca_file, server) = self.trust.clone().unwrap_or_else(own);
            options.tls.first |= !self.upgrades;
            options.tls.ca_file.get_or_insert(ca_file.to_str().expect("a path of ours is text").into());
            let stage = Sockets::new(options, Place::Tls, Some((server, !self.upgrades)));
            self.play_at(Place::Tls, Box::new(stage), &script);
        }
    }

    fn play_in_memory(&self, script: &impl Fn(&mut Peer)) {
        let play = |chunking| {
            let stage = Box::new(Memory::new(self.options.clone(), chunking));
            self.play_at(Place::Memory(chunking), stage, script)
        };
        let said = self.in_memory.map(play)[0];
        for at in (1..said).filter(|_| said <= SPLIT_MAX && self.in_memory == FINE) {
            play(Chunking::SplitAt(at));
        }
    }

    /// Plays the script once, and says how much the server said.
    fn play_at(&self, place: Place, stage: Box<dyn Stage>, script: &impl Fn(&mut Peer)) -> usize {
        let _shown = Shown(self.row, place);
        let mut peer = Peer::new(stage, self.upgrades);
        script(&mut peer);
        let said = peer.stage.said();
        peer.end();
        said
    }
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
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .expect("key and certificate belong together");
    // Open to all that a client could want to send before the handshake is over.
    config.max_early_data_size = 16 << 10;
    Arc::new(config)
}
