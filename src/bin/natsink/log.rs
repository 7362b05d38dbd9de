//! The log on stderr: one line an entry, text or JSON, control characters escaped, drawn around the progress line.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

use indicatif::ProgressBar;
use natsink::config::{LogFormat, LogLevel, LogPlan};
use natsink::io::rfc3339;
use natsink::sink::DeadLetter;
use serde::Serialize;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    plan: LogPlan,
    /// The progress line to step aside for each entry.
    bar: Mutex<Option<ProgressBar>>,
}

/// Says what is logged from now on. Before it, and where it is called again, the first plan counts; there is no log
/// before the first.
pub(crate) fn init(plan: LogPlan) {
    if LOG.set(Log { plan, bar: Mutex::new(None) }).is_ok() {
        // Another one is there only where there has been a first call.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Entries));
    }
}

/// What the library tells, as entries of the log.
struct Entries;

impl<S: Subscriber> Layer<S> for Entries {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // Other crates may tell of their inside.
        metadata.target().starts_with("natsink")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        LOG.get().map(|log| match log.plan.level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut told = Told::default();
        event.record(&mut told);
        write(level(event.metadata().level()), &told.message, told.fields);
    }
}

/// What of an entry is for programs: named values, which its words tell too.
pub(crate) type Fields = BTreeMap<&'static str, Value>;

/// The words of an event, and its fields.
#[derive(Default)]
struct Told {
    message: String,
    fields: Fields,
}

impl Visit for Told {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name(), value.into());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.record_u64(field, u64::try_from(value).unwrap_or(u64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.insert(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.fields.insert(field.name(), format!("{value:?}").into());
        }
    }
}

fn level(level: &Level) -> LogLevel {
    match *level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

/// Lets entries stand above `bar`, or no longer above one.
pub(crate) fn draw_above(bar: Option<ProgressBar>) {
    if let Some(log) = LOG.get() {
        *log.bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = bar;
    }
}

/// Something that a person should look at.
pub(crate) fn warn(message: impl Display) {
    write(LogLevel::Warn, &message, Fields::new());
}

/// The same with what programs want to know of it.
pub(crate) fn warn_with<const N: usize>(message: impl Display, fields: [(&'static str, Value); N]) {
    write(LogLevel::Warn, &message, Fields::from(fields));
}

/// An event that becomes a dead letter, of one sink where there are several.
pub(crate) fn dead_letter(letter: &DeadLetter, sink: Option<&str>) {
    let DeadLetter { number, position, reason, .. } = letter;
    let of = sink.map(|sink| format!("sink {sink}: ")).unwrap_or_default();
    warn_with(
        format_args!("{of}dead letter: line {number}, byte {position}: {reason}"),
        [
            ("sink", sink.into()),
            ("line", (*number).into()),
            ("position", (*position).into()),
            ("subject", letter.subject.as_deref().into()),
            ("id", letter.id.as_deref().into()),
            ("reason", reason.to_string().into()),
            ("attempts", letter.attempts.into()),
        ],
    );
}

/// What a person wants to know of a run that goes well.
pub(crate) fn info(message: impl Display) {
    write(LogLevel::Info, &message, Fields::new());
}

/// What a person is told whatever the level: the receipt, the failure. Each line stands as it is, or is an entry where the
/// log is JSON. A stderr that is gone is nobody's failure.
pub(crate) fn say(level: LogLevel, message: impl Display) {
    say_with(level, message, []);
}

/// The same with what programs want to know of it.
pub(crate) fn say_with<const N: usize>(level: LogLevel, message: impl Display, fields: [(&'static str, Value); N]) {
    let is_json = LOG.get().is_some_and(|log| log.plan.format == LogFormat::Json);
    let mut stderr = std::io::stderr().lock();
    if is_json {
        let _ = stderr.write_all(line(LogFormat::Json, level, SystemTime::now(), &message, fields.into()).as_bytes());
        return;
    }
    for (index, line) in message.to_string().lines().enumerate() {
        let name = if index == 0 { "natsink: " } else { "         " };
        let _ = writeln!(stderr, "{name}{}", Escaped(&line));
    }
}

fn write(level: LogLevel, message: &dyn Display, fields: Fields) {
    let Some(log) = LOG.get() else { return };
    if level > log.plan.level {
        return;
    }
    let line = line(log.plan.format, level, SystemTime::now(), message, fields);
    let bar = log.bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let print = || {
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    };
    match &*bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

fn line(format: LogFormat, level: LogLevel, at: SystemTime, message: &dyn Display, mut fields: Fields) -> String {
    #[derive(Serialize)]
    struct Entry<'a> {
        at: String,
        level: &'a str,
        message: String,
        /// Those that have a value.
        #[serde(flatten)]
        fields: Fields,
    }

    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let at = rfc3339(at);
    match format {
        LogFormat::Text => format!("{at} {level:5} {}\n", Escaped(message)),
        LogFormat::Json => {
            fields.retain(|_, value| !value.is_null());
            let entry = Entry { at, level, message: message.to_string(), fields };
            let mut json = serde_json::to_string(&entry).expect("strings and numbers are JSON");
            json.push('\n');
            json
        }
    }
}

/// Text in which every control character is written out: a server's words cannot move the cursor of a terminal.
pub(crate) struct Escaped<'a>(pub(crate) &'a dyn Display);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            if char.is_control()
                || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            {
                write!(self.0, "{}", char.escape_default())?;
            } else {
                self.0.write_char(char)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        let message = "a\u{1b}[2J\r\nb\0\u{202e}c é";
        let text = line(LogFormat::Text, LogLevel::Warn, SystemTime::UNIX_EPOCH, &message, Fields::new());
        assert_eq!(text, "1970-01-01T00:00:00.000Z warn  a\\u{1b}[2J\\r\\nb\\u{0}\\u{202e}c é\n");
        let fields = Fields::from([("sink", "a\"b".into()), ("position", 7.into())]);
        let json = line(LogFormat::Json, LogLevel::Error, SystemTime::UNIX_EPOCH, &"a\n\"b\"\u{1b}", fields);
        assert_eq!(
            json,
            "{\"at\":\"1970-01-01T00:00:00.000Z\",\"level\":\"error\",\"message\":\"a\\n\\\"b\\\"\\u001b\",\"position\":7,\"sink\":\"a\\\"b\"}\n"
        );
    }
}
