//! What a publisher has to tell besides outcomes: what happened, and how often.

use core::time::Duration;

use super::{Anomaly, Outcome};

/// What happened that a person would want to know.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// The stream was looked at and is as it should be.
    Verified,
    /// The ids that the stream holds were read back.
    Recalled {
        /// The last sequence of what was read.
        until: u64,
        /// Unsettled messages that were found to be stored, and later ones that can still be.
        found: usize,
    },
    /// The ids that the stream holds could not be read back any further; that goes on after a pause, and nothing is written
    /// before it has come to its end.
    RecallPaused {
        /// Why.
        anomaly: Anomaly,
        /// For how long.
        pause: Duration,
    },
    /// Writing stopped for a while; what is unsettled will be written again.
    Paused {
        /// Why.
        anomaly: Anomaly,
        /// For how long.
        pause: Duration,
    },
}

/// What a publisher has counted since it began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct PublisherStatistics {
    /// Messages taken.
    pub submitted: u64,
    /// Outcomes `Stored`.
    pub stored: u64,
    /// Outcomes `Duplicate`.
    pub duplicates: u64,
    /// Outcomes `Rejected`.
    pub rejected: u64,
    /// Writings of messages that had been written before.
    pub replayed: u64,
    /// Messages whose sequence lies below that of one submitted before them.
    pub inversions: u64,
    /// Passes that ended with an anomaly.
    pub anomalies: u64,
    /// Answers that could not be read.
    pub garbled: u64,
}

impl PublisherStatistics {
    pub(crate) fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Stored { .. } => self.stored += 1,
            Outcome::Duplicate { .. } => self.duplicates += 1,
            Outcome::Rejected(_) => self.rejected += 1,
            Outcome::Unknown => {}
        }
    }
}
