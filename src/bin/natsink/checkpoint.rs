//! `natsink checkpoint`: shows a checkpoint, moves it, or accepts another stream.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

use natsink::config::LogLevel;
use natsink::io::CheckpointFile;

use super::checkpoint_args::{CheckpointCommand, ShowArgs};
use super::checkpoint_text::{as_json, as_text};
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
