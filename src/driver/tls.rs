//! TLS as the drivers speak it: rustls with ring, made for each handshake from files read for it.
//!
//! TLS 1.2 and 1.3, nothing sent before the handshake is over, and no session is kept to be resumed: each link proves
//! itself anew. Where no CA file is named, the roots are the system's, or those that the variables `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` name.
//!
//! ```
//! use natsink::connection::{TlsError, TlsOptions};
//!
//! let options = TlsOptions { ca_file: Some("/nowhere/ca.pem".into()), ..TlsOptions::default() };
//! let Err(TlsError::Files(words)) = natsink::tls::check(&options) else { panic!("there is no such file") };
//! assert!(words.starts_with("/nowhere/ca.pem: "));
//! ```

use std::format;
use std::io;
use std::path::Path;
use std::string::{String, ToString};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, CertificateError, ClientConfig, InconsistentKeys, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::{Zeroize, Zeroizing};

use super::small_file;
use crate::connection::{LinkError, TlsError, TlsOptions};

/// The longest file of certificates; the bundles of all public roots have a fifth of it.
const CERTS_LEN_MAX: usize = 1 << 20;
/// The longest file with a private key, and what may stand beside it.
const KEY_LEN_MAX: usize = 64 << 10;
/// Threads that read the files of one driver's handshakes: those of links that were given up may not have come back yet.
const READING_MAX: usize = 4;
/// Names of a foreign certificate that an error repeats at most.
const NAMES_MAX: usize = 8;

/// Reads all that these options name, as each handshake does, and says what is wrong with it.
///
/// # Errors
/// [`TlsError::Files`] for what cannot be read or used, [`TlsError::Untrusted`] for a server name that is none.
pub fn check(options: &TlsOptions) -> Result<(), TlsError> {
    if let Some(name) = &options.server_name {
        server_name(name.clone())?;
    }
    client_config(options).map(drop)
}

/// Shakes hands over this socket with the server that must bear this name. `reading` counts who reads files for it.
pub(super) async fn handshake(
    stream: TcpStream,
    options: TlsOptions,
    name: String,
    reading: Arc<()>,
) -> Result<TlsStream<TcpStream>, LinkError> {
    let name = server_name(name).map_err(LinkError::Tls)?;
    // The driver holds it, too, and this handshake.
    if Arc::strong_count(&reading) > READING_MAX + 1 {
        return Err(LinkError::Transport("certificates or keys of earlier links are still being read".into()));
    }
    let roots = options.ca_file.clone();
    let config = tokio::task::spawn_blocking(move || (client_config(&options), drop(reading)).0)
        .await
        .map_err(|_| LinkError::Transport("the runtime no longer reads files".into()))?
        .map_err(LinkError::Tls)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    stream.map_err(|error| broken(&error, roots.as_deref()))
}

/// What it means for a link that its TLS stream failed after the handshake. A server that refuses a client's
/// certificate under TLS 1.3 says so only there.
pub(super) fn link_error(error: &io::Error) -> LinkError {
    broken(error, None)
}

fn broken(error: &io::Error, ca_file: Option<&str>) -> LinkError {
    use rustls::Error as E;
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) else {
        return super::broken::link_error(error);
    };
    LinkError::Tls(match error {
        E::AlertReceived(alert) => TlsError::Refused(refused(*alert)),
        E::NoCertificatesPresented => TlsError::Untrusted("it shows none".into()),
        E::InvalidCertificate(error) => TlsError::Untrusted(untrusted(error, ca_file)),
        E::InvalidMessage(_) | E::InappropriateMessage { .. } | E::PeerSentOversizedRecord => {
            TlsError::NotTls(error.to_string())
        }
        E::InappropriateHandshakeMessage { .. } | E::PeerMisbehaved(_) | E::DecryptError => {
            TlsError::NotTls(format!("it breaks the rules of TLS: {error}"))
        }
        E::PeerIncompatible(_) | E::NoApplicationProtocol => {
            TlsError::NotTls(format!("nothing of TLS 1.2 and 1.3 is common to both: {error}"))
        }
        // What is left is no fault of the server's.
        _ => return LinkError::Transport(format!("TLS: {error}")),
    })
}

