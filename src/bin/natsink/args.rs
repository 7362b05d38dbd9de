//! The command line as typed: words to flags, and nothing yet of what they mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use natsink::config::Flags;

use super::checkpoint_args::CheckpointCommand;
use super::dlq_args::DlqCommand;

/// Delivers events from a file or a pipe into a NATS JetStream stream: nothing lost, nothing twice, in order.
#[derive(Debug, Parser)]
#[command(name = "natsink", version, subcommand_required = true, after_help = EXIT_CODES)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish events to a stream until the input ends
    #[command(after_help = EXAMPLE)]
    Run(Box<RunArgs>),
    /// Look for what a run with the same arguments would trip over, and say what mends it
    #[command(after_help = CHECK_EXAMPLE)]
    Check(Box<CheckArgs>),
    /// Look at events that could not be delivered, deliver them after all, or give them up
    #[command(subcommand)]
    Dlq(Box<DlqCommand>),
    /// Show the checkpoint of a run, move it, or accept the stream that took the place of the one it knows
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    /// Print a script that completes the words of natsink in a shell
    #[command(after_help = COMPLETIONS_EXAMPLE)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of natsink, or of one of its commands
    #[command(after_help = MAN_EXAMPLE)]
    Man {
        /// The command, such as run or dlq replay
        #[arg(value_name = "COMMAND")]
        words: Vec<String>,
    },
    /// Print the version
    Version,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 64 usage, 65 data or dead letters, 66 input not readable, 69 unavailable, 74 I/O, 75 another writer or \
another stream, 77 authentication, permission or TLS, 78 configuration, 128+N stopped by signal N without a checkpoint.";

const EXAMPLE: &str = "\
Example: natsink run --url nats://127.0.0.1:4222 --stream ORDERS --subject orders.events < events.ndjson

A flag overrides the context, and that the configuration file. $NATS_URL, $NATS_USER and $NATS_PASSWORD are used where \
none of them says, $NATS_CONTEXT where nothing else names a server.";

const CHECK_EXAMPLE: &str = "\
Example: natsink check -c orders.yaml

Takes all the arguments of run, sends nothing, changes nothing. The exit code is that of the first error, which a run would \
end with; 0 when there are only warnings. --quiet leaves out what is as it should be.";

const COMPLETIONS_EXAMPLE: &str = "\
Example: natsink completions bash > ~/.local/share/bash-completion/completions/natsink";

const MAN_EXAMPLE: &str = "\
Example: natsink man run > /usr/local/share/man/man1/natsink-run.1";

/// The arguments of `natsink check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Look at configuration and files alone, and dial nobody
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print the findings as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

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
    /// Start at the beginning although the checkpoint file is missing
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

/// Flags beside which a secret may stand.
const SECRET_FLAGS: [&str; 8] =
    ["--url", "--password", "--token", "--creds", "--nkey", "--tls-ca", "--tls-cert", "--tls-key"];

/// Reads the words of the command line.
///
/// # Errors
/// What is to be printed instead: a mistake, or the help or version that was asked for.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    Line::try_parse_from(&words).map(|line| line.command).map_err(|mistake| without_secret(mistake, &words))
}

/// A word that stands where none belongs may be a secret: one that starts with a hyphen, or the second half of one with a
/// space in it. Beside a flag that takes one, such words are not repeated, unless they look like a flag; nor is what may be
/// a URL with credentials, wherever it stands.
fn without_secret(mut mistake: clap::Error, words: &[OsString]) -> clap::Error {
    let takes_secret = |word: &OsString| {
        let word = word.to_string_lossy();
        SECRET_FLAGS
            .iter()
            .any(|flag| word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
    };
    let is_flag = |word: &str| word.starts_with('-') && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-'));
    let place = match mistake.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return mistake,
    };
    let is_told = match mistake.get(place) {
        Some(ContextValue::String(word)) => is_flag(word) || !(word.contains('@') || words.iter().any(takes_secret)),
        _ => true,
    };
    if !is_told {
        mistake.remove(ContextKind::Suggested);
        let told = "[not shown: it may be a secret; a value that starts with a hyphen is given as in --password=VALUE]";
        mistake.insert(place, ContextValue::String(told.into()));
    }
    mistake
}

/// The grammar, for completions and manual pages.
pub(crate) fn grammar() -> clap::Command {
    Line::command()
}

