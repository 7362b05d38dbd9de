//! The sinks' part of the check: which there are, what they are called, and which flags speak of which.

use std::path::PathBuf;
use std::prelude::v1::*;

use super::error::ConfigError;
use super::field::{Desk, Field};
use super::flags::Flags;
use super::nats;
use super::plan::{Delivery, SinkPlan, Target};
use super::written::{ConfigWritten, Written};
use crate::sink::Format;

/// A file, and the place that names it.
pub(super) type Named = (Field, PathBuf);

/// The most sinks of one run.
pub const SINKS_MAX: usize = 16;

/// The types of sinks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Type {
    Nats,
    Stdout,
    File,
}

/// A sink as it was written, its type known.
pub(super) struct Typed<'a> {
    kind: Type,
    config: &'a ConfigWritten,
    index: usize,
    line: u64,
}

/// The sinks with their types. Without a file, or without sinks in it, the flags say all of the one sink, and `of_flags`,
/// which is empty, stands for it.
pub(super) fn typed<'a>(
    desk: &Desk<'_>,
    written: &'a Written,
    of_flags: &'a ConfigWritten,
) -> Result<Vec<Typed<'a>>, ConfigError> {
    let mut sinks = Vec::new();
    for (index, sink) in written.sinks.iter().enumerate() {
        let key = format!("sinks[{index}].type");
        let line = sink.referenced.line();
        let Some(field) = desk.file(&key, &sink.value.r#type)? else {
            return Err(desk.missing(&key, line, "missing; a sink is of type nats, stdout or file"));
        };
        let kind = match field.text.as_str() {
            "nats" => Type::Nats,
            "stdout" => Type::Stdout,
            "file" => Type::File,
            other => return Err(field.invalid(format!("unknown type of sink {other:?}; known are nats, stdout, file"))),
        };
        if index == SINKS_MAX {
            return Err(field.invalid(format!("more than {SINKS_MAX} sinks")));
        }
        sinks.push(Typed { kind, config: &sink.value.config, index, line });
    }
    if sinks.is_empty() {
        sinks.push(Typed { kind: Type::Nats, config: of_flags, index: 0, line: 0 });
    }
    Ok(sinks)
}

/// What all sinks have in common.
pub(super) struct Sinks<'a> {
    pub(super) desk: Desk<'a>,
    pub(super) flags: &'a Flags,
    pub(super) pipeline: &'a str,
    pub(super) format: Format,
}

impl Sinks<'_> {
    /// The plans, and the files that the sinks write, each with the place that names it.
    pub(super) fn plans(&self, sinks: &[Typed<'_>]) -> Result<(Vec<SinkPlan>, Vec<Named>), ConfigError> {
        self.check_flags(sinks)?;
        let (mut plans, mut files) = (Vec::<SinkPlan>::new(), Vec::new());
        for sink in sinks {
            let desk = Desk { sink: sink.index, ..self.desk };
            let (plan, file) = self.plan(&desk, sink)?;
            if plans.iter().any(|other| other.id == plan.id) {
                let place = match desk.file(&desk.key("id"), &sink.config.id)? {
                    Some(field) => field,
                    None => desk.section(&desk.key("id"), sink.line),
                };
                return Err(place.invalid(format!("the id {} is taken by another sink; give each its own", plan.id)));
            }
            let is_stdout = |plan: &SinkPlan| matches!(plan.to, Target::Stdout);
            if is_stdout(&plan) && plans.iter().any(is_stdout) {
                let place = desk.section(&format!("sinks[{}].type", sink.index), sink.line);
                return Err(place.invalid("a second sink of type stdout; there is one standard output"));
            }
            if plans.iter().any(|other| is_one_stream(&other.to, &plan.to)) {
                let place = desk.section(&desk.key("stream"), sink.line);
                let reason = "the stream of another sink: each would take the other's events for duplicates of its own";
                return Err(place.invalid(reason));
            }
            plans.push(plan);
            files.extend(file);
        }
        Ok((plans, files))
    }

    /// A flag that speaks of one sink of type `nats` must find exactly one.
    fn check_flags(&self, sinks: &[Typed<'_>]) -> Result<(), ConfigError> {
        let count = sinks.iter().filter(|sink| sink.kind == Type::Nats).count();
        match self.flags.of_one_sink().next() {
            Some(flag) if count != 1 => {
                let reason = format!(
                    "the flag speaks of one sink of type nats, and the configuration has {count}; write it there"
                );
                Err(Field::flag(flag, "").usage(reason))
            }
            _ => Ok(()),
        }
    }

    fn plan(&self, desk: &Desk<'_>, sink: &Typed<'_>) -> Result<(SinkPlan, Option<Named>), ConfigError> {
        let config = sink.config;
        let id = desk.file(&desk.key("id"), &config.id)?;
        let required = desk.file(&desk.key("required"), &config.required)?;
        let required = required.map_or(Ok(true), |field| field.truth())?;
        let path = desk.path_field(("", None), &desk.key("path"), &config.path)?;
        if let (Type::Stdout | Type::File, Some((name, line))) = (sink.kind, config.of_nats()) {
            let what = if sink.kind == Type::File { "file" } else { "stdout" };
            let reason = format!("unknown key: a sink of type {what} has no {name}");
            return Err(desk.section(&desk.key(name), line).invalid(reason));
        }
        let (name, to, file) = match (sink.kind, path) {
            (Type::Nats, None) => {
                let (flags, line, format) = (self.flags, sink.line, self.format);
                let plan = nats::Sink { desk, flags, config, line, format }.plan(self.pipeline)?;
                ("nats", Target::Nats(Box::new(plan)), None)
            }
            (Type::Stdout, None) => ("stdout", Target::Stdout, None),
            (Type::File, Some((field, path))) => ("file", Target::File { path: path.clone() }, Some((field, path))),
            (Type::File, None) => {
                return Err(desk.missing(&desk.key("path"), sink.line, "missing; a sink of type file needs a path"));
            }
            (kind, Some((path, _))) => {
                let what = if kind == Type::Nats { "nats" } else { "stdout" };
                return Err(path.invalid(format!("unknown key: a sink of type {what} has no path")));
            }
        };
        let id = id.map_or(Ok(name.into()), Field::name)?;
        Ok((SinkPlan { id, required, to }, file))
    }
}

/// Whether two sinks deliver into the same stream of the same account.
fn is_one_stream(one: &Target, other: &Target) -> bool {
    let (Target::Nats(one), Target::Nats(other)) = (one, other) else { return false };
    matches!((&one.delivery, &other.delivery), (Delivery::Ordered { .. }, Delivery::Ordered { .. }))
        && one.delivery == other.delivery
        && one.js_api_prefix == other.js_api_prefix
        && one.auth == other.auth
        && one.servers.iter().any(|server| other.servers.contains(server))
}
