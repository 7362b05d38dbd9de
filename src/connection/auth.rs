//! How a connection shows who it is: fixed credentials, or somebody who is asked for each link.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use super::{Secret, ServerAddr, UserInfo};
use crate::proto::Connect;

/// How a connection shows who it is. Exactly one method; nothing of a secret ever shows in `Debug`.
#[derive(Clone, Default)]
pub enum Auth {
    /// No credentials.
    #[default]
    None,
    /// A token.
    Token(Secret),
    /// User and password.
    UserPassword {
        /// The user's name.
        user: String,
        /// The password; it may be empty.
        password: Secret,
    },
    /// Somebody who is asked anew for each link: a creds file, a seed, a callback.
    Asked(Arc<dyn Authenticator>),
}

/// Answers a server's greeting, once for each link.
///
/// Drivers ask where blocking is allowed, so it may read files or call out; what it reads anew each time can be renewed
/// while the connection lives. The time it takes counts into `connect_timeout`.
///
/// ```
/// use natsink::connection::{AuthError, Authenticator, Challenge, Credentials, Secret};
///
/// struct FromVault;
///
/// impl Authenticator for FromVault {
///     fn answer(&self, _: &Challenge<'_>) -> Result<Credentials, AuthError> {
///         Ok(Credentials::Token(Secret::from("the token of this hour")))
///     }
/// }
/// ```
pub trait Authenticator: Send + Sync {
    /// The credentials for this link.
    ///
    /// # Errors
    /// The link is given up, and another is tried within the connection's `auth_budget`.
    fn answer(&self, challenge: &Challenge<'_>) -> Result<Credentials, AuthError>;
}

/// What there is to answer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Challenge<'a> {
    /// What is to be signed, these bytes as they are; `None` where the server asks for no signature.
    pub nonce: Option<&'a str>,
    /// Who asks, as it was dialled.
    pub server: &'a ServerAddr,
    /// Whether the answer goes out under TLS.
    pub is_secure: bool,
}

/// What CONNECT says of who asks to be let in. `Debug` shows who, and nothing that proves it.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum Credentials {
    /// A token.
    Token(Secret),
    /// User and password.
    UserPassword {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A public nkey, and the nonce signed with its seed.
    Nkey {
        /// The public key, `U…`.
        public: String,
        /// Ed25519 over the nonce, base64url without padding.
        signature: String,
    },
    /// A user's JWT, and the nonce signed with the seed of its key; bearer JWTs need no signature.
    Jwt {
        /// The JWT.
        jwt: Secret,
        /// Ed25519 over the nonce, base64url without padding.
        signature: Option<String>,
    },
}

/// Why there are no credentials for a link. Names files, never what is in them.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AuthError {
    /// There is a seed to sign with, and the server gave nothing to sign.
    NoNonce,
    /// A file cannot be read.
    Unreadable {
        /// Which.
        what: String,
        /// Why, in the system's words.
        words: String,
    },
    /// A file, or a seed, is not what it should be.
    Malformed {
        /// Which.
        what: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Whoever was asked failed, in its words.
    Failed(String),
}

impl Auth {
    /// Somebody who is asked anew for each link.
    pub fn asked(authenticator: impl Authenticator + 'static) -> Self {
        Self::Asked(Arc::new(authenticator))
    }

    /// Fills in the fields of CONNECT that a fixed method answers with.
    pub(crate) fn apply<'a>(&'a self, connect: &mut Connect<'a>) {
        match self {
            Self::None | Self::Asked(_) => {}
            Self::Token(token) => connect.auth_token = Some(token.expose()),
            Self::UserPassword { user, password } => {
                connect.user = Some(user);
                connect.pass = Some(password.expose());
            }
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Token(_) => f.write_str("Token"),
            Self::UserPassword { user, .. } => write!(f, "UserPassword({user:?})"),
            Self::Asked(_) => f.write_str("Asked"),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::UserPassword { user, .. } => write!(f, "UserPassword({user:?})"),
            Self::Nkey { public, .. } => write!(f, "Nkey({public:?})"),
            Self::Jwt { .. } => f.write_str("Jwt"),
        }
    }
}

impl From<UserInfo> for Auth {
    fn from(user_info: UserInfo) -> Self {
        match user_info {
            UserInfo::Token(token) => Self::Token(token),
            UserInfo::UserPassword { user, password } => Self::UserPassword { user, password },
        }
    }
}

impl<'a> Challenge<'a> {
    /// A challenge as a driver puts it.
    pub fn new(nonce: Option<&'a str>, server: &'a ServerAddr, is_secure: bool) -> Self {
        Self { nonce, server, is_secure }
    }
}

impl Credentials {
    /// Fills in the fields of CONNECT.
    pub(crate) fn apply<'a>(&'a self, connect: &mut Connect<'a>) {
        match self {
            Self::Token(token) => connect.auth_token = Some(token.expose()),
            Self::UserPassword { user, password } => {
                connect.user = Some(user);
                connect.pass = Some(password.expose());
            }
            Self::Nkey { public, signature } => {
                connect.nkey = Some(public);
                connect.sig = Some(signature);
            }
            Self::Jwt { jwt, signature } => {
                connect.jwt = Some(jwt.expose());
                connect.sig = signature.as_deref();
            }
        }
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNonce => f.write_str("the server gives no nonce to sign: it does not take nkeys or JWTs"),
            Self::Unreadable { what, words } => write!(f, "cannot read {what}: {words}"),
            Self::Malformed { what, reason } => write!(f, "{what}: {reason}"),
            Self::Failed(words) => f.write_str(words),
        }
    }
}

impl core::error::Error for AuthError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn secrets_do_not_show() {
        let auths =
            [Auth::Token("canary".into()), Auth::UserPassword { user: "alice".into(), password: "canary".into() }];
        for auth in auths {
            assert!(!format!("{auth:?}").contains("canary"));
        }
        let credentials = [
            Credentials::Token("canary".into()),
            Credentials::UserPassword { user: "alice".into(), password: "canary".into() },
            Credentials::Jwt { jwt: "canary".into(), signature: None },
        ];
        assert!(!format!("{credentials:?}").contains("canary"));
    }
}
