//! The look at the stream that precedes every publish on a link: is it there, is it the same, does it capture us?

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::stream_info::InfoAnswer;
use super::{PublisherOptions, Rejection, StreamInfo, StreamProblem};
use crate::connection::{Backoff, Outbox};
use crate::proto::{Pattern, Subject, encode};
use crate::time::Instant;

/// Times nobody answered at the start before JetStream is taken for missing.
const UNANSWERED_AT_START_MAX: u32 = 3;
/// How long an answer is waited for before the question is put again; each time twice as long, up to the send timeout.
/// A question to a server that is just going down, or to a leader that was just lost, is never answered.
const ANSWER_PATIENCE: Duration = Duration::from_millis(500);
/// Times a replicated stream is asked again when it seems to end too early: a new leader may lag.
const LAGGING_MAX: u32 = 5;

/// After this time a stream that does not take a message is looked at again: somebody may have changed it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct StreamCheck {
    stream: Option<String>,
    subject: String,
    subjects: Vec<Pattern>,
    created: Option<String>,
    info: Option<StreamInfo>,
    /// The last sequence when it was first looked at.
    began_after: Option<u64>,
    last_captured: String,
    /// When the stream was last found as it should be.
    verified_at: Instant,
    standing: Standing,
    /// The number of the last question; answers to earlier ones are stale. One asked again keeps its number.
    asked: u64,
    /// How often the last question was put.
    times_put: u32,
    /// The highest sequence acknowledged to us when the last question was asked: an ack may overtake the answer.
    acked_when_asked: u64,
    /// Questions in a row that led nowhere.
    fruitless: u32,
    lagging: u32,
    backoff: Backoff,
    answer_timeout: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    /// No link.
    Down,
    /// The question is to be asked at this moment.
    Due { at: Instant },
    /// It is time to ask, and the outbox has no room. No timer: room is made by what the socket takes.
    Waiting,
    /// The question is asked.
    Asked { deadline: Instant },
    /// The stream is as it should be.
    Verified,
}

impl StreamCheck {
    pub(crate) fn new(options: &PublisherOptions) -> Self {
        Self {
            stream: options.stream.clone(),
            subject: match &options.stream {
                Some(stream) => format!("{}.STREAM.INFO.{stream}", options.api_prefix),
                None => String::new(),
            },
            subjects: options.subjects.clone(),
            created: options.created.clone(),
            info: None,
            began_after: None,
            last_captured: String::new(),
            verified_at: Instant::ZERO,
            standing: Standing::Down,
            asked: 0,
            times_put: 0,
            acked_when_asked: 0,
            fruitless: 0,
            lagging: 0,
            backoff: options.backoff,
            answer_timeout: options.send_timeout,
        }
    }

    pub(crate) fn info(&self) -> Option<&StreamInfo> {
        self.info.as_ref()
    }

    /// The last sequence of the stream when it was first looked at.
    pub(crate) fn began_after(&self) -> Option<u64> {
        self.began_after
    }

