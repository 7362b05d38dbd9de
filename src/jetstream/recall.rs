//! The reading back of ids that a stream holds, through a consumer of its own: what resumes without trust in the
//! duplicate window.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::PublisherOptions;
use super::delivered::Delivered;
use super::id_set::{Digest, IdSet};
use super::read_back::ReadBack;
use crate::connection::{Backoff, Outbox};
use crate::proto::{Subject, encode};
use crate::time::Instant;

/// Messages asked for at a time. Twice as many headers, 64 KiB each at most, are less than a server holds for a client.
const BATCH: u64 = 400;
/// How long the server waits with an unfinished batch before it says so.
const EXPIRES: Duration = Duration::from_secs(1);
/// How long a consumer lives on that nobody asks.
const INACTIVE: Duration = Duration::from_secs(10);
/// How long an answer is waited for; each time in a row twice as long.
const ANSWER_PATIENCE: Duration = Duration::from_millis(500);
/// Ids that are held at once, or so many windows of them: with more after them, reading goes on when some of these were
/// submitted.
const IDS_MAX: usize = 1 << 17;
const WINDOWS_MAX: usize = 16;
/// Batches in a row that brought nothing although the leader has more: then another consumer, perhaps of another replica,
/// is made.
const LAGGING_MAX: u32 = 5;

/// Attempts in a row after which no consumer of our own can be left: their pauses are longer than one lives on.
const HAUNTED_MAX: u32 = 8;

/// Reads the ids after a sequence, up to the end of the stream as its leader told it.
///
/// It holds no message back by itself: whoever owns it writes nothing while it [is not clear](Self::is_clear).
#[derive(Debug)]
pub(crate) struct Recall {
    stream: String,
    api_prefix: String,
    /// The beginning of the names of its consumers.
    name_root: String,
    /// Ids of our own begin with this.
    prefix: String,
    /// Which ids are kept: these; `None` is all of our own.
    wanted: Option<Vec<Digest>>,
    ids: IdSet,
    /// How many are held at once.
    ids_max: usize,
    /// Everything up to here was read.
    seen: u64,
    /// What the leader said is the end.
    until: u64,
    standing: Standing,
    /// Consumers made.
    made: u32,
    /// The one that is to be removed.
    spent: Option<u32>,
    /// Messages the present consumer has brought.
    brought: u64,
    /// Messages asked for and not brought.
    owed: u64,
    /// How many are asked for at a time.
    batch: u64,
    lagging: u32,
    /// Attempts in a row that led nowhere.
    fruitless: u32,
    backoff: Backoff,
    patience_max: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    /// Everything that had to be read was.
    Clear,
    /// To begin once the stream is looked at.
    Wanted,
    /// To begin anew at this moment.
    Paused {
        until: Instant,
    },
    /// To be written once the outbox has room.
    Due(Step),
    Asked {
        step: Step,
        deadline: Instant,
    },
    /// As many ids are held as may be.
    Full,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// Make a consumer.
    Create,
    /// Ask it for messages.
    Pull,
    /// Ask the leader whether it has any message after the last one seen.
    Look,
}

/// What an answer came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// Nothing to do for anybody else.
    None,
    /// All is read, or as much as may be held.
    Read,
    /// The consumer is lost, or an answer: it begins anew after this pause.
    Lost(Duration),
}

impl Recall {
    /// What these options want to be read back, by consumers whose names begin with `name_root`.
    pub(crate) fn new(options: &PublisherOptions, name_root: String) -> Self {
        let after = options.recall_after.filter(|_| options.stream.is_some());
        Self {
            stream: options.stream.as_deref().unwrap_or_default().into(),
            api_prefix: options.api_prefix.as_str().into(),
            name_root,
            prefix: options.recall_prefix.as_str().into(),
            wanted: None,
            ids: IdSet::default(),
            ids_max: IDS_MAX.max(options.in_flight_max.saturating_mul(WINDOWS_MAX)),
            seen: after.unwrap_or(0),
            until: 0,
            standing: if after.is_some() { Standing::Wanted } else { Standing::Clear },
            made: 0,
            spent: None,
            brought: 0,
            owed: 0,
            batch: BATCH,
            lagging: 0,
            fruitless: 0,
            backoff: options.backoff,
            patience_max: options.batch_timeout,
        }
    }

