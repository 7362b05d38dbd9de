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
