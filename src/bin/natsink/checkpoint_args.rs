//! The command line of `natsink checkpoint`, as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::run_args::RunArgs;

/// What to do with a checkpoint.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    /// Print what a checkpoint says
    Show(ShowArgs),
    /// Make or move a checkpoint, so that the next run starts at a position
    #[command(after_help = SET_EXAMPLE)]
    Set(Box<SetArgs>),
    /// Let a checkpoint know the stream as it is now: created anew, or restored to an earlier state
    #[command(after_help = ACCEPT_EXAMPLE)]
    Accept(Box<AcceptArgs>),
}

/// The arguments of `natsink checkpoint show`.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The checkpoint
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `natsink checkpoint set`.
#[derive(Args, Debug)]
pub(crate) struct SetArgs {
    /// The checkpoint
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where the next run starts: how many bytes of the input are before that, up to the begin of a line
    #[arg(long, value_name = "BYTES")]
    pub(crate) position: u64,
    /// Sequence of the stream after which it can hold what comes from there on [default: looked up]
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) read_from: Option<u64>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// The arguments of `natsink checkpoint accept`.
#[derive(Args, Debug)]
pub(crate) struct AcceptArgs {
    /// The checkpoint
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

const SET_EXAMPLE: &str = "\
Example: natsink checkpoint set orders.checkpoint --position 0 -c orders.yaml

Takes all the arguments of run and sends no event. The server tells from where in the stream the next run reads back what is \
there already. A pipe is read up to the position: natsink checkpoint set FILE --position BYTES --input-id NAME ... < INPUT";

const ACCEPT_EXAMPLE: &str = "\
Example: natsink checkpoint accept orders.checkpoint -c orders.yaml

Takes all the arguments of run and sends no event. The position stays: what is before it is not sent again, whether the \
stream has it or not. To send it all to the new stream, run with --from-start instead.";
