//! The commits of a pipeline: when its watermark has gone far enough to be written down, and what is written.

use super::fingerprint::Fingerprint;
use super::pipeline::Pipeline;
use super::watermark::Later;
use crate::time::Instant;

/// What a checkpoint is to hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Commit {
    /// The offset at which the next run starts.
    pub position: u64,
    /// How many lines are before it.
    pub lines: u64,
    /// The sequence after which the stream can hold events from there on.
    pub read_from: u64,
    /// What is known of events further on, where that is more.
    pub later: Option<Later>,
    /// The fingerprint of the bytes before the position, where one is kept.
    pub fingerprint: Option<Fingerprint>,
    /// Records since the last commit.
    pub records: u64,
}

impl Pipeline {
    /// The commit that is due at `now`, if one is and none is under way. Dead letters written so far must be on disk
    /// before it is written.
    pub fn poll_commit(&mut self, now: Instant) -> Option<Commit> {
        if self.is_commit_due(now) { self.take_commit() } else { None }
    }

    /// Whether a commit is due at `now`.
    pub(super) fn is_commit_due(&self, now: Instant) -> bool {
        let records = self.watermark.records - self.committed.records;
        let bytes = self.watermark.position - self.committed.position;
        let is_full = records >= self.options.batch_events_max || bytes >= self.options.batch_bytes_max;
        is_full || self.poll_timeout().is_some_and(|due| now >= due)
    }

    /// The commit of all that the watermark has passed, due or not: for the end of a run. It may say no more than a better
    /// sequence to read back from.
    pub fn take_commit(&mut self) -> Option<Commit> {
        if self.committing || !self.has_moved() {
            return None;
        }
        self.committing = true;
        self.ahead_since = None;
        self.replay.handle_written();
        Some(self.standing_commit())
    }

    /// Whether the watermark has moved since the last commit, or the sequence to read back from has without it.
    pub(super) const fn has_moved(&self) -> bool {
        self.watermark.position != self.committed.position || self.replay.has_news()
    }

    /// The commit of where the watermark stands.
    pub(super) fn standing_commit(&self) -> Commit {
        // Whatever is pending was sent after the least of these, and what is not sent yet will be.
        let sent = self.ring.iter().filter_map(|entry| entry.read_from).min();
        let first = self.ring.first_tag();
        let unsent = self.read_from(self.next_to_send.max(first));
        Commit {
            position: self.watermark.position,
            lines: self.watermark.lines,
            read_from: sent.map_or(unsent, |sent| sent.min(unsent)),
            later: self.replay.later(first),
            fingerprint: self.watermark.fingerprint,
            records: self.watermark.records - self.committed.records,
        }
    }

    /// The commit of where the pipeline stands before anything is sent: from then on a missing checkpoint is a lost one.
    pub fn start_commit(&self) -> Commit {
        Commit { records: 0, ..self.standing_commit() }
    }

    /// The commit is durable.
    pub fn handle_committed(&mut self, commit: &Commit) {
        assert!(commit.position <= self.watermark.position, "nothing is committed past the watermark");
        self.committing = false;
        self.committed.position = commit.position;
        self.committed.records += commit.records;
        self.counts.batches += u64::from(commit.records > 0);
    }

    /// When [`poll_commit`](Self::poll_commit) wants to be asked again, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let since = self.ahead_since.filter(|_| !self.committing)?;
        Some(since + self.options.batch_age_max)
    }
}
