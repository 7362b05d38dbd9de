//! `natsink dlq`: what is in a dead-letter file, and giving letters up.

use std::io::{self, ErrorKind, Write};

use natsink::config::LogLevel;
use natsink::io::{Found, Letter, LetterLine, Letters};
use serde::Serialize;

use super::dlq_args::{DlqCommand, DropArgs, LsArgs};
use super::dlq_file::{of_file, of_reading, open, told};
use super::dlq_replay;
use super::exit::{Code, Failure};
use super::log::{self, Escaped};

/// Does it, and gives the exit code.
pub(crate) fn run(command: &DlqCommand) -> u8 {
    let result = match command {
        DlqCommand::Ls(args) => list(args),
        DlqCommand::Replay(args) => dlq_replay::replay(args),
        DlqCommand::Drop(args) => give_up(args),
    };
    match result {
        Ok(()) => Code::Done.number(),
        Err(failure) => {
            log::say(LogLevel::Error, &failure);
            failure.code.number()
        }
    }
}

/// A line of the list, for programs.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Entry<'a> {
    Letter {
        position: u64,
        sink: Option<&'a str>,
        subject: Option<&'a str>,
        id: Option<&'a str>,
        reason: &'a str,
        attempts: u32,
        at: &'a str,
        size: Option<u64>,
    },
    Gap {
        sink: &'a str,
        from: u64,
        to: u64,
        count: u64,
        at: &'a str,
    },
    Foreign {
        offset: u64,
        size: u64,
        reason: &'a str,
    },
}

fn list(args: &LsArgs) -> Result<(), Failure> {
    let mut letters = Letters::open(&args.file).map_err(|error| of_file(&error))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut print = || -> io::Result<Result<(), Failure>> {
        let mut is_first = true;
        while let Some(line) = match letters.next_line() {
            Ok(line) => line,
            Err(error) => return Ok(Err(of_reading(&args.file, error))),
        } {
            let is_wanted = match &line.found {
                Found::Letter(letter) => args.choice.takes(letter),
                Found::Gap(_) | Found::Foreign(_) => args.choice.is_open(),
            };
            if !is_wanted {
                continue;
            }
            match args.json {
                true => writeln!(out, "{}", serde_json::to_string(&entry(&line)).expect("text and numbers are JSON"))?,
                false => {
                    if std::mem::take(&mut is_first) {
                        writeln!(out, "{}", row(["POSITION", "SIZE", "TRIES", "AT", "SUBJECT", "ID", "REASON"]))?;
                    }
                    writeln!(out, "{}", Escaped(&text(&line)))?;
                }
            }
        }
        out.flush()?;
        Ok(Ok(()))
    };
    match print() {
        Ok(result) => result,
        // A reader that has gone away, as `head` does, is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(Code::Io, "stdout", format!("cannot write the list: {error}"))),
    }
}

fn entry(line: &LetterLine) -> Entry<'_> {
    match &line.found {
        Found::Letter(letter) => Entry::Letter {
            position: letter.position,
            sink: letter.sink.as_deref(),
            subject: letter.subject.as_deref(),
            id: letter.id.as_deref(),
            reason: &letter.reason,
            attempts: letter.attempts,
            at: &letter.at,
            size: size(letter),
        },
        Found::Gap(line) => {
            let gap = &line.gap;
            Entry::Gap { sink: &gap.sink, from: gap.from, to: gap.to, count: gap.count, at: &line.at }
        }
        Found::Foreign(reason) => {
            Entry::Foreign { offset: line.span.start, size: line.span.end - line.span.start, reason }
        }
    }
}

/// The bytes that the event had.
fn size(letter: &Letter) -> Option<u64> {
    letter.length.or_else(|| letter.payload().ok().map(|payload| payload.len() as u64))
}

fn text(line: &LetterLine) -> String {
    match &line.found {
        Found::Letter(letter) => {
            let size = size(letter).map_or("-".into(), |size| size.to_string());
            let or_none = |text: &Option<String>| text.clone().unwrap_or("-".into());
            let sink = letter.sink.as_ref().map_or(String::new(), |sink| format!("{sink}: "));
            row([
                &letter.position.to_string(),
                &size,
                &letter.attempts.to_string(),
                &letter.at,
                &or_none(&letter.subject),
                &or_none(&letter.id),
                &format!("{sink}{}", letter.reason),
            ])
        }
        Found::Gap(line) => {
            let gap = &line.gap;
            let what = format!("gap: sink {} lacks {} events from here to {}", gap.sink, gap.count, gap.to);
            row([&gap.from.to_string(), "-", "-", &line.at, "-", "-", &what])
        }
        Found::Foreign(reason) => {
            let what = format!("no letter, at byte {} of the file: {reason}", line.span.start);
            row(["-", &(line.span.end - line.span.start).to_string(), "-", "-", "-", "-", &what])
        }
    }
}

fn row([position, size, tries, at, subject, id, reason]: [&str; 7]) -> String {
    format!("{position:>12} {size:>9} {tries:>5}  {at:24}  {subject:28}  {id:36}  {reason}")
}

fn give_up(args: &DropArgs) -> Result<(), Failure> {
    args.check()?;
    let mut remains = open(&args.file)?;
    let mut letters = remains.letters().map_err(|error| of_file(&error))?;
    let mut dropped = 0_u64;
    while let Some(line) = letters.next_line().map_err(|error| of_reading(&args.file, error))? {
        let is_chosen = match &line.found {
            Found::Letter(letter) => args.choice.takes(letter),
            Found::Gap(_) | Found::Foreign(_) => args.all,
        };
        if is_chosen {
            dropped += 1;
            log::say(LogLevel::Info, format_args!("dropped: {}", told(&line)));
        } else {
            remains.keep(line.span).map_err(|error| of_file(&error))?;
        }
    }
    if dropped == 0 {
        return Err(Failure::new(Code::Data, "no_letter", "no such letter: nothing was dropped"));
    }
    remains.finish().map_err(|error| of_file(&error))?;
    log::say(LogLevel::Info, format_args!("{dropped} dropped"));
    Ok(())
}