    // Commands.

    /// Those ids are to be read that stand after this sequence, once the stream is looked at again.
    pub(crate) fn want(&mut self, after: u64, mut wanted: Vec<Digest>) {
        wanted.sort_unstable();
        self.wanted = Some(wanted);
        self.seen = after;
        self.standing = Standing::Wanted;
    }

    /// The stream was looked at, and ends at `last_seq`. Whether there is nothing to read.
    pub(crate) fn begin(&mut self, last_seq: u64) -> bool {
        if self.standing != Standing::Wanted {
            return false;
        }
        self.until = last_seq;
        self.standing = Standing::Due(Step::Create);
        self.seen >= last_seq
    }

    /// The link is gone, and with it what was asked. What was read stays read.
    pub(crate) fn link_lost(&mut self) {
        self.spent = None;
        if self.standing != Standing::Clear {
            self.standing = Standing::Wanted;
        }
    }

    /// Nothing more is to be read.
    pub(crate) fn finish(&mut self) {
        self.leave_consumer();
        self.wanted = None;
        self.fruitless = 0;
        self.standing = Standing::Clear;
    }

    /// No more ids may be held.
    pub(crate) fn hold(&mut self) {
        self.leave_consumer();
        self.standing = Standing::Full;
    }

    /// There is room for ids again.
    pub(crate) fn resume(&mut self) {
        self.standing = Standing::Due(Step::Create);
    }

    /// Begins anew behind what was read, after a pause.
    pub(crate) fn start_anew(&mut self, now: Instant) -> Duration {
        self.leave_consumer();
        self.fruitless = self.fruitless.saturating_add(1);
        let pause = self.backoff.pause(self.fruitless);
        self.standing = Standing::Paused { until: now + pause };
        pause
    }

    /// The stream has to be looked at first.
    pub(crate) fn want_again(&mut self) {
        self.leave_consumer();
        self.standing = Standing::Wanted;
    }

    /// The sequence of this id, which is then forgotten.
    pub(crate) fn take(&mut self, id: &[u8]) -> Option<u64> {
        self.ids.take(id)
    }

    /// Forgets all ids.
    pub(crate) fn forget(&mut self) {
        self.ids.clear();
    }

    /// Writes what is to be asked.
    pub(crate) fn pump(&mut self, reply_root: &str, outbox: &mut Outbox, now: Instant) {
        if let Some(number) = self.spent.filter(|_| outbox.has_room()) {
            self.spent = None;
            write(
                outbox,
                &format!("{}.CONSUMER.DELETE.{}.{}", self.api_prefix, self.stream, self.name(number)),
                None,
                "",
            );
        }
        let Standing::Due(step) = self.standing else { return };
        if !outbox.has_room() {
            return;
        }
        let patience = ANSWER_PATIENCE.saturating_mul(1 << self.fruitless.min(16)).min(self.patience_max);
        let (subject, question, tag, patience) = match step {
            Step::Create => {
                self.made += 1;
                (self.brought, self.owed, self.lagging) = (0, 0, 0);
                (self.subject(step), self.config(), 'C', patience)
            }
            Step::Pull => {
                self.owed += self.batch;
                let question = format!("{{\"batch\":{},\"expires\":{}}}", self.batch, EXPIRES.as_nanos());
                (self.subject(step), question, 'R', EXPIRES + patience)
            }
            Step::Look => {
                let question = format!("{{\"seq\":{},\"next_by_subj\":\">\"}}", self.seen.saturating_add(1));
                (self.subject(step), question, 'N', patience)
            }
        };
        write(outbox, &subject, Some(&format!("{reply_root}{}", self.tail(tag))), &question);
        self.standing = Standing::Asked { step, deadline: now + patience };
    }

    // Facts.

    /// The consumer is there, or not: `pending` is what it has. `batch_max`: how many it may be asked for at a time.
    pub(crate) fn handle_created(&mut self, pending: Option<u64>, batch_max: Option<u64>) {
        self.batch = batch_max.filter(|max| *max > 0).unwrap_or(BATCH).min(BATCH);
        self.standing = Standing::Due(if pending == Some(0) { Step::Look } else { Step::Pull });
    }

