//! The commit policy: which sinks must have an event before the checkpoint may pass it.

use core::num::NonZeroUsize;

/// When an event counts as delivered, where there are several sinks.
///
/// ```
/// use natsink::sink::CommitPolicy;
///
/// assert_eq!(CommitPolicy::default(), CommitPolicy::Required);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CommitPolicy {
    /// When every sink that is required has it. There is at least one such sink.
    #[default]
    Required,
    /// When every sink has it, required or not.
    All,
    /// When at least so many sinks have it, whichever they are. Never more than there are.
    Quorum(NonZeroUsize),
}
