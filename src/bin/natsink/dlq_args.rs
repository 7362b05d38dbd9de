//! The command line of `natsink dlq` as typed, and which letters it chooses.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use natsink::config::Flags;
use natsink::io::Letter;
use natsink::proto::Pattern;

use super::exit::{Code, Failure};
use super::run_args::{ConnectionArgs, TimeArgs};

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List the letters of a file
    Ls(LsArgs),
    /// Send letters again, with the id and the subject that they had; those that are stored leave the file
    #[command(after_help = REPLAY)]
    Replay(Box<ReplayArgs>),
    /// Give letters up: remove them from the file
    Drop(DropArgs),
}

const REPLAY: &str = "\
Exit codes: 0 all chosen letters are stored, 65 some stay in the file, 75 another replay or drop is at it; else as natsink run.

A sink that writes to the file meanwhile goes on. A letter is sent as it was to be sent at first; nothing is stored twice \
when a replay that was cut off is begun again.";

#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    /// The dead-letter file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// One JSON object a line, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// The dead-letter file
    pub(crate) file: PathBuf,
    /// Configuration file of the pipeline, YAML
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Stream that must store the letters [default: that of the configuration's sink]
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    #[command(flatten)]
    pub(crate) choice: Choice,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    time: TimeArgs,
    /// Least level logged on stderr: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", help_heading = "Output")]
    log: Option<String>,
    /// Form of the log: text or json [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    log_format: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct DropArgs {
    /// The dead-letter file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// All letters, gaps and other lines of the file
    #[arg(long, conflicts_with_all = ["position", "id", "subject", "reason", "sink"])]
    pub(crate) all: bool,
}

/// Which letters. A letter is chosen when it is so by each kind of flag that is given.
#[derive(Args, Debug)]
#[command(next_help_heading = "Which letters")]
pub(crate) struct Choice {
    /// The one at this position of its input; may be given several times
    #[arg(long, value_name = "BYTES")]
    position: Vec<u64>,
    /// The one with this id; may be given several times
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Those to this subject; * and > are wildcards
    #[arg(long, value_name = "SUBJECT", value_parser = pattern)]
    subject: Option<Pattern>,
    /// Those with this in their reason
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Those of this sink
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: Option<String>,
}

impl Choice {
    /// Whether every letter is chosen.
    pub(crate) fn is_open(&self) -> bool {
        let Self { position, id, subject, reason, sink } = self;
        position.is_empty() && id.is_empty() && subject.is_none() && reason.is_none() && sink.is_none()
    }

    /// Whether this letter is chosen.
    pub(crate) fn takes(&self, letter: &Letter) -> bool {
        let subject = letter.subject.as_deref().unwrap_or_default();
        (self.position.is_empty() || self.position.contains(&letter.position))
            && (self.id.is_empty() || letter.id.as_ref().is_some_and(|id| self.id.contains(id)))
            && self.subject.as_ref().is_none_or(|pattern| pattern.matches(subject))
            && self.reason.as_ref().is_none_or(|reason| letter.reason.contains(reason.as_str()))
            && (self.sink.is_none() || self.sink == letter.sink)
    }
}

impl ReplayArgs {
    /// The flags, for the configuration to make sense of.
    pub(crate) fn flags(&self) -> Flags {
        let mut flags = Flags {
            stream: self.stream.clone(),
            // Each letter has its own.
            subject: self.config.is_none().then(|| "natsink.dlq".into()),
            log: self.log.clone(),
            log_format: self.log_format.clone(),
            ..Flags::default()
        };
        self.connection.fill(&mut flags);
        self.time.fill(&mut flags);
        flags
    }
}

impl DropArgs {
    /// Checks that something was chosen.
    ///
    /// # Errors
    /// A usage failure: nothing is given up unasked.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.all || !self.choice.is_open() {
            return Ok(());
        }
        let message =
            "nothing chosen: say which letters with --position, --id, --subject, --reason or --sink, or --all";
        Err(Failure::new(Code::Usage, "usage", message))
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| error.to_string())
}
