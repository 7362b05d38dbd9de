//! `natsink check`: what a run with the same arguments would trip over, found without sending or changing anything.

mod files;
mod permission;
mod report;
mod server;
mod stream;

use std::ops::Range;

use natsink::config::{self, Document, LogLevel, Plan, Target};
use natsink::sink::CommitPolicy;

use super::args::CheckArgs;
use super::exit::{Code, Failure};
use super::{log, opening};
use report::Report;

/// Checks, tells on stdout, and gives the exit code: that of the first error, which is the one a run would end with.
pub(crate) fn check(args: &CheckArgs) -> u8 {
    let mut report = Report::default();
    if let Err(failure) = look(args, &mut report) {
        report.error("configuration", &failure);
    }
    report.print(args.json, args.run.flags().quiet);
    report.code().number()
}

fn look(args: &CheckArgs, report: &mut Report) -> Result<(), Failure> {
    let flags = args.run.flags();
    let mut log = config::log(&flags)?;
    if flags.log.is_none() {
        // What the connection would warn of is among the findings.
        log.level = LogLevel::Error;
    }
    log::init(log);
    let document = args.run.config.as_deref().map(Document::open).transpose()?;
    let plan = config::check(document.as_ref(), &flags, &|name| std::env::var_os(name))?;
    let count = plan.sinks.len();
    let sinks = if count == 1 { "one sink".into() } else { format!("{count} sinks") };
    report.ok("configuration", format!("pipeline {}, {sinks}", plan.pipeline));
    let found = files::check(&plan, report);
    if let Some(addr) = plan.http {
        files::http(addr, report);
    }
    let usable: Vec<bool> = plan.sinks.iter().map(|sink| secrets(&sink.id, &sink.to, report)).collect();
    if args.offline {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Io, "runtime", format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let mut ranges = Vec::new();
        for (sink, is_usable) in plan.sinks.iter().zip(usable) {
            let begin = report.len();
            if let (Target::Nats(nats), true) = (&sink.to, is_usable) {
                server::check(&plan, &sink.id, nats, &found, report).await;
            }
            ranges.push(begin..report.len());
        }
        spare(&plan, &ranges, report);
    });
    Ok(())
}

/// Makes warnings of what servers refuse to sinks that the commit policy does not wait for. `ranges` are the findings of
/// each sink.
fn spare(plan: &Plan, ranges: &[Range<usize>], report: &mut Report) {
    let well = ranges.iter().filter(|range| !report.has_errors((*range).clone())).count();
    for (sink, range) in plan.sinks.iter().zip(ranges) {
        let is_spared = match plan.commit_policy {
            CommitPolicy::Required => !sink.required,
            CommitPolicy::All => false,
            CommitPolicy::Quorum(count) => well >= count.get(),
        };
        if is_spared {
            report.spare(range.clone());
        }
    }
}

/// Whether the files of TLS and credentials of a sink will do.
fn secrets(id: &str, to: &Target, report: &mut Report) -> bool {
    let Target::Nats(nats) = to else { return true };
    match opening::check_secrets(nats) {
        Ok(()) => true,
        Err(failure) => {
            report.error(about(id, "credentials and TLS"), &failure);
            false
        }
    }
}

/// What a finding of a sink is about.
fn about(id: &str, what: &str) -> String {
    format!("sink {id}: {what}")
}