fn server_name(name: String) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.as_str())
        .map(|name| name.to_owned())
        .map_err(|_| TlsError::Untrusted(format!("{name:?} is neither a host name nor an address")))
}

fn client_config(options: &TlsOptions) -> Result<ClientConfig, TlsError> {
    let roots = match &options.ca_file {
        Some(path) => roots_of(path)?,
        None => system_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("ring has cipher suites for both versions")
        .with_root_certificates(roots);
    let mut config = match (&options.cert_file, &options.key_file) {
        (Some(cert), Some(key)) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity(cert, key)?)))
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(path), None) => return Err(files(path, "a client certificate goes with its key file")),
        (None, Some(path)) => return Err(files(path, "a client key goes with its certificate file")),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn roots_of(path: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 {
        return Err(files(path, "none of its certificates can be read"));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(TlsError::Files(format!("this system has no trusted roots{why}: name a CA file")));
    }
    Ok(roots)
}

/// Who this client is: its certificate, and the key of it.
fn identity(cert_file: &str, key_file: &str) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(cert_file)?;
    let text = read(key_file, KEY_LEN_MAX)?;
    // The errors of the PEM reader repeat what they stumbled over.
    let mut key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| files(key_file, "no private key in it: PKCS#8, PKCS#1 or SEC1, in PEM, without a passphrase"))?;
    let signer = ring::sign::any_supported_type(&key);
    key.zeroize();
    let signer =
        signer.map_err(|_| files(key_file, "no private key of a kind that is known: RSA, ECDSA or Ed25519"))?;
    let identity = CertifiedKey::new(chain, signer);
    match identity.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(identity),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(files(key_file, &format!("not the key of the first certificate in {cert_file}")))
        }
        Err(_) => Err(files(cert_file, "its first certificate cannot be read")),
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path, CERTS_LEN_MAX)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(files(path, "no certificate in it: PEM is wanted")),
        Err(_) => Err(files(path, "damaged PEM")),
    }
}

fn read(path: &str, len_max: usize) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let text = small_file::read(Path::new(path), len_max).map_err(|words| files(path, &words))?;
    if text.len() > len_max {
        return Err(files(path, &format!("longer than {len_max} bytes")));
    }
    Ok(text)
}

fn files(path: &str, why: &str) -> TlsError {
    TlsError::Files(format!("{}: {why}", small_file::shown(Path::new(path))))
}

fn untrusted(error: &CertificateError, ca_file: Option<&str>) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => match ca_file {
            Some(path) => format!("nobody in {path} has signed it"),
            None => "none of the system's roots has signed it; name a CA file if it has an authority of its own".into(),
        },
        E::ExpiredContext { time, not_after } => {
            format!("it expired {} ago", span(time.as_secs().saturating_sub(not_after.as_secs())))
        }
        E::NotValidYetContext { time, not_before } => {
            format!("it is not valid for another {}", span(not_before.as_secs().saturating_sub(time.as_secs())))
        }
        E::NotValidForNameContext { expected, presented } => {
            let mut names: Vec<_> = presented.iter().take(NAMES_MAX).map(|name| printable(name)).collect();
            if names.is_empty() {
                names.push("no name at all".into());
            }
            format!("it is not for {:?} but for {}", expected.to_str(), names.join(", "))
        }
        // What `openssl req -x509` makes, unless it is told otherwise.
        E::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "it is that of an authority (CA:TRUE) and not of a server; make one with basicConstraints=CA:FALSE".into()
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "it is not for servers (extended key usage)".into(),
        _ => printable(&error.to_string()),
    }
}

