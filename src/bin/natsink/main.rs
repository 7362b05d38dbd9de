//! The command `natsink`: from words to a plan, from a plan to a run, from its outcome to an exit code.

mod args;
mod check;
mod checkpoint;
mod checkpoint_args;
mod checkpoint_set;
mod checkpoint_text;
mod connections;
mod dlq;
mod dlq_args;
mod dlq_file;
mod dlq_mark;
mod dlq_replay;
mod exit;
mod feed;
mod feed_end;
mod feed_look;
mod fresh_search;
mod fresh_start;
mod generate;
mod history;
mod http;
mod http_page;
mod lane;
mod log;
mod metrics;
mod notify;
mod obstacles;
mod opening;
mod outlet;
mod outlet_core;
mod places;
mod progress;
mod ready;
mod receipt;
mod run;
mod run_args;
mod sent;
mod signals;
mod status;
mod status_json;
mod store;
mod stream_sink;
mod verdict;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use args::Command;
use exit::{Code, Failure, Finish};
use natsink::config::{self, Document, Flags, LogLevel};
use receipt::Receipt;
use run_args::RunArgs;

/// The kind of failure that a receipt cannot be written.
const UNWRITABLE: &str = "receipt";

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        // Where, and not what: the message of a panic may quote data.
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        log::say(
            LogLevel::Error,
            format_args!("a fault in natsink itself{place}; what the checkpoint says still holds"),
        );
    }));
    let command = match args::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(instead) => {
            // A reader that has gone away, as `head` does, is no failure.
            let _ = instead.print();
            if !instead.use_stderr() {
                return Code::Done.number().into();
            }
            if let Some(path) = args::receipt(std::env::args_os()) {
                leave_receipt_of(&instead, &path);
            }
            return Code::Usage.number().into();
        }
    };
    match command {
        Command::Version => {
            generate::print((args::version() + "\n").as_bytes());
            ExitCode::SUCCESS
        }
        Command::Completions { shell } => {
            generate::print(&generate::completions(args::grammar(), shell));
            ExitCode::SUCCESS
        }
        Command::Man { words } => match generate::man(args::grammar(), &words) {
            Ok(page) => {
                generate::print(&page);
                ExitCode::SUCCESS
            }
            Err(failure) => {
                log::say(LogLevel::Error, &failure);
                failure.code.number().into()
            }
        },
        Command::Dlq(command) => dlq::run(&command).into(),
        Command::Run(args) => run_with_receipt(&args).into(),
        Command::Check(args) => check::check(&args).into(),
        Command::Checkpoint(command) => checkpoint::run(&command).into(),
    }
}

/// Runs, and gives an account of it on stderr and in the receipt's file, also of a run that failed before it began.
fn run_with_receipt(args: &RunArgs) -> u8 {
    let flags = args.flags();
    let mut receipt = Receipt::default();
    let result = planned_run(args, &flags, &mut receipt);
    receipt.close(&result);
    let mut code = match &result {
        Ok(_) => Code::Done,
        Err(failure) => failure.code,
    };
    // A run that ends before it has read anything has only its reason to tell.
    if !flags.quiet && (receipt.read > 0 || result.is_ok()) {
        log::say(LogLevel::Info, &receipt);
    }
    if let Err(failure) = &result {
        let (kind, code) = (failure.kind.into(), failure.code.number().into());
        log::say_with(LogLevel::Error, failure, [("kind", kind), ("code", code)]);
    }
    // What was told at the beginning need not be told again.
    let is_told = result.as_ref().is_err_and(|failure| failure.kind == UNWRITABLE);
    if let Some(path) = flags.receipt.as_ref().filter(|_| !is_told)
        && let Err(error) = receipt.write(path)
    {
        log::say(LogLevel::Error, unwritable(path, &error));
        if code == Code::Done {
            code = Code::Io;
        }
    }
    code.number()
}

/// The receipt of a run whose words cannot be read.
fn leave_receipt_of(mistake: &clap::Error, path: &Path) {
    let told = mistake.to_string();
    let told = told.lines().next().unwrap_or_default();
    let message = told.strip_prefix("error: ").unwrap_or(told);
    let mut receipt = Receipt::default();
    receipt.close(&Err(Failure::new(Code::Usage, "usage", message)));
    if let Err(error) = receipt.write(path) {
        log::say(LogLevel::Error, unwritable(path, &error));
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Io, UNWRITABLE, format!("cannot write the receipt {}: {error}", path.display()))
}

fn planned_run(args: &RunArgs, flags: &Flags, receipt: &mut Receipt) -> Result<Finish, Failure> {
    log::init(config::log(flags)?);
    let document = args.config.as_deref().map(Document::open).transpose()?;
    let plan = config::check(document.as_ref(), flags, &|name| std::env::var_os(name))?;
    if let Some(path) = &plan.receipt {
        Receipt::check_place(path).map_err(|error| unwritable(path, &error))?;
    }
    run::run(&plan, receipt)
}