    /// Whether the stream gives messages other subjects.
    pub(crate) fn transforms(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.transforms)
    }

    /// What headers and payload together may be, bytes, when the server takes `max_payload`.
    pub(crate) fn size_max(&self, max_payload: usize) -> usize {
        self.info.as_ref().and_then(|info| info.max_msg_size).unwrap_or(usize::MAX).min(max_payload)
    }

    /// Whether the stream captures the subject; before it was looked at, any. The last subject that it did is remembered:
    /// the next is often the same.
    pub(crate) fn check_captured(&mut self, subject: &str) -> Result<(), Rejection> {
        let Some(info) = &self.info else { return Ok(()) };
        if self.last_captured != subject {
            if !info.captures(subject) {
                return Err(Rejection::NotCaptured { subject: subject.into(), stream: info.name.clone() });
            }
            self.last_captured.clear();
            self.last_captured.push_str(subject);
        }
        Ok(())
    }

    /// The subject of the question.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.standing == Standing::Verified
    }

    /// Whether the question is asked and not answered.
    pub(crate) fn is_asked(&self) -> bool {
        matches!(self.standing, Standing::Asked { .. })
    }

    pub(crate) fn link_up(&mut self, now: Instant) {
        self.standing = if self.stream.is_some() { Standing::Due { at: now } } else { Standing::Verified };
    }

    pub(crate) fn link_lost(&mut self) {
        self.standing = Standing::Down;
    }

    /// The stream must be looked at again before more is written.
    pub(crate) fn doubt(&mut self, at: Instant) {
        if self.stream.is_some() && self.standing == Standing::Verified {
            self.standing = Standing::Due { at };
        }
    }

    /// The stream does not take a message, as far as is known of it.
    pub(crate) fn look_again(&mut self, now: Instant) {
        if now.since(self.verified_at) >= LOOK_AGAIN {
            self.doubt(now);
        }
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        match self.standing {
            Standing::Down | Standing::Waiting | Standing::Verified => None,
            Standing::Due { at } => Some(at),
            Standing::Asked { deadline } => Some(deadline),
        }
    }

    /// Asks, when it is time to. `acked_seq` is the highest sequence acknowledged to us so far.
    pub(crate) fn pump(&mut self, reply_root: &str, acked_seq: u64, outbox: &mut Outbox, now: Instant) {
        match self.standing {
            Standing::Due { at } if at <= now => {
                self.asked += 1;
                self.times_put = 0;
                self.acked_when_asked = acked_seq;
                self.standing = Standing::Waiting;
            }
            // The same question again, under the same number: where answers are slow, one to either will do.
            Standing::Asked { deadline } if deadline <= now => self.standing = Standing::Waiting,
            _ => {}
        }
        if self.standing != Standing::Waiting || !outbox.has_room() {
            return;
        }
        let Ok(subject) = Subject::new(&self.subject) else { return };
        let reply = format!("{reply_root}{}", self.tail());
        if let Ok(reply) = Subject::new(&reply) {
            outbox.write(|out| encode::publish(out, subject, Some(reply), None, b""));
        }
        let patience = ANSWER_PATIENCE * 2u32.saturating_pow(self.times_put.min(16));
        self.times_put = self.times_put.saturating_add(1);
        self.standing = Standing::Asked { deadline: now + patience.min(self.answer_timeout) };
    }

    /// The end of the reply subject of the last question.
    fn tail(&self) -> String {
        format!("I{:08}", self.asked)
    }

    /// Takes an answer; `tail` is the end of the subject it came on, `jetstream` whether the server says that it has
    /// JetStream. `Ok(true)` when the stream is now verified.
    ///
    /// # Errors
    /// What is wrong with the stream, for good.
    pub(crate) fn handle_answer(
        &mut self,
        tail: &[u8],
        status: Option<u16>,
        payload: &[u8],
        jetstream: bool,
        now: Instant,
    ) -> Result<bool, StreamProblem> {
        if tail != self.tail().as_bytes() || !matches!(self.standing, Standing::Asked { .. } | Standing::Waiting) {
            return Ok(false);
        }
        let Some(stream) = &self.stream else { return Ok(false) };
        let answer = match status {
            None => StreamInfo::parse(stream, payload),
            Some(_) => InfoAnswer::NotNow,
        };
        match answer {
            InfoAnswer::Stream(info) => self.weigh(info, now),
            InfoAnswer::NotNow => {
                self.fruitless = self.fruitless.saturating_add(1);
                if status == Some(503) && self.info.is_none() && self.fruitless >= UNANSWERED_AT_START_MAX {
                    return Err(StreamProblem::NoJetStream { server: !jetstream });
                }
                self.standing = Standing::Due { at: now + self.backoff.pause(self.fruitless) };
                Ok(false)
            }
            InfoAnswer::Problem(StreamProblem::NotFound { stream }) if self.created.is_some() => {
                Err(StreamProblem::Gone { stream })
            }
            // JetStream that was there is being reloaded, or its server restarted without it: the stream may come back.
            InfoAnswer::Problem(StreamProblem::NoJetStream { .. }) if self.info.is_some() => {
                self.fruitless = self.fruitless.saturating_add(1);
                self.standing = Standing::Due { at: now + self.backoff.pause(self.fruitless) };
                Ok(false)
            }
            InfoAnswer::Problem(problem) => Err(problem),
        }
    }

    fn weigh(&mut self, info: StreamInfo, now: Instant) -> Result<bool, StreamProblem> {
        if let Some(known) = &self.created
            && *known != info.created
        {
            return Err(StreamProblem::Recreated { known: known.clone(), found: info.created });
        }
        if info.last_seq < self.acked_when_asked {
            self.lagging += 1;
            if info.replicas > 1 && self.lagging <= LAGGING_MAX {
                self.standing = Standing::Due { at: now + self.backoff.pause(self.lagging) };
                return Ok(false);
            }
            return Err(StreamProblem::Rewound { acked: self.acked_when_asked, found: info.last_seq });
        }
        if let Some(missed) = self.subjects.iter().find(|wanted| !info.subjects.iter().any(|has| has.overlaps(wanted)))
        {
            return Err(StreamProblem::NotCaptured {
                subject: missed.as_str().to_string(),
                subjects: info.subjects.iter().map(|pattern| pattern.as_str().to_string()).collect(),
            });
        }
        self.created = Some(info.created.clone());
        self.began_after.get_or_insert(info.last_seq);
        self.last_captured.clear();
        self.info = Some(info);
        (self.fruitless, self.lagging) = (0, 0);
        self.verified_at = now;
        self.standing = Standing::Verified;
        Ok(true)
    }
}
