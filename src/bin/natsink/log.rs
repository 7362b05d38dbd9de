//! The log on stderr: one line an entry, text or JSON, control characters escaped, drawn around the progress line.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::sync::{Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use indicatif::ProgressBar;
use natsink::config::{LogFormat, LogLevel, LogPlan};
use serde::Serialize;

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    plan: LogPlan,
    /// The progress line to step aside for each entry.
    bar: Mutex<Option<ProgressBar>>,
}

/// Says what is logged from now on. Before it, and where it is called again, the first plan counts; there is no log
/// before the first.
pub(crate) fn init(plan: LogPlan) {
    let _ = LOG.set(Log { plan, bar: Mutex::new(None) });
}

/// Lets entries stand above `bar`, or no longer above one.
pub(crate) fn draw_above(bar: Option<ProgressBar>) {
    if let Some(log) = LOG.get() {
        *log.bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = bar;
    }
}

/// Something that a person should look at.
pub(crate) fn warn(message: impl Display) {
    write(LogLevel::Warn, &message);
}

/// What a person wants to know of a run that goes well.
pub(crate) fn info(message: impl Display) {
    write(LogLevel::Info, &message);
}

/// What helps to understand a run that does not. Hand in `format_args!`: it costs nothing where nobody listens.
pub(crate) fn debug(message: impl Display) {
    write(LogLevel::Debug, &message);
}

/// What a person is told whatever the level: the receipt, the failure. Each line stands as it is, or is an entry where the
/// log is JSON. A stderr that is gone is nobody's failure.
pub(crate) fn say(level: LogLevel, message: impl Display) {
    let is_json = LOG.get().is_some_and(|log| log.plan.format == LogFormat::Json);
    let mut stderr = std::io::stderr().lock();
    if is_json {
        let _ = stderr.write_all(line(LogFormat::Json, level, Timestamp::now(), &message).as_bytes());
        return;
    }
    for (index, line) in message.to_string().lines().enumerate() {
        let name = if index == 0 { "natsink: " } else { "         " };
        let _ = writeln!(stderr, "{name}{}", Escaped(&line));
    }
}

fn write(level: LogLevel, message: &dyn Display) {
    let Some(log) = LOG.get() else { return };
    if level > log.plan.level {
        return;
    }
    let line = line(log.plan.format, level, Timestamp::now(), message);
    let bar = log.bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let print = || {
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    };
    match &*bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

fn line(format: LogFormat, level: LogLevel, at: Timestamp, message: &dyn Display) -> String {
    #[derive(Serialize)]
    struct Entry<'a> {
        at: String,
        level: &'a str,
        message: String,
    }

    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    };
    match format {
        LogFormat::Text => format!("{at} {level:5} {}\n", Escaped(message)),
        LogFormat::Json => {
            let entry = Entry { at: at.to_string(), level, message: message.to_string() };
            let mut json = serde_json::to_string(&entry).expect("three strings are JSON");
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

/// A moment of the wall clock, milliseconds since 1970; it prints as RFC 3339 in UTC.
#[derive(Clone, Copy)]
struct Timestamp(u64);

impl Timestamp {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or_default())
    }
}

impl Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (days, second) = (seconds / 86400, seconds % 86400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// The Gregorian date of a day counted from 1970-01-01. Years begin in March here, so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_ERA: u64 = 146_097;
    let days = days + 719_468;
    let (era, day_of_era) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_764_028_800_123, "2025-11-25T00:00:00.123Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (4_133_980_799_000, "2100-12-31T23:59:59.000Z"),
        ];
        for (millis, text) in cases {
            assert_eq!(Timestamp(millis).to_string(), text);
        }
    }

    #[test]
    fn a_line_is_one_line() {
        let message = "a\u{1b}[2J\r\nb\0\u{202e}c é";
        let text = line(LogFormat::Text, LogLevel::Warn, Timestamp(0), &message);
        assert_eq!(text, "1970-01-01T00:00:00.000Z warn  a\\u{1b}[2J\\r\\nb\\u{0}\\u{202e}c é\n");
        let json = line(LogFormat::Json, LogLevel::Error, Timestamp(0), &"a\n\"b\"\u{1b}");
        assert_eq!(
            json,
            "{\"at\":\"1970-01-01T00:00:00.000Z\",\"level\":\"error\",\"message\":\"a\\n\\\"b\\\"\\u001b\"}\n"
        );
    }
}
