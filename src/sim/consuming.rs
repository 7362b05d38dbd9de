//! The model server's answers to questions about consumers.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::consumer::{Consumer, Said};
use super::server::{Answer, Server};
use super::violation::Violation;
use crate::time::Instant;

impl Server {
    /// A question behind `$JS.API.CONSUMER.`.
    pub(super) fn take_consumer_question(&mut self, question: &str, reply: Option<&str>, payload: &[u8], now: Instant) {
        let tokens: Vec<&str> = question.split('.').collect();
        let place = |consumers: &[Consumer], name: &str| consumers.iter().position(|known| known.name == name);
        match (tokens.as_slice(), reply) {
            (["CREATE", stream, name], Some(reply)) => {
                let answer = Answer::Payload(self.create_consumer(stream, name, payload, now));
                self.answer_in_time(reply, answer, now);
            }
            (["MSG", "NEXT", _, name], Some(reply)) => match place(&self.consumers, name) {
                Some(at) => {
                    if let Err(why) = self.consumers[at].pull(reply, payload, self.batch_max, now) {
                        self.violations.push(Violation::Consumer(why));
                    }
                    self.deliver_consumed(now);
                }
                None => {
                    let subject = format!("$JS.API.CONSUMER.{question}");
                    self.answer(reply, &Answer::NoResponders { subject });
                }
            },
            (["DELETE", _, name], _) => {
                if let Some(at) = place(&self.consumers, name) {
                    let said = self.consumers.remove(at).end();
                    self.say_all(said);
                }
            }
            _ => self.violations.push(Violation::Consumer(question.to_string())),
        }
    }

    fn create_consumer(&mut self, stream: &str, name: &str, payload: &[u8], now: Instant) -> Vec<u8> {
        let Some(of) = self.streams.iter().find(|known| known.name == stream) else {
            return br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#.to_vec();
        };
        if self.consumers.iter().any(|known| known.name == name) {
            return br#"{"error":{"code":400,"err_code":10148,"description":"consumer already exists"}}"#.to_vec();
        }
        if self.consumers.iter().filter(|known| known.stream == stream).count() >= self.consumers_max {
            return br#"{"error":{"code":400,"err_code":10026,"description":"maximum consumers limit reached"}}"#
                .to_vec();
        }
        match Consumer::read(stream, name, payload, now) {
            Ok(consumer) => {
                self.counts.consumers_made += 1;
                let pending = consumer.pending(of, self.consumer_lag, now);
                self.consumers.push(consumer);
                let kind = "io.nats.jetstream.api.v1.consumer_create_response";
                let config = format!(r#"{{"name":"{name}","max_batch":{}}}"#, self.batch_max);
                format!(r#"{{"type":"{kind}","stream_name":"{stream}","name":"{name}","config":{config},"num_pending":{pending}}}"#)
                    .into_bytes()
            }
            Err(why) => {
                self.violations.push(Violation::Consumer(why));
                br#"{"error":{"code":400,"err_code":10025,"description":"invalid JSON"}}"#.to_vec()
            }
        }
    }

    /// Lets consumers say what they have to say.
    pub(super) fn deliver_consumed(&mut self, now: Instant) {
        if !self.jetstream {
            return;
        }
        self.consumers.retain(|consumer| !consumer.is_over(now));
        let mut said = Vec::new();
        for consumer in &mut self.consumers {
            if let Some(stream) = self.streams.iter().find(|stream| stream.name == consumer.stream) {
                said.extend(consumer.speak(stream, self.consumer_lag, now));
            }
        }
        self.say_all(said);
    }

    pub(super) fn say_all(&mut self, said: Vec<Said>) {
        for said in said {
            let heard = match &said {
                Said::Message { to, subject, ack, headers } => {
                    self.counts.recalled += 1;
                    self.deliver_as(to, subject, Some(ack), Some(headers.as_bytes()), b"")
                }
                Said::Status { to, headers } => self.deliver(to, None, Some(headers.as_bytes()), b""),
            };
            self.counts.undelivered += u64::from(!heard);
        }
    }
}
