//! Plans as tests of the configuration look at them: most have one sink, of type `nats`.

#![allow(dead_code, reason = "not every file of tests asks for all of it")]

use std::ffi::OsString;

use natsink::config::{ConfigError, ConfigErrorKind, Delivery, Document, Flags, NatsPlan, Plan, Target, check};

/// What a plan says of its first sink.
pub(crate) trait FirstSink {
    /// Its NATS part.
    fn nats(&self) -> NatsPlan;
    /// Its stream; empty for core NATS.
    fn stream(&self) -> String;
}

impl FirstSink for Plan {
    fn nats(&self) -> NatsPlan {
        match &self.sinks[0].to {
            Target::Nats(nats) => nats.as_ref().clone(),
            other => panic!("not of type nats: {other:?}"),
        }
    }

    fn stream(&self) -> String {
        match self.nats().delivery {
            Delivery::Ordered { stream } => stream,
            _ => String::new(),
        }
    }
}

/// A whole file of the least that this version runs, with a place for one more key of the sink.
pub(crate) fn sink_with(key: &str) -> String {
    format!(
        "sinks:\n  - type: nats\n    config:\n      url: nats://127.0.0.1:4222\n      \
         subject: orders.events\n      stream: ORDERS\n{}",
        key.lines().map(|line| format!("      {line}\n")).collect::<String>()
    )
}

pub(crate) fn environment(name: &str) -> Option<OsString> {
    match name {
        "NATS_HOSTS" => Some("nats://a:1,b".into()),
        "N" => Some("17".into()),
        "WORD" => Some("seventeen".into()),
        "TABLE" => Some("t".into()),
        _ => None,
    }
}

pub(crate) fn plan(text: &str) -> Result<Plan, ConfigError> {
    let document = Document { path: "etc/orders.yaml".into(), text: text.into() };
    check(Some(&document), &Flags::default(), &environment)
}

pub(crate) fn good(text: &str) -> Plan {
    plan(text).unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
}

/// The kind and the text of the error, without the file's name.
pub(crate) fn refused(text: &str) -> (ConfigErrorKind, String) {
    let error = plan(text).err().unwrap_or_else(|| panic!("accepted:\n{text}"));
    let message = error.to_string();
    let message = message.strip_prefix("etc/orders.yaml:").unwrap_or_else(|| panic!("no file in {message}"));
    (error.kind(), message.into())
}

pub(crate) fn is_invalid(text: &str, message: &str) {
    assert_eq!(refused(text), (ConfigErrorKind::Invalid, message.into()), "\n{text}");
}

pub(crate) fn is_not_in_this_version(text: &str, message: &str) {
    assert_eq!(refused(text), (ConfigErrorKind::NotInThisVersion, message.into()), "\n{text}");
}