    /// A message of our consumer. `None` for one that is not expected.
    pub(crate) fn handle_delivered(
        &mut self,
        delivered: Delivered<'_>,
        id: Option<&[u8]>,
        now: Instant,
    ) -> Option<Progress> {
        let is_ours = delivered.stream == self.stream.as_bytes()
            && delivered.consumer == self.name(self.made).as_bytes()
            && matches!(self.standing, Standing::Due(_) | Standing::Asked { .. })
            && delivered.number > self.brought;
        if !is_ours {
            return None;
        }
        if delivered.number != self.brought + 1 || delivered.seq <= self.seen {
            // One has been lost on the way, or this is no consumer.
            return Some(Progress::Lost(self.start_anew(now)));
        }
        self.brought = delivered.number;
        self.owed = self.owed.saturating_sub(1);
        self.seen = delivered.seq;
        (self.fruitless, self.lagging) = (0, 0);
        if let Some(id) = id.filter(|id| !id.is_empty() && id.starts_with(self.prefix.as_bytes())) {
            let digest = Digest::of(id);
            if self.wanted.as_ref().is_none_or(|wanted| wanted.binary_search(&digest).is_ok()) {
                self.ids.insert(digest, delivered.seq);
            }
        }
        if self.seen >= self.until || (self.wanted.is_none() && !self.has_room()) {
            return Some(Progress::Read);
        }
        if let Standing::Asked { step, .. } = self.standing {
            self.standing = match step {
                Step::Pull if delivered.pending == 0 => Standing::Due(Step::Look),
                Step::Pull if self.owed <= self.batch / 2 => Standing::Due(Step::Pull),
                step => Standing::Asked { step, deadline: now + EXPIRES + ANSWER_PATIENCE },
            };
        }
        Some(Progress::None)
    }

    /// The server has said something about a batch; `status` as of HTTP.
    pub(crate) fn handle_status(&mut self, status: u16, now: Instant) -> Progress {
        match status {
            // Waited for long enough, or none there: the leader knows whether there should be.
            404 | 408 => {
                self.owed = 0;
                if matches!(self.standing, Standing::Asked { step: Step::Pull, .. } | Standing::Due(Step::Pull)) {
                    self.standing = Standing::Due(Step::Look);
                }
            }
            // A sign of life.
            100 => {}
            // The consumer is gone, or nobody leads it.
            _ => return Progress::Lost(self.start_anew(now)),
        }
        Progress::None
    }

    /// The leader's next message after those seen, if there is one.
    pub(crate) fn handle_look(&mut self, next: Option<u64>, now: Instant) -> Progress {
        if next.is_none_or(|next| next > self.until) {
            self.seen = self.until;
            return Progress::Read;
        }
        self.lagging += 1;
        if self.lagging > LAGGING_MAX {
            return Progress::Lost(self.start_anew(now));
        } else if self.owed == 0 {
            self.standing = Standing::Due(Step::Pull);
        } else {
            self.standing = Standing::Asked { step: Step::Pull, deadline: now + EXPIRES + ANSWER_PATIENCE };
        }
        Progress::None
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Progress {
        match self.standing {
            Standing::Paused { until } if until <= now => self.standing = Standing::Due(Step::Create),
            Standing::Asked { deadline, .. } if deadline <= now => return Progress::Lost(self.start_anew(now)),
            _ => {}
        }
        Progress::None
    }

    // Wishes and getters.

    pub(crate) fn timeout(&self) -> Option<Instant> {
        match self.standing {
            Standing::Paused { until } => Some(until),
            Standing::Asked { deadline, .. } => Some(deadline),
            Standing::Clear | Standing::Wanted | Standing::Due(_) | Standing::Full => None,
        }
    }

    /// Whether nothing stands between the messages and the link.
    pub(crate) fn is_clear(&self) -> bool {
        self.standing == Standing::Clear
    }

    /// Whether there is anything to write.
    pub(crate) fn is_due(&self) -> bool {
        self.spent.is_some() || matches!(self.standing, Standing::Due(_))
    }

    /// Whether it can hold no more ids.
    pub(crate) fn is_full(&self) -> bool {
        self.standing == Standing::Full
    }

    /// Whether an answer is awaited.
    pub(crate) fn is_asked(&self) -> bool {
        matches!(self.standing, Standing::Asked { .. })
    }

    /// Whether this is the end of the reply subject of the question that is open.
    pub(crate) fn is_answer(&self, tail: &[u8]) -> bool {
        let step = match tail.first() {
            Some(b'C') => Step::Create,
            Some(b'N') => Step::Look,
            _ => {
                let is_open = matches!(self.standing, Standing::Due(_) | Standing::Asked { .. });
                return is_open && tail == self.tail('R').as_bytes();
            }
        };
        matches!(self.standing, Standing::Asked { step: asked, .. } if asked == step)
            && tail == self.tail(char::from(tail[0])).as_bytes()
    }

    /// Everything up to here was read.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    pub(crate) fn until(&self) -> u64 {
        self.until
    }

