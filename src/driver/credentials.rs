//! Who answers a server's challenge: creds files, nkeys, JWTs and callbacks, read anew for each connection.
//!
//! Whatever stands in a file is read again each time the connection is made, so credentials can be renewed in place while
//! a client lives. What was read is overwritten in memory after use, and never stands in an error or in `Debug`.
//!
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use natsink::Client;
//! use natsink::connection::{Auth, ConnectionOptions, ServerList};
//! use natsink::credentials::CredsFile;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut options = ConnectionOptions::new(ServerList::parse("tls://connect.example.org")?.servers);
//! options.auth = Auth::asked(CredsFile::new("/etc/nats/orders.creds"));
//! let client = Client::start(options)?;
//! # Ok(())
//! # }
//! ```
//!
//! Credentials that come from elsewhere are a [`Callback`]; it can lend a signature from the others:
//!
//! ```
//! use natsink::connection::{Auth, Authenticator, Secret};
//! use natsink::credentials::{Callback, Jwt};
//!
//! fn from_vault() -> (Secret, Secret) {
//!     ("eyJ…".into(), "SU…".into())
//! }
//!
//! let auth = Auth::asked(Callback::new(|challenge| {
//!     let (jwt, seed) = from_vault();
//!     Jwt::new(jwt, seed).answer(challenge)
//! }));
//! # let _ = auth;
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::prelude::v1::*;

use nkeys::KeyPair;
use nkeys::error::ErrorKind;

use super::small_file::{self, shown};
use crate::connection::{AuthError, Authenticator, CREDS_LEN_MAX, Challenge, Credentials, Creds, CredsError, Secret};
use crate::proto::base64;

/// Where a seed or a JWT is kept: a file, read anew each time, or memory.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Held {
    /// In a file, alone or in its block of a creds file.
    File(PathBuf),
    /// Here.
    Text(Secret),
}

/// A creds file: the JWT of a user and the seed of its key, as `nsc generate creds` writes them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CredsFile {
    path: PathBuf,
}

/// An nkey: the server knows the public key, and the seed proves that it is ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Nkey {
    seed: Held,
}

/// A user's JWT, and the seed of its key kept elsewhere; or a bearer JWT, which needs none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Jwt {
    jwt: Held,
    seed: Option<Held>,
}

/// A function that is asked for each connection. It may block, for as long as `connect_timeout` allows.
#[derive(Clone, Copy)]
pub struct Callback<F> {
    answer: F,
}

impl CredsFile {
    /// The creds file at `path`. Nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Nkey {
    /// The key of this seed: a path to a file with it, or the seed itself as a [`Secret`]. Nothing is read yet.
    pub fn new(seed: impl Into<Held>) -> Self {
        Self { seed: seed.into() }
    }
}

impl Jwt {
    /// This JWT, and the seed of the key that it was issued for: a path or a [`Secret`] each. Nothing is read yet.
    pub fn new(jwt: impl Into<Held>, seed: impl Into<Held>) -> Self {
        Self { jwt: jwt.into(), seed: Some(seed.into()) }
    }

    /// A bearer JWT: whoever holds it is let in, without a signature.
    pub fn bearer(jwt: impl Into<Held>) -> Self {
        Self { jwt: jwt.into(), seed: None }
    }
}

