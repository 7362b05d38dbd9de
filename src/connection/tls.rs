//! What a connection demands of TLS, and how a handshake fails.

use alloc::string::String;
use core::fmt;

/// What a connection demands of TLS. Any of it, like a `tls://` URL, is a demand: then no server is spoken to in clear,
/// those discovered later included. Without a demand TLS is used where the server requires it,
/// and from then on with that server always.
///
/// The files are read again for each link, so that certificates can be renewed while a connection lives.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsOptions {
    /// Never clear text, whatever the server says.
    pub required: bool,
    /// The handshake comes before INFO, as servers with `handshake_first` want it.
    pub first: bool,
    /// The name that the server's certificate must bear, instead of the host that was dialled.
    pub server_name: Option<String>,
    /// The roots to trust, a path to PEM; the system's where there is none.
    pub ca_file: Option<String>,
    /// The client's certificate, leaf first, a path to PEM. Goes with `key_file`.
    pub cert_file: Option<String>,
    /// The key of that certificate, a path to PEM.
    pub key_file: Option<String>,
}

/// Why a link has no TLS. None of these is ever answered with clear text.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TlsError {
    /// The server's certificate is not to be trusted: its name, its time, its issuer or its use.
    Untrusted(String),
    /// The server refused this client in the handshake, as when it wants another certificate.
    Refused(String),
    /// What the server sent is not TLS.
    NotTls(String),
    /// A file of ours cannot be read or used: which, and why; never what is in it.
    Files(String),
    /// The driver speaks no TLS.
    NotBuilt,
}

impl TlsOptions {
    /// Whether nothing but TLS will do.
    pub fn is_demanded(&self) -> bool {
        *self != Self::default()
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untrusted(words) => write!(f, "the server's certificate is not trusted: {words}"),
            Self::Refused(words) => write!(f, "the server refused the TLS handshake: {words}"),
            Self::NotTls(words) => write!(f, "the server does not answer in TLS: {words}"),
            Self::Files(words) => f.write_str(words),
            Self::NotBuilt => f.write_str("TLS is needed, and this driver was built without it"),
        }
    }
}

impl core::error::Error for TlsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_a_demand() {
        assert!(!TlsOptions::default().is_demanded());
        let demands = [
            TlsOptions { required: true, ..TlsOptions::default() },
            TlsOptions { first: true, ..TlsOptions::default() },
            TlsOptions { server_name: Some("a".into()), ..TlsOptions::default() },
            TlsOptions { ca_file: Some("a".into()), ..TlsOptions::default() },
            TlsOptions { cert_file: Some("a".into()), ..TlsOptions::default() },
            TlsOptions { key_file: Some("a".into()), ..TlsOptions::default() },
        ];
        assert!(demands.iter().all(TlsOptions::is_demanded));
    }
}