fn refused(alert: AlertDescription) -> String {
    let words = match alert {
        AlertDescription::CertificateRequired => "it wants a client certificate",
        AlertDescription::BadCertificate => "it wants a client certificate, or another one",
        AlertDescription::UnknownCA | AlertDescription::CertificateUnknown | AlertDescription::AccessDenied => {
            "it does not trust the client certificate"
        }
        AlertDescription::CertificateExpired => "the client certificate has expired",
        AlertDescription::CertificateRevoked => "the client certificate was revoked",
        AlertDescription::UnsupportedCertificate => "the client certificate is not for clients, or of an unknown kind",
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => "nothing of TLS is common to both",
        AlertDescription::UnrecognisedName => "it does not know the name it was asked for",
        _ => "it gave no reason that is known",
    };
    format!("{words} (alert {alert:?})")
}

/// A stretch of time as a person says it.
fn span(secs: u64) -> String {
    match secs {
        0..7200 => format!("{:?}", Duration::from_secs(secs)),
        7200..172_800 => format!("{} hours", secs / 3600),
        _ => format!("{} days", secs / 86_400),
    }
}

/// What others wrote, without what a terminal obeys.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64;
    use rcgen::{CertificateParams, KeyPair};
    use std::fs;
    use std::path::PathBuf;
    use tempfile::TempDir;

    /// A folder with a certificate, `cert.pem`, and its key, `key.pem`; whatever else the options are to name.
    struct Files(TempDir);

    impl Files {
        fn new() -> (Self, KeyPair) {
            let files = Self(tempfile::tempdir().unwrap());
            let key = KeyPair::generate().unwrap();
            let cert = CertificateParams::new(["localhost".into()]).unwrap().self_signed(&key).unwrap();
            files.write("cert.pem", &cert.pem());
            files.write("key.pem", &key.serialize_pem());
            (files, key)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }

        fn check(&self, ca: Option<&str>, cert: Option<&str>, key: Option<&str>) -> Result<(), String> {
            let path = |name: Option<&str>| name.map(|name| self.path(name).to_str().unwrap().into());
            let options = TlsOptions {
                ca_file: path(ca.or(Some("cert.pem"))),
                cert_file: path(cert),
                key_file: path(key),
                ..TlsOptions::default()
            };
            check(&options).map_err(|error| {
                let TlsError::Files(words) = &error else { panic!("{error:?}") };
                assert!(words.starts_with(self.0.path().to_str().unwrap()), "{words}");
                words.clone()
            })
        }
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
    }

    #[test]
    fn keys_are_read_in_their_usual_shapes() {
        let (files, key) = Files::new();
        files.check(None, None, None).unwrap();
        files.check(None, Some("cert.pem"), Some("key.pem")).unwrap();
        // SEC1 is what PKCS#8 wraps for elliptic curves, behind 29 bytes for this one.
        files.write("sec1.pem", &pem("EC PRIVATE KEY", &key.serialize_der()[29..]));
        files.check(None, Some("cert.pem"), Some("sec1.pem")).unwrap();
        let both = fs::read_to_string(files.path("cert.pem")).unwrap() + &key.serialize_pem().replace('\n', "\r\n");
        files.write("both.pem", &both);
        files.check(Some("both.pem"), Some("both.pem"), Some("both.pem")).unwrap();
    }

    #[test]
    fn files_that_cannot_be_used_are_named_and_never_shown() {
        let (files, _) = Files::new();
        let canary = BASE64.encode(b"canary: this must never show");
        files.write("empty.pem", "");
        files.write("text.pem", &canary);
        files.write("begin.pem", &format!("-----BEGIN {canary}\n"));
        files.write("open.pem", &format!("-----BEGIN PRIVATE KEY-----\n{canary}\n"));
        files.write("no_base64.pem", &format!("-----BEGIN PRIVATE KEY-----\n{canary}!\n-----END PRIVATE KEY-----\n"));
        files.write("no_key.pem", &pem("PRIVATE KEY", canary.as_bytes()));
        files.write("locked.pem", &pem("ENCRYPTED PRIVATE KEY", canary.as_bytes()));
        files.write("no_cert.pem", &pem("CERTIFICATE", canary.as_bytes()));
        files.write("long.pem", &canary.repeat(CERTS_LEN_MAX / canary.len() + 1));
        files.write("other.pem", &KeyPair::generate().unwrap().serialize_pem());
        let (cert, key) = (Some("cert.pem"), Some("key.pem"));
        let cases = [
            (files.check(Some("none.pem"), None, None), "No such file"),
            (files.check(Some("empty.pem"), None, None), "no certificate in it"),
            (files.check(Some("text.pem"), None, None), "no certificate in it"),
            (files.check(Some("begin.pem"), None, None), "damaged PEM"),
            (files.check(Some("no_cert.pem"), None, None), "none of its certificates"),
            (files.check(Some("long.pem"), None, None), "longer than 1048576 bytes"),
            (files.check(Some("."), None, None), "not a file"),
            (files.check(None, cert, None), "goes with its key file"),
            (files.check(None, None, key), "goes with its certificate file"),
            (files.check(None, Some("no_cert.pem"), key), "first certificate cannot be read"),
            (files.check(None, cert, Some("none.pem")), "No such file"),
            (files.check(None, cert, Some("cert.pem")), "no private key in it"),
            (files.check(None, cert, Some("begin.pem")), "no private key in it"),
            (files.check(None, cert, Some("open.pem")), "no private key in it"),
            (files.check(None, cert, Some("no_base64.pem")), "no private key in it"),
            (files.check(None, cert, Some("locked.pem")), "without a passphrase"),
            (files.check(None, cert, Some("no_key.pem")), "of a kind that is known"),
            (files.check(None, cert, Some("long.pem")), "longer than 65536 bytes"),
            (files.check(None, cert, Some("other.pem")), "not the key of the first certificate"),
        ];
        for (checked, expected) in cases {
            let words = checked.unwrap_err();
            assert!(words.contains(expected), "{words:?} instead of {expected:?}");
            assert!(!words.contains(&canary[..8]) && !words.contains("canary"), "{words}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_found_before_anything_is_dialled() {
        let (files, _) = Files::new();
        let ca_file = files.path("cert.pem").to_str().map(Into::into);
        let named = |name: &str| TlsOptions {
            ca_file: ca_file.clone(),
            server_name: Some(name.into()),
            ..TlsOptions::default()
        };
        for name in ["localhost", "nats-1.example.com", "_nats.example.com", "127.0.0.1", "::1"] {
            check(&named(name)).unwrap();
        }
        for name in ["", "a b", "nats://a", "[::1]", "a..b"] {
            assert!(matches!(check(&named(name)), Err(TlsError::Untrusted(_))), "{name:?}");
        }
    }

    #[tokio::test]
    async fn files_that_are_not_read_to_their_end_hold_few_threads() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (files, reading) = (Files::new().0, Arc::new(()));
        let stuck = std::vec![Arc::clone(&reading); READING_MAX];
        let options = TlsOptions { ca_file: files.path("none").to_str().map(Into::into), ..TlsOptions::default() };
        let shake = async || {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            handshake(stream, options.clone(), "localhost".into(), Arc::clone(&reading)).await.unwrap_err()
        };
        assert!(matches!(shake().await, LinkError::Transport(words) if words.contains("still being read")));
        drop(stuck);
        assert!(matches!(shake().await, LinkError::Tls(TlsError::Files(_))));
        assert_eq!(Arc::strong_count(&reading), 1);
    }

    #[test]
    fn spans_are_said_in_their_unit() {
        assert_eq!([5, 7199, 7200, 172_799, 172_800].map(span), ["5s", "7199s", "2 hours", "47 hours", "2 days"]);
    }
}
