//! The doubt about a fresh start: is the checkpoint missing although this input was already sent?

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use natsink::Client;
use natsink::config::{Input as InputPlan, Plan};
use natsink::sink::{Input, pipeline_id_prefix, position_id_prefix};

use super::exit::{Code, Failure};
use super::fresh_search::{Search, search};
use super::history::History;
use super::log;
use super::stream_sink::StreamSink;

/// How many windows of events before the last one may not all be stored: an earlier run may have had a larger one.
pub(crate) const WINDOWS: u64 = 4;
/// Bytes read at a time.
const BLOCK_LEN: usize = 64 * 1024;
/// Flags of a run that have no place in the line that sets a checkpoint, and whether a value follows.
const OTHER_FLAGS: [(&str, bool); 10] = [
    ("--checkpoint", true),
    ("--receipt", true),
    ("--dead-letter", true),
    ("--max-elapsed", true),
    ("--log", true),
    ("--log-format", true),
    ("--quiet", false),
    ("--json", false),
    ("--strict-input", false),
    ("--from-start", false),
];
/// Flags whose values are not shown.
const SECRET_FLAGS: [&str; 2] = ["--password", "--token"];

/// A checkpoint that may have been lost, where nobody can tell.
pub(crate) struct Doubt {
    /// What is seen, and what may come of it.
    pub(crate) words: String,
    /// What is typed where it was lost.
    pub(crate) line: String,
}

/// Looks at the last message of the stream on our subjects. When its id says that this pipeline sent it from this input,
/// a missing checkpoint is a lost one: beyond the duplicate window everything would be stored twice.
///
/// Ids that name a position of the source, or come from a template, say nothing of the input: then a file is searched for
/// that event, and of a pipe a doubt is all there is.
pub(crate) async fn check(
    plan: &Plan,
    sink: StreamSink<'_>,
    client: &Client,
    input: &Input,
) -> Result<Option<Doubt>, Failure> {
    let history = History { client, sink, prefix: position_id_prefix(&plan.pipeline, input) };
    let last = match history.last().await {
        Ok(last) => last,
        Err(words) => {
            log::warn(format_args!("cannot see whether this input was sent before: {words}"));
            return Ok(None);
        }
    };
    let Some(message) = last else { return Ok(None) };
    let last = message.seq;
    let checkpoint = plan.checkpoint.as_deref().unwrap_or(Path::new("the checkpoint"));
    let arguments = || std::env::args_os().skip(2);
    let found = match (history.position(&message), message.id()) {
        (Some(position), _) => Search::Found(position),
        (None, Some(id)) if is_of_any_input(&plan.pipeline, id) => search(plan, sink, input, id).await,
        _ => Search::Absent,
    };
    let position = match found {
        Search::Found(position) => position,
        Search::Absent => return Ok(None),
        Search::Unknown => {
            let words = format!(
                "{} is missing, and the last message of stream {} (sequence {last}) is of this pipeline; its id does not say \
                 of which input: if it was this one, what is older than the duplicate window will be stored again",
                checkpoint.display(),
                sink.stream,
            );
            return Ok(Some(Doubt { words, line: set_line(checkpoint, 0, arguments(), &plan.source.input) }));
        }
    };
    let back = WINDOWS * plan.in_flight.events_max as u64;
    let resume = match &plan.source.input {
        InputPlan::File { path, .. } => lines_back(path, position, back).unwrap_or(0),
        InputPlan::Stdin { .. } => position_back(&history, last, back).await,
    };
    let line = set_line(checkpoint, resume, arguments(), &plan.source.input);
    let message = format!(
        "{} is missing, but the last message of stream {} (sequence {last}) is the event at byte {position} of this \
         input; restore the file, send everything again with --from-start, or go on where the stream ends: {line}",
        checkpoint.display(),
        sink.stream,
    );
    Err(Failure::new(Code::Fenced, "checkpoint_missing", message))
}

