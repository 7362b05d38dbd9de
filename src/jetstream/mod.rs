//! Publishes that outlive links: messages, outcomes, the window between them.

mod message;
mod outcome;

pub use message::{Message, Payload};
pub use outcome::{Outcome, Rejection};
