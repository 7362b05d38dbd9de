//! What is meant: the checked plan of one run, every default decided, nothing in it that makes no sense.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::prelude::v1::*;
use std::time::Duration;

use crate::connection::{Auth, ServerAddr, TlsOptions, UserInfo};
use crate::credentials::{CredsFile, Held, Jwt, Nkey};
use crate::proto::SubjectBuf;
use crate::sink::{CommitPolicy, Envelope, Format, IdRule, Template};

/// The pipeline's name where none is given.
pub const PIPELINE_DEFAULT: &str = "natsink";

/// What `natsink run` shall do. Made by `check` only, so whoever holds one need not look again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// The name that every `Nats-Msg-Id` starts with: no white space, no control character, no `|`.
    pub pipeline: String,
    /// Where events come from.
    pub source: SourcePlan,
    /// How often the checkpoint moves: at whichever of the three comes first.
    pub batch: BatchPlan,
    /// The window of unanswered publishes.
    pub in_flight: InFlightPlan,
    /// Which sinks must have an event before the checkpoint passes it.
    pub commit_policy: CommitPolicy,
    /// The checkpoint file. With [`Input::Stdin`] there is then an `input_id` too.
    pub checkpoint: Option<PathBuf>,
    /// Read from the start of the input although the checkpoint is missing and the stream remembers this pipeline.
    pub from_start: bool,
    /// The file that takes what cannot be delivered; without one the first such event stops the run.
    pub dead_letter: Option<PathBuf>,
    /// Where the receipt goes as JSON.
    pub receipt: Option<PathBuf>,
    /// Where metrics, health and status are shown; `None` is nowhere.
    pub http: Option<SocketAddr>,
    /// Where events go: at least one, no id twice, at most one standard output, no file twice.
    pub sinks: Vec<SinkPlan>,
    /// What is logged on stderr, and how.
    pub log: LogPlan,
    /// No progress line and no receipt text on stderr; failures are still told.
    pub quiet: bool,
}

/// Where events come from and how they are cut.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourcePlan {
    /// A pipe or a file.
    pub input: Input,
    /// What a line is.
    pub format: Format,
    /// The longest line, bytes without its end; a longer one is a dead letter.
    pub line_bytes_max: usize,
    /// Exit with 65 when there were dead letters, even though there is a file for them.
    pub strict: bool,
}

/// What is read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// Standard input.
    Stdin {
        /// The name that makes the ids of this input the same when the same bytes are piped again; random otherwise.
        input_id: Option<String>,
    },
    /// A file.
    File {
        /// Where it lies.
        path: PathBuf,
        /// Go on where it grows, and when another one takes its place; else it is read to its end.
        follow: bool,
    },
}

/// How much goes by before the checkpoint moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BatchPlan {
    /// Events; at least 1.
    pub events_max: usize,
    /// Bytes of input; at least 1.
    pub bytes_max: usize,
    /// Time since the last move; above zero.
    pub age_max: Duration,
}

/// How much may be unanswered at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct InFlightPlan {
    /// Messages; at least 1.
    pub events_max: usize,
    /// Bytes of messages; at least 1. A larger message goes alone.
    pub bytes_max: usize,
}

/// One sink.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SinkPlan {
    /// Its name in checkpoint, metrics and logs: no white space, no control character, no `|`.
    pub id: String,
    /// Whether [`CommitPolicy::Required`] waits for it.
    pub required: bool,
    /// Where it brings the events.
    pub to: Target,
}

/// Where a sink brings the events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Target {
    /// To a NATS server.
    Nats(Box<NatsPlan>),
    /// To standard output, one a line.
    Stdout,
    /// To the end of a file, one a line.
    File {
        /// Where it lies, or will.
        path: PathBuf,
    },
}

/// A NATS sink.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NatsPlan {
    /// At least one server, none twice.
    pub servers: Vec<ServerAddr>,
    /// Who asks to be let in.
    pub auth: AuthPlan,
    /// What is demanded of TLS.
    pub tls: TlsOptions,
    /// The subject.
    pub subject: Template,
    /// The header `df-key`; left out where the template makes nothing.
    pub key: Option<Template>,
    /// What is waited for before an event counts as delivered.
    pub delivery: Delivery,
    /// The form that events are sent in. Other than native only where the source's format is [`Format::Event`].
    pub envelope: Envelope,
    /// What makes an event's `Nats-Msg-Id`.
    pub id_rule: IdRule,
    /// Headers on every message, names and values: all legal, no name twice, no `Nats-…` and no `df-key` among them.
    pub headers: Vec<(String, String)>,
    /// Silence of the watermark that is an anomaly; above zero.
    pub send_timeout: Duration,
    /// Silence of the watermark that is a dead link; above zero.
    pub batch_timeout: Duration,
    /// The bound of one dial, from the name's lookup to the first PONG; above zero.
    pub connect_timeout: Duration,
    /// How long and how fast to try again.
    pub retry: RetryPlan,
    /// What JetStream's API subjects start with: `$JS.API`, or `$JS.hub.API` for the domain `hub`.
    pub js_api_prefix: SubjectBuf,
    /// What the inbox of the acks starts with.
    pub inbox_prefix: SubjectBuf,
    /// The name that the server shows for the connection.
    pub connection_name: String,
}

/// What is waited for before an event counts as delivered.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Delivery {
    /// The stream's ack, with ids, in order.
    Ordered {
        /// The stream that must capture the subject and answer every publish.
        stream: String,
    },
    /// The server's socket: core NATS, at most once beyond it.
    Core,
}

/// Who asks to be let in: exactly one method. What is in files is read when it is needed, each time anew.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AuthPlan {
    /// Nobody in particular.
    #[default]
    None,
    /// A token, or user and password.
    UserInfo(UserInfo),
    /// A creds file.
    CredsFile(PathBuf),
    /// An nkey, by its seed.
    Nkey(Held),
    /// A JWT and the seed of its key.
    Jwt {
        /// The JWT.
        jwt: Held,
        /// The seed; `None` for a bearer JWT.
        seed: Option<Held>,
    },
}

/// How long and how fast to try again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RetryPlan {
    /// From the last move of the watermark, while something is pending, to giving up; `None` is never.
    pub elapsed_max: Option<Duration>,
    /// How long credentials that the server refuses at a reconnect are tried again.
    pub auth_max: Duration,
    /// The first pause; above zero.
    pub initial: Duration,
    /// The longest pause; at least `initial`.
    pub max: Duration,
}

/// What is logged on stderr, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LogPlan {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// Text for people or JSON for machines.
    pub format: LogFormat,
}

/// How severe a line of the log is; the most severe is the least.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    /// The run ends, or an event was not delivered.
    Error,
    /// Something that a person should look at.
    Warn,
    /// What a person wants to know of a run that goes well.
    Info,
    /// What helps to understand a run that does not.
    Debug,
    /// Every op that the connection reads: names and lengths.
    Trace,
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// `natsink: warning: …`
    Text,
    /// One JSON object a line.
    Json,
}

impl AuthPlan {
    /// The method as a connection has it. Reads nothing.
    pub fn auth(&self) -> Auth {
        match self.clone() {
            Self::None => Auth::None,
            Self::UserInfo(user_info) => user_info.into(),
            Self::CredsFile(path) => Auth::asked(CredsFile::new(path)),
            Self::Nkey(seed) => Auth::asked(Nkey::new(seed)),
            Self::Jwt { jwt, seed: Some(seed) } => Auth::asked(Jwt::new(jwt, seed)),
            Self::Jwt { jwt, seed: None } => Auth::asked(Jwt::bearer(jwt)),
        }
    }
}
