//! From what went wrong to the exit code and the words for it: what happened, and what to do about it.

use natsink::connection::{AuthError, CloseReason, LinkError, TlsError};
use natsink::io::{CheckpointError, DeadLetterError, OutputError, SourceError};
use natsink::jetstream::{PublisherError, Rejection, StreamProblem};
use natsink::sink::{DeadLetter, Reason};

use super::exit::{Code, Failure};
use super::stream_sink::StreamSink;

/// A publisher that is over.
pub(crate) fn of_publisher(error: &PublisherError, sink: StreamSink<'_>) -> Failure {
    match error {
        PublisherError::Connection(reason) => of_close(reason),
        PublisherError::Stream(problem) => of_stream(problem, sink),
        PublisherError::Exhausted { .. } => Failure::new(Code::Unavailable, "unavailable", error.to_string()),
        PublisherError::Refused { .. } => Failure::new(Code::Config, "refused", error.to_string()),
        PublisherError::RecallDenied { subject, .. } => {
            let help = format!("without that an event could be stored twice: allow this user to publish to {subject}");
            Failure::new(Code::Permission, "permission", error.to_string()).with_help(help)
        }
        PublisherError::RecallRefused { .. } => Failure::new(Code::Config, "refused", error.to_string()),
        PublisherError::InboxDenied { .. } => {
            let help = "allow this user to subscribe to its inbox, or name an allowed one with --inbox-prefix";
            Failure::new(Code::Permission, "inbox_denied", error.to_string()).with_help(help)
        }
        error => Failure::new(Code::Unavailable, "closed", error.to_string()),
    }
}

/// A sink that the policy waits for lacks what the input cannot bring again.
pub(crate) fn of_sink_behind(id: &str, position: u64, begin: u64) -> Failure {
    let message = format!(
        "sink {id} is required, and has got the events before byte {position} only; a pipe cannot bring those from there to \
         byte {begin} again, which the other sinks have"
    );
    let help =
        "leave it not required for one run, which makes a gap of them, or send everything again with --from-start";
    Failure::new(Code::Fenced, "sink_behind", message).with_help(help)
}

/// A connection that is over.
pub(crate) fn of_close(reason: &CloseReason) -> Failure {
    let (code, kind) = match reason {
        CloseReason::AuthRefused(LinkError::Credentials(error)) => return of_credentials(error),
        CloseReason::AuthRefused(_) => (Code::Permission, "auth"),
        CloseReason::Incompatible(LinkError::Tls(error @ TlsError::Files(_))) => return of_tls_files(error),
        CloseReason::Incompatible(LinkError::Tls(_) | LinkError::TlsUnavailable) => (Code::Permission, "tls"),
        CloseReason::Incompatible(_) => (Code::Config, "incompatible"),
        _ => (Code::Unavailable, "unavailable"),
    };
    Failure::new(code, kind, reason.to_string())
}

/// Certificates, or a key, that are no good.
pub(crate) fn of_tls_files(error: &TlsError) -> Failure {
    Failure::new(Code::Config, "tls", format!("no TLS: {error}"))
}

/// Credentials that are not to be had: ours to mend where a file is at fault, else refused.
pub(crate) fn of_credentials(error: &AuthError) -> Failure {
    let code = match error {
        AuthError::Unreadable { .. } | AuthError::Malformed { .. } => Code::Config,
        _ => Code::Permission,
    };
    Failure::new(code, "credentials", format!("no credentials: {error}"))
}

