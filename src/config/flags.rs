//! What was written on the command line, as typed: text not yet looked at.

use std::path::PathBuf;
use std::prelude::v1::*;

use crate::connection::Secret;

/// The flags of `natsink run` that say what to do. Each overrides its key in the configuration file.
///
/// The command fills one in from its arguments; a program that wants a [`Plan`](super::Plan) without a file does the same.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--url`. Kept secret as a whole, since a password may stand in it.
    pub url: Option<Secret>,
    /// `--stream`
    pub stream: Option<String>,
    /// `--subject`
    pub subject: Option<String>,
    /// `--input`; `-` is standard input.
    pub input: Option<PathBuf>,
    /// `--follow`
    pub follow: bool,
    /// `--format`
    pub format: Option<String>,
    /// `--pipeline`
    pub pipeline: Option<String>,
    /// `--id`
    pub id: Option<String>,
    /// `--key`
    pub key: Option<String>,
    /// `--header`, as often as it was given: `NAME=VALUE` each.
    pub headers: Vec<String>,
    /// `--input-id`
    pub input_id: Option<String>,
    /// `--envelope`
    pub envelope: Option<String>,
    /// `--delivery`
    pub delivery: Option<String>,
    /// `--checkpoint`
    pub checkpoint: Option<PathBuf>,
    /// `--from-start`
    pub from_start: bool,
    /// `--dead-letter`
    pub dead_letter: Option<PathBuf>,
    /// `--receipt`
    pub receipt: Option<PathBuf>,
    /// `--http`; empty where it was given without an address.
    pub http: Option<String>,
    /// `--user`
    pub user: Option<String>,
    /// `--password`
    pub password: Option<Secret>,
    /// `--token`
    pub token: Option<Secret>,
    /// `--creds`
    pub creds: Option<PathBuf>,
    /// `--nkey`
    pub nkey: Option<PathBuf>,
    /// `--context`: a name, or the path of a file.
    pub context: Option<String>,
    /// `--tls-ca`
    pub tls_ca: Option<PathBuf>,
    /// `--tls-cert`
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`
    pub tls_key: Option<PathBuf>,
    /// `--tls-first`
    pub tls_first: bool,
    /// `--js-domain`
    pub js_domain: Option<String>,
    /// `--js-api-prefix`
    pub js_api_prefix: Option<String>,
    /// `--inbox-prefix`
    pub inbox_prefix: Option<String>,
    /// `--connection-name`
    pub connection_name: Option<String>,
    /// `--max-elapsed`, seconds
    pub max_elapsed: Option<String>,
    /// `--send-timeout`, seconds
    pub send_timeout: Option<String>,
    /// `--batch-timeout`, seconds
    pub batch_timeout: Option<String>,
    /// `--connect-timeout`, seconds
    pub connect_timeout: Option<String>,
    /// `--strict-input`
    pub strict_input: bool,
    /// `--log`
    pub log: Option<String>,
    /// `--log-format`
    pub log_format: Option<String>,
    /// `--quiet`
    pub quiet: bool,
}

impl Flags {
    /// The flags that were given and speak of one sink of type `nats`: where it is, who asks, and what goes there.
    pub(super) fn of_one_sink(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("--url", self.url.is_some()),
            ("--stream", self.stream.is_some()),
            ("--subject", self.subject.is_some()),
            ("--key", self.key.is_some()),
            ("--header", !self.headers.is_empty()),
            ("--delivery", self.delivery.is_some()),
            ("--user", self.user.is_some()),
            ("--password", self.password.is_some()),
            ("--token", self.token.is_some()),
            ("--creds", self.creds.is_some()),
            ("--nkey", self.nkey.is_some()),
            ("--context", self.context.is_some()),
            ("--tls-ca", self.tls_ca.is_some()),
            ("--tls-cert", self.tls_cert.is_some()),
            ("--tls-key", self.tls_key.is_some()),
            ("--tls-first", self.tls_first),
            ("--js-domain", self.js_domain.is_some()),
            ("--js-api-prefix", self.js_api_prefix.is_some()),
            ("--inbox-prefix", self.inbox_prefix.is_some()),
            ("--connection-name", self.connection_name.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name)
    }
}
