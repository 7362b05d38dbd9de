//! The command line as typed: words to flags, and nothing yet of what they mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use super::checkpoint_args::CheckpointCommand;
use super::dlq_args::DlqCommand;
use super::run_args::RunArgs;

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

/// Where the receipt of a run belongs whose words cannot be read as a whole: what is wrong may stand before the flag.
pub(crate) fn receipt(words: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
    let mut words = words.into_iter().skip(1);
    if words.next()? != "run" {
        return None;
    }
    while let Some(word) = words.next() {
        if word == "--receipt" {
            return words.next().filter(|path| !path.as_encoded_bytes().starts_with(b"-")).map(PathBuf::from);
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--receipt=")) {
            return Some(path.into());
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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