    /// Ids held.
    pub(crate) fn ids_held(&self) -> usize {
        self.ids.len()
    }

    /// Whether a consumer of our own that was lost may still be there: then there is no room for another in some streams.
    pub(crate) fn is_haunted(&self) -> bool {
        self.fruitless < HAUNTED_MAX
    }

    /// Whether more may be held.
    pub(crate) fn has_room(&self) -> bool {
        self.ids.len() < self.ids_max
    }

    /// Whether half as many may be held again.
    pub(crate) fn is_half_free(&self) -> bool {
        self.ids.len() <= self.ids_max / 2
    }

    pub(crate) fn has_ids(&self) -> bool {
        !self.ids.is_empty()
    }

    /// Whether this is a question of ours that a user may not be allowed to ask: the subject to allow, then.
    pub(crate) fn denied(&self, subject: &str) -> Option<String> {
        let Standing::Asked { step, .. } = self.standing else { return None };
        if self.subject(step) != subject {
            return None;
        }
        let Self { api_prefix, stream, .. } = self;
        Some(match step {
            Step::Create => format!("{api_prefix}.CONSUMER.CREATE.{stream}.*"),
            Step::Pull => format!("{api_prefix}.CONSUMER.MSG.NEXT.{stream}.*"),
            Step::Look => subject.into(),
        })
    }

    // Inside.

    fn leave_consumer(&mut self) {
        if self.made > 0
            && !matches!(self.standing, Standing::Clear | Standing::Wanted | Standing::Paused { .. } | Standing::Full)
        {
            self.spent = Some(self.made);
        }
    }

    fn name(&self, number: u32) -> String {
        format!("{}{number}", self.name_root)
    }

    fn tail(&self, tag: char) -> String {
        format!("{tag}{:08}", self.made)
    }

    fn subject(&self, step: Step) -> String {
        let Self { api_prefix, stream, made, .. } = self;
        let name = self.name(*made);
        match step {
            Step::Create => format!("{api_prefix}.CONSUMER.CREATE.{stream}.{name}"),
            Step::Pull => format!("{api_prefix}.CONSUMER.MSG.NEXT.{stream}.{name}"),
            Step::Look => ReadBack::subject(api_prefix, stream),
        }
    }

    fn config(&self) -> String {
        format!(
            concat!(
                r#"{{"stream_name":"{stream}","action":"create","config":{{"name":"{name}","#,
                r#""deliver_policy":"by_start_sequence","opt_start_seq":{start},"ack_policy":"none","#,
                r#""headers_only":true,"mem_storage":true,"num_replicas":1,"inactive_threshold":{inactive}}}}}"#,
            ),
            stream = self.stream,
            name = self.name(self.made),
            start = self.seen.saturating_add(1),
            inactive = INACTIVE.as_nanos(),
        )
    }
}

fn write(outbox: &mut Outbox, subject: &str, reply: Option<&str>, question: &str) {
    let (Ok(subject), Ok(reply)) = (Subject::new(subject), reply.map(Subject::new).transpose()) else { return };
    outbox.write(|out| encode::publish(out, subject, reply, None, question.as_bytes()));
}
