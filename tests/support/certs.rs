//! Certificates for one test: an authority of its own, and what it signs, as PEM files in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// Names under which a server on loopback is dialled.
pub const LOOPBACK: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// A certificate authority. Its files live as long as it does.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
    signed: AtomicU32,
}

/// A certificate and its key, two PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// A new authority; two of the same name do not trust each other.
    pub fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority can sign itself");
        let dir = tempfile::Builder::new().prefix("natsink-certs-").tempdir().expect("a temporary folder");
        fs::write(dir.path().join("ca.pem"), issuer.pem()).expect("the folder is ours");
        Self { issuer, dir, signed: AtomicU32::new(0) }
    }

    /// The authority's own certificate, which makes whoever trusts it trust what it signed.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A server good for every name of loopback.
    pub fn server(&self) -> Identity {
        self.server_named(LOOPBACK)
    }

    /// A server good for these names and addresses alone; with none it has no subject alternative name.
    pub fn server_named(&self, names: &[&str]) -> Identity {
        self.sign(params("server", names), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A server whose certificate ended in 2021.
    pub fn server_expired(&self) -> Identity {
        let mut params = params("server", LOOPBACK);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A server whose certificate begins in 2090.
    pub fn server_not_yet(&self) -> Identity {
        let mut params = params("server", LOOPBACK);
        params.not_before = date_time_ymd(2090, 1, 1);
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A server whose certificate is for clients only.
    pub fn server_for_clients_only(&self) -> Identity {
        self.sign(params("server", LOOPBACK), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A server that vouches for itself: nobody signed it.
    pub fn server_self_signed(&self) -> Identity {
        let key = key();
        let mut params = params("server", LOOPBACK);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let cert = params.self_signed(&key).expect("a certificate can sign itself");
        self.write(&cert.pem(), &key)
    }

    /// A server that shows a certificate that makes it an authority, as `openssl req -x509` makes them.
    pub fn server_as_authority(&self) -> Identity {
        let mut params = params("server", LOOPBACK);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client; `verify_and_map` knows it as `CN=name`.
    pub fn client(&self, name: &str) -> Identity {
        self.sign(params(name, &[]), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// What makes a server's `tls` block demand a client certificate of this authority.
    pub fn verify(&self) -> String {
        format!("ca_file: {:?}, verify: true", self.ca_file())
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Identity {
        let key = key();
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&key, &self.issuer).expect("the authority can sign");
        self.write(&cert.pem(), &key)
    }

    fn write(&self, cert: &str, key: &KeyPair) -> Identity {
        let number = self.signed.fetch_add(1, Ordering::Relaxed);
        let path = |what: &str| self.dir.path().join(format!("{number}-{what}.pem"));
        let identity = Identity { cert: path("cert"), key: path("key") };
        fs::write(&identity.cert, cert).expect("the folder is ours");
        fs::write(&identity.key, key.serialize_pem()).expect("the folder is ours");
        identity
    }
}

impl Identity {
    /// A server's `tls` block with this identity and more of its members, such as [`Authority::verify`].
    pub fn tls_block(&self, more: &str) -> String {
        format!("tls {{ cert_file: {:?}, key_file: {:?}, {more} }}", self.cert, self.key)
    }

    /// Puts another identity into the files of this one: a rotation, seen by whoever reads them again.
    pub fn become_another(&self, other: &Self) {
        let copy = |from: &Path, to: &Path| fs::copy(from, to).expect("both files are ours");
        copy(&other.cert, &self.cert);
        copy(&other.key, &self.key);
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

/// Good from 2020 to 2100, for nothing yet.
fn params(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names that a certificate can hold");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params
}
