//! Where the messages of a sink go: into a stream, to a server without one, or into lines.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use natsink::Publisher;
use natsink::io::LineOutput;
use natsink::jetstream::{Message, Outcome, SubmitError};

use super::outlet_core::CoreOutlet;
use super::sent::Sent;

/// Where the messages of a sink go.
pub(crate) enum Outlet {
    /// Into a stream, which answers each.
    Stream(Publisher),
    /// To a server, which answers nothing.
    Core(Box<CoreOutlet>),
    /// To standard output or a file.
    Lines(LineOutput),
}

impl Outlet {
    /// Hands a message over, without waiting.
    pub(crate) fn try_send(&mut self, tag: u64, message: &Message<'_>) -> Sent {
        match self {
            Self::Stream(publisher) => match publisher.try_send(tag, message) {
                Ok(()) => Sent::Taken,
                Err(SubmitError::Full) => Sent::Full,
                Err(SubmitError::Rejected(rejection)) => Sent::Rejected(rejection),
                Err(_) => Sent::Over,
            },
            Self::Core(core) => core.try_send(tag, message),
            Self::Lines(lines) => match lines.try_write(tag, message.payload()) {
                true => Sent::Taken,
                false => Sent::Full,
            },
        }
    }

    /// Waits until there are answers, room, or a failure. Answers of a stream are moved into `outcomes`. Dropped or asked
    /// again, nothing is lost.
    pub(crate) fn poll_progress(&mut self, outcomes: &mut Vec<(u64, Outcome)>, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Stream(publisher) => pin!(publisher.outcomes(outcomes)).poll(cx).map(drop),
            Self::Core(core) => core.poll_progress(cx),
            Self::Lines(lines) => lines.poll_progress(cx),
        }
    }
}
