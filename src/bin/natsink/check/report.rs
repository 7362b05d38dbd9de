//! The findings of a check, for people and for machines.

use std::io::Write as _;
use std::ops::Range;

use serde::Serialize;

use super::super::exit::{Code, Failure};
use super::super::log::Escaped;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// A run would go, and a person should look at this.
    Warning,
    /// A run would end here.
    Error,
}

#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    about: String,
    message: String,
    /// The command, the line or the words that mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    /// One word for machines, as in a run's receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip)]
    code: Option<Code>,
}

/// What was found, in the order in which a run would come upon it.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn ok(&mut self, about: impl Into<String>, message: impl Into<String>) {
        let (about, message) = (about.into(), message.into());
        self.findings.push(Finding { level: Level::Ok, about, message, fix: None, kind: None, code: None });
    }

    pub(super) fn warning(&mut self, about: impl Into<String>, message: impl Into<String>, fix: Option<String>) {
        let (about, message) = (about.into(), message.into());
        self.findings.push(Finding { level: Level::Warning, about, message, fix, kind: None, code: None });
    }

    /// What a run would fail with.
    pub(super) fn error(&mut self, about: impl Into<String>, failure: &Failure) {
        self.findings.push(Finding {
            level: Level::Error,
            about: about.into(),
            message: failure.message.clone(),
            fix: failure.help.clone(),
            kind: Some(failure.kind),
            code: Some(failure.code),
        });
    }

    /// How many findings there are: the place of the next one.
    pub(super) fn len(&self) -> usize {
        self.findings.len()
    }

    /// Whether there are errors among the findings in `range`.
    pub(super) fn has_errors(&self, range: Range<usize>) -> bool {
        self.findings[range].iter().any(|finding| finding.level == Level::Error)
    }

    /// Makes warnings of the errors in `range`: a run goes on without what they are about.
    pub(super) fn spare(&mut self, range: Range<usize>) {
        for finding in self.findings[range].iter_mut().filter(|finding| finding.level == Level::Error) {
            finding.level = Level::Warning;
            finding.message += "; the other sinks go on without it";
        }
    }

    /// The exit code: that of the first error.
    pub(super) fn code(&self) -> Code {
        let first = self.findings.iter().find(|finding| finding.level == Level::Error);
        first.and_then(|finding| finding.code).unwrap_or(Code::Done)
    }

    /// Prints all of it on stdout; `quiet` leaves out what is as it should be. A reader that has gone away is no failure.
    pub(super) fn print(&self, json: bool, quiet: bool) {
        let text = if json { self.json(quiet) } else { self.text(quiet) };
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }

    fn shown(&self, quiet: bool) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| !(quiet && finding.level == Level::Ok))
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    fn text(&self, quiet: bool) -> String {
        let mut text = String::new();
        for finding in self.shown(quiet) {
            let level = match finding.level {
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Error => "error",
            };
            text += &format!("{level:8} {}: {}\n", Escaped(&finding.about), Escaped(&finding.message));
            if let Some(fix) = &finding.fix {
                text += &format!("         fix: {}\n", Escaped(fix));
            }
        }
        let (errors, warnings) = (self.count(Level::Error), self.count(Level::Warning));
        if !(quiet && errors + warnings == 0) {
            text += &format!("errors: {errors}, warnings: {warnings}\n");
        }
        text
    }

    fn json(&self, quiet: bool) -> String {
        let shown: Vec<_> = self.shown(quiet).collect();
        let object = serde_json::json!({
            "exit": self.code().number(),
            "errors": self.count(Level::Error),
            "warnings": self.count(Level::Warning),
            "findings": shown,
        });
        format!("{object}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.ok("a", "fine");
        report.warning("b", "weak\u{1b}[2J", Some("do x".into()));
        report.error("c", &Failure::new(Code::Permission, "auth", "refused").with_help("do y"));
        report.error("d", &Failure::new(Code::Config, "configuration", "wrong"));
        report
    }

    #[test]
    fn people_read_one_line_a_finding_and_what_mends_it() {
        let text = "ok       a: fine\nwarning  b: weak\\u{1b}[2J\n         fix: do x\nerror    c: refused\n         fix: do y\n\
                    error    d: wrong\nerrors: 2, warnings: 1\n";
        assert_eq!(report().text(false), text);
        assert_eq!(report().text(true), text.replacen("ok       a: fine\n", "", 1));
        let mut good = Report::default();
        good.ok("a", "fine");
        assert_eq!(
            (good.text(false).as_str(), good.text(true).as_str()),
            ("ok       a: fine\nerrors: 0, warnings: 0\n", "")
        );
    }

    #[test]
    fn what_a_run_goes_on_without_is_no_error() {
        let mut report = report();
        assert!(report.has_errors(0..3) && !report.has_errors(0..2));
        report.spare(0..3);
        assert_eq!((report.code(), report.count(Level::Warning)), (Code::Config, 2));
        assert!(report.text(false).contains("warning  c: refused; the other sinks go on without it\n"));
    }

    #[test]
    fn machines_read_one_object_and_the_first_error_is_the_exit() {
        let found: serde_json::Value = serde_json::from_str(&report().json(false)).expect("JSON");
        let expected = serde_json::json!({
            "exit": 77, "errors": 2, "warnings": 1,
            "findings": [
                { "level": "ok", "about": "a", "message": "fine" },
                { "level": "warning", "about": "b", "message": "weak\u{1b}[2J", "fix": "do x" },
                { "level": "error", "about": "c", "message": "refused", "fix": "do y", "kind": "auth" },
                { "level": "error", "about": "d", "message": "wrong", "kind": "configuration" },
            ],
        });
        assert_eq!(found, expected);
        assert_eq!(Report::default().code(), Code::Done);
    }
}
