//! The source's part of the check: what is read, and how it is cut.

use std::path::PathBuf;
use std::prelude::v1::*;

use super::error::ConfigError;
use super::field::{Desk, Field};
use super::flags::Flags;
use super::limits::LINE_LEN_MAX;
use super::plan::{Input, SourcePlan};
use super::written::SourceWritten;
use crate::sink::Format;

pub(super) fn source(
    desk: &Desk<'_>,
    flags: &Flags,
    written: &SourceWritten,
    checkpoint: Option<&Field>,
) -> Result<SourcePlan, ConfigError> {
    let format = match desk.pick(("--format", flags.format.as_deref()), "source.format", &written.format)? {
        None => Format::Event,
        Some(field) => match field.text.as_str() {
            "event" => Format::Event,
            "json" => Format::Json,
            "lines" => Format::Lines,
            other => return Err(field.mistyped(format!("{other:?} is none of event, json, lines"))),
        },
    };
    let line_bytes_max = match desk.file("source.max_line_bytes", &written.max_line_bytes)? {
        None => 8 * 1024 * 1024,
        Some(field) => field.size(1..=LINE_LEN_MAX)?,
    };
    let input = input(desk, flags, written, checkpoint)?;
    Ok(SourcePlan { input, format, line_bytes_max, strict: flags.strict_input })
}

fn input(
    desk: &Desk<'_>,
    flags: &Flags,
    written: &SourceWritten,
    checkpoint: Option<&Field>,
) -> Result<Input, ConfigError> {
    let follow = match desk.file("source.follow", &written.follow)? {
        _ if flags.follow => Some(Field::flag("--follow", "true")),
        Some(field) if field.truth()? => Some(field),
        _ => None,
    };
    let file = match &flags.input {
        Some(path) if path.as_os_str() == "-" => None,
        Some(path) => desk.path(("--input", Some(path)), "", &None)?,
        None => written_input(desk, written)?,
    };
    let input_id = desk.pick(("--input-id", flags.input_id.as_deref()), "source.input_id", &written.input_id)?;
    if let (None, Some(follow)) = (&file, &follow) {
        return Err(follow.mistyped("standard input is read as it comes, and cannot be followed; name a file"));
    }
    match (file, input_id) {
        (Some(_), Some(input_id)) => {
            Err(input_id.mistyped("names an input that is piped in; a file is recognised by what it is"))
        }
        (Some(path), None) => Ok(Input::File { path, follow: follow.is_some() }),
        (None, Some(input_id)) => Ok(Input::Stdin { input_id: Some(input_id.name()?) }),
        (None, None) => match checkpoint {
            None => Ok(Input::Stdin { input_id: None }),
            Some(checkpoint) => Err(checkpoint.usage(
                "a checkpoint on standard input needs --input-id NAME (or source.input_id), \
                 the same for the same data: without it nothing tells one pipe from another",
            )),
        },
    }
}

/// The file that the configuration names as the source; `None` for standard input.
fn written_input(desk: &Desk<'_>, written: &SourceWritten) -> Result<Option<PathBuf>, ConfigError> {
    let path = desk.file("source.path", &written.path)?;
    let Some(kind) = desk.file("source.type", &written.r#type)? else {
        return match path {
            None => Ok(None),
            Some(path) => Err(path.invalid("a path without a type; write type: file")),
        };
    };
    match (kind.text.as_str(), path) {
        ("stdin", None) => Ok(None),
        ("stdin", Some(path)) => Err(path.invalid("standard input has no path; write type: file")),
        ("file", None) => Err(kind.invalid("a source of type file needs a path")),
        ("file", Some(_)) => desk.path(("", None), "source.path", &written.path),
        (other, _) => Err(kind.invalid(format!("unknown type of source {other:?}; known are file, stdin"))),
    }
}
