//! The arguments of `natsink run`, which other commands take too, as typed.

use std::path::PathBuf;

use clap::Args;
use natsink::config::Flags;

/// The arguments of `natsink run`.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Configuration file, YAML
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Servers: nats:// or tls://[user:password@|token@]host[:port], separated by commas [env: NATS_URL]
    #[arg(long, value_name = "URL", value_parser = secret)]
    url: Option<natsink::connection::Secret>,
    /// User [env: NATS_USER]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Password [env: NATS_PASSWORD]
    #[arg(long, value_name = "PASSWORD", value_parser = secret)]
    password: Option<natsink::connection::Secret>,
    /// Token
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    token: Option<natsink::connection::Secret>,
    /// Credentials file: a JWT and the seed of its key, as nsc writes them
    #[arg(long, value_name = "FILE")]
    creds: Option<PathBuf>,
    /// File with the seed of an nkey
    #[arg(long, value_name = "FILE")]
    nkey: Option<PathBuf>,
    /// Context of the nats command: its name, or the path of a .json file [env: NATS_CONTEXT]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Certificates to trust instead of the system's, PEM; like every --tls flag it demands TLS
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Certificate to show to the server, PEM
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// TLS from the first byte, for servers with handshake_first
    #[arg(long)]
    tls_first: bool,
    /// JetStream domain
    #[arg(long, value_name = "NAME")]
    js_domain: Option<String>,
    /// What JetStream's API subjects start with, instead of $JS.API
    #[arg(long, value_name = "PREFIX")]
    js_api_prefix: Option<String>,
    /// What inboxes start with, instead of _INBOX
    #[arg(long, value_name = "PREFIX")]
    inbox_prefix: Option<String>,
    /// Name of the connection, as the server shows it [default: the pipeline's]
    #[arg(long, value_name = "NAME")]
    connection_name: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Input")]
struct InputArgs {
    /// File of events, one a line; - is standard input [default: -]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Go on where the file grows, and when another takes its place, as tail -F does
    #[arg(long)]
    follow: bool,
    /// What a line is: event (a change event), json (any object) or lines (any bytes) [default: event]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Name of what is piped in; the same for the same data, so that it is not stored twice
    #[arg(long, value_name = "NAME")]
    input_id: Option<String>,
    /// Start at the beginning, whatever the checkpoint says, and also where it was lost
    #[arg(long)]
    from_start: bool,
    /// Exit with 65 when there were dead letters
    #[arg(long)]
    strict_input: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Messages")]
struct MessageArgs {
    /// Stream that must store the events
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Subject; ${path} takes a value of the event, as in orders.${source.table}
    #[arg(long, value_name = "TEMPLATE")]
    subject: Option<String>,
    /// Name that every message id starts with [default: natsink]
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// What makes the message id: a template, or content for a hash of subject and payload [default: the position]
    #[arg(long, value_name = "TEMPLATE")]
    id: Option<String>,
    /// Header df-key of every message
    #[arg(long, value_name = "TEMPLATE")]
    key: Option<String>,
    /// Header of every message; may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// Form in which events are sent: native, debezium or cloudevents[:TYPE_PREFIX] [default: native]
    #[arg(long, value_name = "NAME")]
    envelope: Option<String>,
    /// How events are delivered: ordered, into a stream, or core, at most once [default: ordered, without --stream core]
    #[arg(long, value_name = "NAME")]
    delivery: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Files")]
struct FileArgs {
    /// File that keeps the position across runs
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// File for events that cannot be delivered; without one the first such event stops the run
    #[arg(long, value_name = "FILE")]
    dead_letter: Option<PathBuf>,
    /// Write the receipt of the run as JSON
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Time")]
pub(crate) struct TimeArgs {
    /// Give up when nothing has moved for so long; 0 is never [default: 0]
    #[arg(long, value_name = "SECONDS")]
    max_elapsed: Option<String>,
    /// Send again when nothing is acknowledged for so long [default: 5]
    #[arg(long, value_name = "SECONDS")]
    send_timeout: Option<String>,
    /// Connect again when nothing is acknowledged for so long [default: 30]
    #[arg(long, value_name = "SECONDS")]
    batch_timeout: Option<String>,
    /// How long one attempt to connect may take [default: 10]
    #[arg(long, value_name = "SECONDS")]
    connect_timeout: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
struct LogArgs {
    /// Least level logged on stderr: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// Form of the log: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Show metrics, health and status over HTTP [default address: 127.0.0.1:9000]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "")]
    http: Option<String>,
    /// No progress line and no receipt on stderr
    #[arg(long)]
    quiet: bool,
}

impl RunArgs {
    /// The flags, for the configuration to make sense of.
    pub(crate) fn flags(&self) -> Flags {
        let Self { config: _, connection, input, message, files, time, log } = self;
        let mut flags = Flags {
            stream: message.stream.clone(),
            subject: message.subject.clone(),
            input: input.input.clone(),
            follow: input.follow,
            format: input.format.clone(),
            pipeline: message.pipeline.clone(),
            id: message.id.clone(),
            key: message.key.clone(),
            headers: message.headers.clone(),
            input_id: input.input_id.clone(),
            envelope: message.envelope.clone(),
            delivery: message.delivery.clone(),
            checkpoint: files.checkpoint.clone(),
            from_start: input.from_start,
            dead_letter: files.dead_letter.clone(),
            receipt: files.receipt.clone(),
            http: log.http.clone(),
            strict_input: input.strict_input,
            log: log.log.clone(),
            log_format: log.log_format.clone(),
            quiet: log.quiet,
            ..Flags::default()
        };
        connection.fill(&mut flags);
        time.fill(&mut flags);
        flags
    }
}

impl ConnectionArgs {
    /// Adds these flags to others.
    pub(crate) fn fill(&self, flags: &mut Flags) {
        flags.url = self.url.clone();
        flags.user = self.user.clone();
        flags.password = self.password.clone();
        flags.token = self.token.clone();
        flags.creds = self.creds.clone();
        flags.nkey = self.nkey.clone();
        flags.context = self.context.clone();
        flags.tls_ca = self.tls_ca.clone();
        flags.tls_cert = self.tls_cert.clone();
        flags.tls_key = self.tls_key.clone();
        flags.tls_first = self.tls_first;
        flags.js_domain = self.js_domain.clone();
        flags.js_api_prefix = self.js_api_prefix.clone();
        flags.inbox_prefix = self.inbox_prefix.clone();
        flags.connection_name = self.connection_name.clone();
    }
}

impl TimeArgs {
    /// Adds these flags to others.
    pub(crate) fn fill(&self, flags: &mut Flags) {
        flags.max_elapsed = self.max_elapsed.clone();
        flags.send_timeout = self.send_timeout.clone();
        flags.batch_timeout = self.batch_timeout.clone();
        flags.connect_timeout = self.connect_timeout.clone();
    }
}

fn secret(text: &str) -> Result<natsink::connection::Secret, std::convert::Infallible> {
    Ok(text.into())
}
