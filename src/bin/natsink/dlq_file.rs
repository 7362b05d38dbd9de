//! The dead-letter file as the commands of `natsink dlq` have it: opened, named line by line, and what is wrong with it.

use std::io;
use std::path::Path;

use natsink::io::{DeadLetterError, Found, Letter, LetterLine, Remains};

use super::exit::{Code, Failure};

/// A line in a few words.
pub(crate) fn told(line: &LetterLine) -> String {
    match &line.found {
        Found::Letter(letter) => name(letter),
        Found::Gap(line) => {
            format!(
                "the gap of {} events from {} to {} of sink {}",
                line.gap.count, line.gap.from, line.gap.to, line.gap.sink
            )
        }
        Found::Foreign(reason) => format!("the line at byte {}, which is no letter: {reason}", line.span.start),
    }
}

/// A letter in a few words.
pub(crate) fn name(letter: &Letter) -> String {
    let mut name = format!("position {}", letter.position);
    if let Some(subject) = &letter.subject {
        name += &format!(", subject {subject}");
    }
    if let Some(id) = &letter.id {
        name += &format!(", id {id}");
    }
    name
}

/// Begins to replace the file.
pub(crate) fn open(path: &Path) -> Result<Remains, Failure> {
    Remains::open(path).map_err(|error| of_file(&error))?.ok_or_else(|| {
        let message = format!("another replay or drop is at {}; wait for its end", path.display());
        Failure::new(Code::Fenced, "dead_letter_in_use", message)
    })
}

/// A file that cannot be read or replaced.
pub(crate) fn of_file(error: &DeadLetterError) -> Failure {
    let code = if matches!(error.action, "open" | "read") { Code::NoInput } else { Code::Io };
    Failure::new(code, "dead_letter", error.to_string())
}

pub(crate) fn of_reading(path: &Path, error: io::Error) -> Failure {
    of_file(&DeadLetterError { action: "read", path: path.into(), error })
}