/// Whether an id is of this pipeline and names no position in an input, as `input:17` does.
fn is_of_any_input(pipeline: &str, id: &str) -> bool {
    let Some(rest) = id.strip_prefix(&pipeline_id_prefix(pipeline)) else { return false };
    let offset = rest.rsplit_once(':').map(|(_, offset)| offset).filter(|_| !rest.contains('|'));
    !offset.is_some_and(|offset| !offset.is_empty() && offset.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The beginning of the line that stands so many lines before this position: not all after it need be stored.
fn lines_back(path: &Path, position: u64, lines: u64) -> std::io::Result<u64> {
    let file = File::open(path)?;
    let mut block = vec![0; BLOCK_LEN];
    // The line feed right before the position ends the first of those lines.
    let (mut end, mut left) = (position.min(file.metadata()?.len()), lines + 1);
    while end > 0 {
        let len = (end as usize).min(BLOCK_LEN);
        let start = end - len as u64;
        file.read_exact_at(&mut block[..len], start)?;
        for at in (0..len).rev().filter(|at| block[*at] == b'\n') {
            left -= 1;
            if left == 0 {
                return Ok(start + at as u64 + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

/// The position of the event that the stream holds so many messages before its last.
async fn position_back(history: &History<'_>, last: u64, messages: u64) -> u64 {
    match history.at(last.saturating_sub(messages)).await {
        Some(position) if last > messages => position,
        _ => 0,
    }
}

/// The line that sets the checkpoint, with what the run was told of its input, server and stream, and without secrets.
fn set_line(checkpoint: &Path, position: u64, words: impl Iterator<Item = OsString>, input: &InputPlan) -> String {
    let mut line = format!("natsink checkpoint set {} --position {position}", quoted(&checkpoint.to_string_lossy()));
    let mut words = words.map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name).to_owned();
        if SECRET_FLAGS.contains(&name.as_str()) {
            let value = if word == name { words.next() } else { None };
            drop(value);
            line += &format!(" {name} ...");
            continue;
        }
        if let Some((_, has_value)) = OTHER_FLAGS.iter().find(|(other, _)| *other == name) {
            if *has_value && word == name {
                words.next();
            }
            continue;
        }
        if name == "--url" {
            let value = if word == name { words.next() } else { word.split_once('=').map(|(_, value)| value.into()) };
            line += &format!(" --url {}", quoted(&without_secrets(&value.unwrap_or_default())));
            continue;
        }
        let word = if word.contains("://") { without_credentials(&word) } else { word };
        line += &format!(" {}", quoted(&word));
    }
    if matches!(input, InputPlan::Stdin { .. }) {
        line += " < INPUT";
    }
    line
}

/// URLs without their credentials. A comma may be one of a password where not every part has an @.
fn without_secrets(urls: &str) -> String {
    if !urls.split(',').all(|url| url.contains('@')) {
        return without_credentials(urls);
    }
    urls.split(',').map(without_credentials).collect::<Vec<_>>().join(",")
}

/// A URL without what stands before its last @.
fn without_credentials(url: &str) -> String {
    let Some((before, host)) = url.rsplit_once('@') else { return url.into() };
    let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
    format!("{scheme}...@{host}")
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> String {
        let input = InputPlan::Stdin { input_id: None };
        set_line(Path::new("my c"), 7, words.iter().map(OsString::from), &input)
    }

    #[test]
    fn the_line_is_what_a_shell_takes_and_shows_no_secret() {
        assert_eq!(
            line(&["--subject", "orders.${source.table}", "--checkpoint", "my c", "--from-start", "--receipt=r"]),
            "natsink checkpoint set 'my c' --position 7 --subject 'orders.${source.table}' < INPUT"
        );
        for words in [
            &["--password", "canary"][..],
            &["--token=canary"],
            &["--url", "nats://user:canary@host:4222"],
            &["--url=tls://canary@host"],
            &["--url", "user:canary@host:4222"],
            &["--url=canary@host"],
            &["--url", "nats://user:canary@host,nats://user:canary@other"],
            &["--url", "nats://user:canary@"],
            &["--url", "user:1,canary@host"],
        ] {
            assert!(!line(words).contains("canary"), "{}", line(words));
        }
        let start = "natsink checkpoint set 'my c' --position 7 --url";
        assert_eq!(line(&["--url=tls://u:p@a:1,t@b"]), format!("{start} tls://...@a:1,...@b < INPUT"));
        assert_eq!(line(&["--url", "a,b:1"]), format!("{start} a,b:1 < INPUT"));
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn an_id_without_a_position_may_be_of_any_input() {
        for (id, expected) in [
            ("p|a504943d817bae62:317", false),
            ("p|nightly:0", false),
            ("other|pg|d.s.t|900,7,1", false),
            ("p|pg|d.s.t|900,7,1", true),
            ("p|mysql|crm..customers|binlog.000003:154:2", true),
            ("p|17", true),
            ("p|a:b", true),
        ] {
            assert_eq!(is_of_any_input("p", id), expected, "{id}");
        }
    }

    #[test]
    fn lines_are_counted_backwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        let text: String = (0..40_000).map(|number| format!("{number}\n")).collect();
        std::fs::write(&path, &text).unwrap();
        let at = |number: usize| text.find(&format!("\n{number}\n")).map_or(0, |at| at as u64 + 1);
        for (from, back, to) in [(39_999, 1, 39_998), (39_999, 30_000, 9_999), (5, 5, 0), (5, 9, 0), (10, 0, 10)] {
            assert_eq!(lines_back(&path, at(from), back).unwrap(), at(to), "{back} before {from}");
        }
    }
}