/// The text of the version.
pub(crate) fn version() -> String {
    format!("natsink {}", env!("CARGO_PKG_VERSION"))
}

fn secret(text: &str) -> Result<natsink::connection::Secret, std::convert::Infallible> {
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn every_flag_reaches_the_configuration() {
        let words = "natsink run -c x --url URL --stream STREAM --subject SUBJECT --input INPUT --follow --format FORMAT \
                     --pipeline PIPELINE --id ID --key KEY --header H1=1 --header H2=2 --input-id INPUT-ID \
                     --envelope ENVELOPE --delivery DELIVERY --checkpoint CHECKPOINT --from-start \
                     --dead-letter DEAD-LETTER --receipt RECEIPT --http HTTP --user USER --password PASSWORD --token TOKEN \
                     --creds CREDS --nkey NKEY --context CONTEXT --tls-ca TLS-CA --tls-cert TLS-CERT \
                     --tls-key TLS-KEY --tls-first --js-domain JS-DOMAIN --js-api-prefix JS-API-PREFIX --inbox-prefix INBOX-PREFIX \
                     --connection-name CONNECTION-NAME --max-elapsed MAX-ELAPSED --send-timeout SEND-TIMEOUT \
                     --batch-timeout BATCH-TIMEOUT --connect-timeout CONNECT-TIMEOUT --strict-input --log LOG \
                     --log-format LOG-FORMAT --quiet";
        let Ok(Command::Run(args)) = parse(words.split_whitespace().map(OsString::from)) else { panic!("not run") };
        assert_eq!(args.config, Some("x".into()));
        let text = |text: &str| Some(text.to_owned());
        let path = |text: &str| Some(PathBuf::from(text));
        let flags = args.flags();
        let secrets =
            [&flags.url, &flags.password, &flags.token].map(|secret| secret.as_ref().map(|text| text.expose()));
        assert_eq!(secrets, [Some("URL"), Some("PASSWORD"), Some("TOKEN")]);
        let texts = [
            (flags.stream, "STREAM"),
            (flags.subject, "SUBJECT"),
            (flags.format, "FORMAT"),
            (flags.pipeline, "PIPELINE"),
            (flags.id, "ID"),
            (flags.key, "KEY"),
            (flags.input_id, "INPUT-ID"),
            (flags.envelope, "ENVELOPE"),
            (flags.delivery, "DELIVERY"),
            (flags.http, "HTTP"),
            (flags.user, "USER"),
            (flags.context, "CONTEXT"),
            (flags.js_domain, "JS-DOMAIN"),
            (flags.js_api_prefix, "JS-API-PREFIX"),
            (flags.inbox_prefix, "INBOX-PREFIX"),
            (flags.connection_name, "CONNECTION-NAME"),
            (flags.max_elapsed, "MAX-ELAPSED"),
            (flags.send_timeout, "SEND-TIMEOUT"),
            (flags.batch_timeout, "BATCH-TIMEOUT"),
            (flags.connect_timeout, "CONNECT-TIMEOUT"),
            (flags.log, "LOG"),
            (flags.log_format, "LOG-FORMAT"),
        ];
        for (found, expected) in texts {
            assert_eq!(found, text(expected));
        }
        let paths = [
            (flags.input, "INPUT"),
            (flags.checkpoint, "CHECKPOINT"),
            (flags.dead_letter, "DEAD-LETTER"),
            (flags.receipt, "RECEIPT"),
            (flags.creds, "CREDS"),
            (flags.nkey, "NKEY"),
            (flags.tls_ca, "TLS-CA"),
            (flags.tls_cert, "TLS-CERT"),
            (flags.tls_key, "TLS-KEY"),
        ];
        for (found, expected) in paths {
            assert_eq!(found, path(expected));
        }
        assert_eq!(flags.headers, ["H1=1", "H2=2"]);
        assert!(flags.follow && flags.from_start && flags.strict_input && flags.quiet && flags.tls_first);
    }

    #[test]
    fn secrets_do_not_show() {
        let words = ["natsink", "run", "--url", "u:canary@h", "--password", "canary", "--token", "canary"];
        let command = parse(words.map(OsString::from)).expect("three flags");
        assert!(!format!("{command:?}").contains("canary"), "{command:?}");
    }
}
