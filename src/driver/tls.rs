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

/// Shakes hands over this socket with the server that must bear this name.
pub(super) async fn handshake(
    stream: TcpStream,
    options: TlsOptions,
    name: String,
) -> Result<TlsStream<TcpStream>, LinkError> {
    let name = server_name(name).map_err(LinkError::Tls)?;
    let roots = options.ca_file.clone();
    let config = tokio::task::spawn_blocking(move || client_config(&options))
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
    TlsError::Files(format!("{path}: {why}"))
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