fn of_stream(problem: &StreamProblem, sink: StreamSink<'_>) -> Failure {
    let name = sink.stream;
    let api = sink.nats.js_api_prefix.as_str();
    let subject = sink.nats.subject.as_pattern();
    let (code, kind, help) = match problem {
        StreamProblem::NotFound { .. } => (
            Code::Config,
            "stream_not_found",
            format!("create it: nats stream add {name} --subjects '{subject}' --defaults"),
        ),
        StreamProblem::NotCaptured { subjects, .. } => {
            let all = [subjects.as_slice(), &[subject]].concat().join(",");
            (Code::Config, "subject_not_captured", format!("let it: nats stream edit {name} --subjects '{all}'"))
        }
        // Nobody answers there: the account's own JetStream was not even asked.
        StreamProblem::NoJetStream { .. } if api != "$JS.API" => (
            Code::Config,
            "jetstream_disabled",
            format!("nobody answers on {api}.>; see whether --js-domain or --js-api-prefix is right"),
        ),
        StreamProblem::NoJetStream { server: true } => {
            (Code::Config, "jetstream_disabled", "enable it with jetstream {} in the server's configuration".into())
        }
        StreamProblem::NoJetStream { server: false } => {
            (Code::Config, "jetstream_disabled", "enable it with jetstream: enabled in the account".into())
        }
        StreamProblem::PermissionDenied { .. } => {
            (Code::Permission, "permission", format!("allow this user to publish to {api}.STREAM.INFO.{name}"))
        }
        StreamProblem::Recreated { .. } | StreamProblem::Rewound { .. } | StreamProblem::Gone { .. } => {
            let help = "if that is meant, let the checkpoint know it with natsink checkpoint accept, or start over with \
                        --from-start";
            (Code::Fenced, "other_stream", help.into())
        }
        StreamProblem::NoAck => (Code::Config, "stream_unusable", format!("let it: nats stream edit {name} --ack")),
        StreamProblem::Sealed => {
            (Code::Config, "stream_unusable", "what is sealed stays so; name another stream with --stream".into())
        }
        StreamProblem::Mirror => {
            (Code::Config, "stream_unusable", "name the stream that it mirrors with --stream, or another".into())
        }
        _ => (Code::Config, "stream_unusable", format!("see nats stream info {name}")),
    };
    Failure::new(code, kind, problem.to_string()).with_help(help)
}

/// An event that stopped the run.
pub(crate) fn of_event(stop: &DeadLetter) -> Failure {
    let (code, kind) = match &stop.reason {
        Reason::Rejected(Rejection::PermissionDenied { .. }) => (Code::Permission, "permission"),
        Reason::Rejected(Rejection::WrongStream { .. }) => (Code::Config, "wrong_stream"),
        _ => (Code::Data, "event"),
    };
    let mut place = format!("line {}, byte {}", stop.number, stop.position);
    if let Some(subject) = &stop.subject {
        place += &format!(", subject {subject}");
    }
    if let Some(id) = &stop.id {
        place += &format!(", id {id}");
    }
    let help = "mend it, or name a file for such events with --dead-letter";
    Failure::new(code, kind, format!("stopped before the event at {place}: {}", stop.reason)).with_help(help)
}

/// An input that cannot be read.
pub(crate) fn of_source(error: &SourceError) -> Failure {
    match error {
        SourceError::OtherBytes { .. } | SourceError::TooShort { .. } => {
            Failure::new(Code::Data, "other_input", error.to_string())
        }
        error => Failure::new(Code::NoInput, "input", error.to_string()),
    }
}

/// A checkpoint that cannot be used or written.
pub(crate) fn of_checkpoint(error: &CheckpointError) -> Failure {
    let (code, kind) = match error {
        CheckpointError::InUse(_) => (Code::Fenced, "checkpoint_in_use"),
        CheckpointError::Io { .. } => (Code::Io, "checkpoint"),
        _ => (Code::Config, "checkpoint"),
    };
    Failure::new(code, kind, error.to_string())
}

/// A dead-letter file that cannot be written.
pub(crate) fn of_dead_letter(error: &DeadLetterError) -> Failure {
    Failure::new(Code::Io, "dead_letter", error.to_string())
}

/// An output of lines that cannot be opened or written.
pub(crate) fn of_output(error: &OutputError) -> Failure {
    Failure::new(Code::Io, "output", error.to_string())
}

/// A signal before anything was read.
pub(crate) fn of_signal(signal: u8) -> Failure {
    Failure::new(Code::Signal(signal), "signal", format!("stopped by signal {signal} before anything was sent"))
}
