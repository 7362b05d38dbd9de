//! The world in a box: a model server stricter than the real one, virtual time, and the checks that must hold.
//!
//! For tests and fuzzing of this crate; not part of its public promise.

pub mod checks;
mod choices;
mod consumer;
mod consuming;
mod draft;
mod driving;
mod fault;
pub mod hostile;
mod link;
mod peer;
pub mod properties;
pub mod scenes;
mod server;
mod stream;
pub mod swarm;
mod verdict;
mod violation;
mod wire;
mod world;

pub use choices::Choices;
pub use draft::{Draft, Sent};
pub use fault::{Cut, Direction, Fault};
pub use server::{ConnectionId, Counts, Server};
pub use stream::{Offer, Refusal, Stored, Stream};
pub use verdict::{Arrival, Late, Script, Verdict};
pub use violation::Violation;
pub use wire::Pace;
pub use world::{Peaks, World};
