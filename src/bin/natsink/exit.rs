//! How a run ends: the exit codes, and the failure that chooses one of them and tells a person why.

use std::fmt;

use natsink::config::{ConfigError, ConfigErrorKind};

/// The exit codes of the command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Code {
    /// Every event that was read is stored, or a dead letter by choice, or behind a checkpoint.
    Done,
    /// The command line says too little, or something that cannot be read.
    Usage,
    /// An event cannot be delivered and there is no dead-letter file, or there are dead letters under `--strict-input`.
    Data,
    /// The input cannot be read.
    NoInput,
    /// The server was not to be had for as long as it was waited for.
    Unavailable,
    /// A file of ours cannot be written or read.
    Io,
    /// Another writer holds what this one needs, or the stream is not the one that the checkpoint knows.
    Fenced,
    /// Credentials, a permission or TLS were refused.
    Permission,
    /// The configuration makes no sense, or needs another version.
    Config,
    /// Stopped by this signal with no checkpoint to hold the position.
    Signal(u8),
}

/// Why a run failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// One word for machines, such as `stream_not_found`.
    pub(crate) kind: &'static str,
    /// What happened, for people. No secret in it.
    pub(crate) message: String,
    /// What to do about it, where there is something more to say.
    pub(crate) help: Option<String>,
}

/// How a run ended that did not fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Finish {
    /// At the end of its input.
    Done,
    /// By a signal, its position held by a checkpoint.
    Stopped,
    /// By a signal that is the only end of a file that is followed. No checkpoint holds the position.
    Unheld,
}

impl Code {
    /// The number that the process ends with.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage => 64,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Io => 74,
            Self::Fenced => 75,
            Self::Permission => 77,
            Self::Config => 78,
            Self::Signal(signal) => 128 + (signal & 0x7f),
        }
    }
}

impl Failure {
    pub(crate) fn new(code: Code, kind: &'static str, message: impl Into<String>) -> Self {
        Self { code, kind, message: message.into(), help: None }
    }

    /// The same, of the sink of this name, where there are several.
    pub(crate) fn of_sink(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => Self { message: format!("sink {name}: {}", self.message), ..self },
            None => self,
        }
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl Finish {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stopped | Self::Unheld => "stopped",
        }
    }

    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Done => "end of input",
            Self::Stopped => "stopped by a signal, position held by the checkpoint",
            Self::Unheld => "stopped by a signal; no checkpoint holds the position",
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let (code, kind) = match error.kind() {
            ConfigErrorKind::Usage => (Code::Usage, "usage"),
            ConfigErrorKind::Invalid => (Code::Config, "configuration"),
            ConfigErrorKind::NotInThisVersion => (Code::Config, "not_in_this_version"),
        };
        Self::new(code, kind, error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_manual() {
        let codes = [
            (Code::Done, 0),
            (Code::Usage, 64),
            (Code::Data, 65),
            (Code::NoInput, 66),
            (Code::Unavailable, 69),
            (Code::Io, 74),
            (Code::Fenced, 75),
            (Code::Permission, 77),
            (Code::Config, 78),
            (Code::Signal(2), 130),
            (Code::Signal(15), 143),
            (Code::Signal(255), 255),
        ];
        for (code, number) in codes {
            assert_eq!(code.number(), number, "{code:?}");
        }
    }
}