impl<F> Callback<F>
where
    F: Fn(&Challenge<'_>) -> Result<Credentials, AuthError> + Send + Sync,
{
    /// Asks `answer` for each connection.
    pub fn new(answer: F) -> Self {
        Self { answer }
    }
}

impl<F> Authenticator for Callback<F>
where
    F: Fn(&Challenge<'_>) -> Result<Credentials, AuthError> + Send + Sync,
{
    fn answer(&self, challenge: &Challenge<'_>) -> Result<Credentials, AuthError> {
        (self.answer)(challenge)
    }
}

impl<F> fmt::Debug for Callback<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}

impl Authenticator for CredsFile {
    fn answer(&self, challenge: &Challenge<'_>) -> Result<Credentials, AuthError> {
        let nonce = challenge.nonce.ok_or(AuthError::NoNonce)?;
        let creds = parsed(&self.path, Creds::parse)?;
        let key = Key::of(&creds.seed, || shown(&self.path))?;
        Ok(Credentials::Jwt { jwt: creds.jwt, signature: Some(key.sign(nonce)?) })
    }
}

impl Authenticator for Nkey {
    fn answer(&self, challenge: &Challenge<'_>) -> Result<Credentials, AuthError> {
        let nonce = challenge.nonce.ok_or(AuthError::NoNonce)?;
        let key = self.seed.key()?;
        Ok(Credentials::Nkey { public: key.pair.public_key(), signature: key.sign(nonce)? })
    }
}

impl Authenticator for Jwt {
    fn answer(&self, challenge: &Challenge<'_>) -> Result<Credentials, AuthError> {
        let signature = match &self.seed {
            None => None,
            Some(seed) => {
                let nonce = challenge.nonce.ok_or(AuthError::NoNonce)?;
                Some(seed.key()?.sign(nonce)?)
            }
        };
        Ok(Credentials::Jwt { jwt: self.jwt.read("the JWT", Creds::parse_jwt)?, signature })
    }
}

impl Held {
    fn key(&self) -> Result<Key, AuthError> {
        let seed = self.read("the seed", Creds::parse_seed)?;
        Key::of(&seed, || match self {
            Self::File(path) => shown(path),
            Self::Text(_) => "the seed".into(),
        })
    }

    fn read(&self, name: &str, parse: fn(&[u8]) -> Result<Secret, CredsError>) -> Result<Secret, AuthError> {
        match self {
            Self::File(path) => parsed(path, parse),
            Self::Text(text) => parse(text.expose().as_bytes()).map_err(|error| malformed(name.into(), error.reason())),
        }
    }
}

impl From<&str> for Held {
    fn from(path: &str) -> Self {
        Self::File(path.into())
    }
}

impl From<&Path> for Held {
    fn from(path: &Path) -> Self {
        Self::File(path.into())
    }
}

impl From<PathBuf> for Held {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<Secret> for Held {
    fn from(text: Secret) -> Self {
        Self::Text(text)
    }
}

/// A key that can sign.
struct Key {
    pair: KeyPair,
}

impl Key {
    /// The key of a seed that `what` names in errors.
    fn of(seed: &Secret, what: impl FnOnce() -> String) -> Result<Self, AuthError> {
        let pair = KeyPair::from_seed(seed.expose()).map_err(|error| {
            let reason = match error.kind() {
                ErrorKind::InvalidKeyLength => "the seed has not the 58 characters of a seed",
                ErrorKind::InvalidPrefix => CredsError::NotUser.reason(),
                _ => "the seed is damaged: a character of it is not what it was",
            };
            malformed(what(), reason)
        })?;
        Ok(Self { pair })
    }

    /// Ed25519 over the nonce's bytes, base64url without padding.
    fn sign(&self, nonce: &str) -> Result<String, AuthError> {
        let signature = self.pair.sign(nonce.as_bytes());
        signature
            .map(|bytes| base64::encode_url(&bytes))
            .map_err(|_| AuthError::Failed("the nonce cannot be signed".into()))
    }
}

/// Reads a file into what it means; the bytes are overwritten when that is done.
fn parsed<T>(path: &Path, parse: fn(&[u8]) -> Result<T, CredsError>) -> Result<T, AuthError> {
    let bytes =
        small_file::read(path, CREDS_LEN_MAX).map_err(|words| AuthError::Unreadable { what: shown(path), words })?;
    parse(&bytes).map_err(|error| malformed(shown(path), error.reason()))
}

fn malformed(what: String, reason: &'static str) -> AuthError {
    AuthError::Malformed { what, reason }
}
