//! A model of the consumers that read ids back: short-lived, headers only, asked batch by batch.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use serde_json::Value;

use super::stream::Stream;
use crate::time::Instant;

/// A consumer of one stream.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) stream: String,
    pub(super) name: String,
    next_seq: u64,
    delivered: u64,
    waiting: VecDeque<Pull>,
    active_at: Instant,
    inactive_max: Duration,
}

#[derive(Debug)]
struct Pull {
    reply: String,
    left: u64,
    until: Instant,
}

/// What a consumer says, and to which subject.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// A message as it stands in the stream, without its payload.
    Message { to: String, subject: String, ack: String, headers: String },
    /// How a batch ended.
    Status { to: String, headers: String },
}

impl Consumer {
    /// Reads the question that makes one.
    ///
    /// # Errors
    /// What is not as a reader of ids must have it.
    pub(super) fn read(stream: &str, name: &str, question: &[u8], now: Instant) -> Result<Self, String> {
        let question: Value = serde_json::from_slice(question).map_err(|error| error.to_string())?;
        let config = question.get("config").ok_or("config")?;
        let wanted = [
            ("name", Value::from(name)),
            ("deliver_policy", Value::from("by_start_sequence")),
            ("ack_policy", Value::from("none")),
            ("headers_only", Value::from(true)),
            ("mem_storage", Value::from(true)),
            ("num_replicas", Value::from(1)),
        ];
        if let Some((wrong, _)) = wanted.iter().find(|(key, value)| config.get(*key) != Some(value)) {
            return Err((*wrong).to_string());
        }
        if question.get("stream_name") != Some(&Value::from(stream)) || question.get("action") != Some(&"create".into())
        {
            return Err("stream_name, action".to_string());
        }
        let number = |key| config.get(key).and_then(Value::as_u64).filter(|number| *number > 0).ok_or(key);
        Ok(Self {
            stream: stream.to_string(),
            name: name.to_string(),
            next_seq: number("opt_start_seq")?,
            delivered: 0,
            waiting: VecDeque::new(),
            active_at: now,
            inactive_max: Duration::from_nanos(number("inactive_threshold")?),
        })
    }

    /// Takes a question for messages.
    ///
    /// # Errors
    /// What is not as it must be.
    pub(super) fn pull(&mut self, reply: &str, question: &[u8], batch_max: u64, now: Instant) -> Result<(), String> {
        let question: Value = serde_json::from_slice(question).map_err(|error| error.to_string())?;
        let number = |key| question.get(key).and_then(Value::as_u64).filter(|number| *number > 0).ok_or(key);
        let left = number("batch")?;
        if left > batch_max {
            return Err(format!("a batch of {left}"));
        }
        let until = now + Duration::from_nanos(number("expires")?);
        self.active_at = now;
        self.waiting.push_back(Pull { reply: reply.to_string(), left, until });
        Ok(())
    }

    /// What it has to say now; `lag` is how far its replica is behind.
    pub(super) fn speak(&mut self, stream: &Stream, lag: Duration, now: Instant) -> Vec<Said> {
        let mut said = Vec::new();
        let visible: Vec<_> =
            stream.stored().iter().filter(|stored| stored.seq >= self.next_seq && stored.at + lag <= now).collect();
        let mut left = visible.len();
        for stored in visible {
            let Some(pull) = self.waiting.front_mut() else { break };
            (self.delivered, self.next_seq, left) = (self.delivered + 1, stored.seq + 1, left - 1);
            let ack = format!(
                "$JS.ACK.{}.{}.1.{}.{}.1795597513828903506.{left}",
                self.stream, self.name, stored.seq, self.delivered
            );
            let id = stored.id.as_ref().map_or(String::new(), |id| format!("Nats-Msg-Id: {id}\r\n"));
            let headers = format!("NATS/1.0\r\n{id}Nats-Msg-Size: {}\r\n\r\n", stored.payload.len());
            said.push(Said::Message { to: pull.reply.clone(), subject: stored.subject.clone(), ack, headers });
            pull.left -= 1;
            if pull.left == 0 {
                self.waiting.pop_front();
            }
        }
        let over = self.waiting.iter().take_while(|pull| pull.until <= now).count();
        for pull in self.waiting.drain(..over) {
            let headers = format!("NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: {}\r\n\r\n", pull.left);
            said.push(Said::Status { to: pull.reply, headers });
            self.active_at = now;
        }
        said
    }

    /// What it says when it is deleted.
    pub(super) fn end(self) -> Vec<Said> {
        let headers = "NATS/1.0 409 Consumer Deleted\r\n\r\n".to_string();
        self.waiting.into_iter().map(|pull| Said::Status { to: pull.reply, headers: headers.clone() }).collect()
    }

    /// Whether nobody has asked for so long that it ends.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.waiting.is_empty() && self.active_at + self.inactive_max <= now
    }

    /// Messages it has.
    pub(super) fn pending(&self, stream: &Stream, lag: Duration, now: Instant) -> usize {
        stream.stored().iter().filter(|stored| stored.seq >= self.next_seq && stored.at + lag <= now).count()
    }

    /// When it has something to say that it has not now.
    pub(super) fn timeout(&self, stream: Option<&Stream>, lag: Duration) -> Option<Instant> {
        let pull = self.waiting.iter().map(|pull| pull.until).min();
        let next = stream.and_then(|stream| stream.stored().iter().find(|stored| stored.seq >= self.next_seq));
        let arrival = next.filter(|_| !self.waiting.is_empty()).map(|stored| stored.at + lag);
        let end = self.waiting.is_empty().then(|| self.active_at + self.inactive_max);
        [pull, arrival, end].into_iter().flatten().min()
    }
}
