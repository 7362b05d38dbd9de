//! What is wrong with a configuration: the place, the key, the reason, and whose mistake it is.

use std::fmt;
use std::path::PathBuf;
use std::prelude::v1::*;

/// A configuration that means nothing, or something that this version does not do.
///
/// It prints as `orders.yaml:12: sinks[0].config.subject: the reason`, or `--subject: the reason`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    kind: ConfigErrorKind,
    origin: Origin,
    key: String,
    reason: String,
}

/// Whose mistake it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConfigErrorKind {
    /// The command line does not say what is needed to begin.
    Usage,
    /// Something written is malformed, contradicts something else or cannot be read.
    Invalid,
    /// What is asked for makes sense, and this version does not have it.
    NotInThisVersion,
}

/// Where something was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// In a configuration file.
    File {
        /// As it was named.
        path: PathBuf,
        /// Counted from 1; 0 where the file as a whole is meant.
        line: u64,
    },
    /// On the command line.
    Flag,
    /// In a context of the `nats` command.
    Context {
        /// Its file.
        path: PathBuf,
    },
    /// In a variable of the environment.
    Variable,
}

impl ConfigError {
    pub(super) fn new(
        kind: ConfigErrorKind,
        origin: Origin,
        key: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self { kind, origin, key: key.into(), reason: reason.into() }
    }

    /// Whose mistake it is.
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    /// Where it was written.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key (`sinks[0].config.subject`, `creds`), flag (`--subject`) or variable (`$NATS_URL`); empty where there is none.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong with it.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File { path, line: 0 } | Origin::Context { path } => write!(f, "{}: ", path.display())?,
            Origin::File { path, line } => write!(f, "{}:{line}: ", path.display())?,
            Origin::Flag | Origin::Variable => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}

impl core::error::Error for ConfigError {}
