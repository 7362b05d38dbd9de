//! The commits of a fan-out: where the policy stands, and each sink for itself.

use alloc::vec::Vec;

use super::commit::Commit;
use super::fan_out::FanOut;
use super::fingerprint::Fingerprint;
use crate::time::Instant;

/// What a checkpoint is to hold.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FanOutCommit {
    /// The offset before which the policy has every event.
    pub position: u64,
    /// How many lines are before it.
    pub lines: u64,
    /// The fingerprint of the bytes before the position, where one is kept.
    pub fingerprint: Option<Fingerprint>,
    /// Records that the policy has passed since the last commit.
    pub records: u64,
    /// Each sink's own, in their order. No fingerprints are in them.
    pub sinks: Vec<Commit>,
}

impl FanOut {
    /// The commit that is due at `now`, if one is and none is under way. Dead letters and gap records written so far must be
    /// on disk before it is written.
    pub fn poll_commit(&mut self, now: Instant) -> Option<FanOutCommit> {
        let is_due = self.members.iter().any(|member| member.pipeline.is_commit_due(now));
        if is_due { self.take_commit() } else { None }
    }

    /// The commit of all that watermarks have passed, due or not: for the end of a run.
    pub fn take_commit(&mut self) -> Option<FanOutCommit> {
        let has_moved = self.ledger.as_ref().is_some_and(|ledger| ledger.has_moved())
            || self.members.iter().any(|member| member.pipeline.has_moved());
        if self.committing || !has_moved {
            return None;
        }
        self.committing = true;
        let pipelines = self.members.iter_mut().map(|member| &mut member.pipeline);
        let sinks = pipelines.map(|pipeline| pipeline.take_commit().unwrap_or_else(|| pipeline.standing_commit()));
        let sinks: Vec<Commit> = sinks.collect();
        let records = self.ledger.as_ref().map_or(sinks[0].records, |ledger| ledger.uncommitted());
        Some(self.commit(records, sinks))
    }

    /// The commit of where the fan-out stands before anything is sent: from then on a missing checkpoint is a lost one.
    pub fn start_commit(&self) -> FanOutCommit {
        self.commit(0, self.members.iter().map(|member| member.pipeline.start_commit()).collect())
    }

    fn commit(&self, records: u64, sinks: Vec<Commit>) -> FanOutCommit {
        let (position, lines, fingerprint) = match &self.ledger {
            Some(ledger) => (ledger.position(), ledger.lines(), ledger.fingerprint()),
            None => (sinks[0].position, sinks[0].lines, sinks[0].fingerprint),
        };
        FanOutCommit { position, lines, fingerprint, records, sinks }
    }

    /// The commit is durable.
    pub fn handle_committed(&mut self, commit: &FanOutCommit) {
        self.committing = false;
        for (member, commit) in self.members.iter_mut().zip(&commit.sinks) {
            if member.pipeline.committing {
                member.pipeline.handle_committed(commit);
            }
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.handle_committed(commit.position, commit.records);
        }
    }

    /// When [`poll_commit`](Self::poll_commit) wants to be asked again, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.committing {
            return None;
        }
        self.members.iter().filter_map(|member| member.pipeline.poll_timeout()).min()
    }

    /// The policy's watermark: the offset before which it has every event.
    pub fn position(&self) -> u64 {
        self.ledger.as_ref().map_or_else(|| self.members[0].pipeline.position(), |ledger| ledger.position())
    }

    /// How many lines are before the policy's watermark.
    pub fn lines(&self) -> u64 {
        self.ledger.as_ref().map_or_else(|| self.members[0].pipeline.lines(), |ledger| ledger.lines())
    }

    /// The policy's offset that was committed last.
    pub fn committed_position(&self) -> u64 {
        match &self.ledger {
            Some(ledger) => ledger.committed_position(),
            None => self.members[0].pipeline.committed_position(),
        }
    }
}
