//! `natsink checkpoint`: what a checkpoint says, for people and programs.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

use natsink::config::LogLevel;
use natsink::io::{Checkpoint, CheckpointFile, InputKind};
use serde_json::{Value, json};

use super::checkpoint_args::{CheckpointCommand, ShowArgs};
use super::exit::{Code, Failure};
use super::{checkpoint_set, log, verdict};

/// Does what is asked, tells on stdout, and gives the exit code.
pub(crate) fn run(command: &CheckpointCommand) -> u8 {
    let told = match command {
        CheckpointCommand::Show(args) => show(args),
        CheckpointCommand::Set(args) => checkpoint_set::set(args),
        CheckpointCommand::Accept(args) => checkpoint_set::accept(args),
    };
    let failure = match told {
        Ok(text) => match io::stdout().write_all(text.as_bytes()) {
            // A reader that has gone away, as `head` does, is no failure.
            Ok(()) => return Code::Done.number(),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Code::Done.number(),
            Err(error) => Failure::new(Code::Io, "stdout", format!("cannot write to standard output: {error}")),
        },
        Err(failure) => failure,
    };
    log::say(LogLevel::Error, &failure);
    failure.code.number()
}

fn show(args: &ShowArgs) -> Result<String, Failure> {
    let path = &args.file;
    let found = CheckpointFile::read(path).map_err(|error| verdict::of_checkpoint(&error))?;
    let found = found.ok_or_else(|| {
        Failure::new(Code::NoInput, "checkpoint_missing", format!("there is no checkpoint {}", path.display()))
    })?;
    let age = age(path);
    Ok(if args.json { format!("{}\n", as_json(&found, age)) } else { as_text(path, &found, age) })
}

/// Seconds since the file was written, where that can be told.
fn age(path: &Path) -> Option<u64> {
    let written = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    SystemTime::now().duration_since(written).ok().map(|age| age.as_secs())
}

fn kind(kind: InputKind) -> &'static str {
    match kind {
        InputKind::File => "file",
        InputKind::Pipe => "pipe",
    }
}

/// What a checkpoint says, for people.
pub(super) fn as_text(path: &Path, checkpoint: &Checkpoint, age: Option<u64>) -> String {
    let input = &checkpoint.input;
    let written = age.map_or(String::new(), |age| format!(", written {age} s ago"));
    // Writing to a String cannot fail.
    let mut text = format!("{}: pipeline {}{written}\n", path.display(), checkpoint.pipeline);
    let _ = writeln!(text, "  input     {} {}", kind(input.kind), input.input());
    let _ = writeln!(text, "  position  byte {}, {} lines before it", input.position, input.lines);
    for sink in &checkpoint.sinks {
        let _ = write!(text, "  sink {}: byte {}", sink.id, sink.position);
        if sink.stream.is_empty() {
            text.push('\n');
            continue;
        }
        let created = if sink.created.is_empty() { "not seen yet" } else { &sink.created };
        let _ =
            writeln!(text, ", stream {} (created {created}), reads back from sequence {}", sink.stream, sink.read_from);
    }
    text
}

fn as_json(checkpoint: &Checkpoint, age: Option<u64>) -> Value {
    let input = &checkpoint.input;
    let sinks: Vec<Value> = checkpoint
        .sinks
        .iter()
        .map(|sink| {
            json!({
                "id": sink.id, "position": sink.position, "read_from": sink.read_from,
                "stream": sink.stream, "created": sink.created,
            })
        })
        .collect();
    json!({
        "pipeline": checkpoint.pipeline,
        "input": { "kind": kind(input.kind), "id": input.input().to_string() },
        "position": input.position,
        "lines": input.lines,
        "age_secs": age,
        "sinks": sinks,
    })
}
