//! What a checkpoint says, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;

use natsink::io::{Checkpoint, InputKind};
use serde_json::{Value, json};

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

/// What a checkpoint says, for programs.
pub(super) fn as_json(checkpoint: &Checkpoint, age: Option<u64>) -> Value {
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
