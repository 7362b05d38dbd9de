//! Core NATS in a session driven by hand: flushes, limits and ends of subscriptions, notices, the orderly end.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod draining;
mod flushing;
mod publishing;
mod subscriptions;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use natsink::connection::{CloseReason, LinkError, PublishError, Sid};
use natsink::jetstream::{Outcome, PublisherOptions, SubmitError};
use natsink::proto::{HeaderBlock, Pattern, ServerError, Subject, SubjectBuf};
use natsink::session::{
    DrainError, FlushError, FlushId, LinkNotice, LinkState, RequestError, SessionError, SubscriptionEnd,
    SubscriptionLimits,
};
use support::hand::{Count, Hand, stream, verified};

const SECOND: Duration = Duration::from_secs(1);
/// What the first subscription beside the publisher's inbox is called on the wire.
const SID: u64 = 2;

/// A session whose only subscription is a publisher's inbox.
fn hand() -> Hand {
    let (mut hand, _) = Hand::new(PublisherOptions::default());
    hand.written();
    hand
}

fn subject(text: &str) -> Subject<'_> {
    Subject::new(text).unwrap()
}

/// The control lines written since this was last asked.
fn lines(hand: &mut Hand) -> Vec<String> {
    hand.written_lines()
}

fn subscribe(hand: &mut Hand, pattern: &str, queue: Option<&str>, limits: SubscriptionLimits) -> Sid {
    let queue: Option<SubjectBuf> = queue.map(|queue| subject(queue).to_buf());
    hand.session.subscribe(Pattern::new(pattern).unwrap(), queue, limits).unwrap()
}

fn plain(hand: &mut Hand, pattern: &str) -> Sid {
    subscribe(hand, pattern, None, SubscriptionLimits::default())
}

fn deliver(hand: &mut Hand, sid: u64, payload: &str) {
    hand.say(format!("MSG news.1 {sid} {}\r\n{payload}\r\n", payload.len()).as_bytes());
}

fn read(hand: &mut Hand, sid: Sid) -> Vec<String> {
    std::iter::from_fn(|| hand.session.next_received(sid, Waker::noop()))
        .map(|received| String::from_utf8(received.payload.to_vec()).unwrap())
        .collect()
}

fn lose(hand: &mut Hand) {
    hand.session.handle_disconnected(hand.epoch, LinkError::Closed { hint: None }, hand.now);
}

fn lost() -> LinkError {
    LinkError::Closed { hint: None }
}

fn publish(hand: &mut Hand, to: &str) -> Result<(), PublishError> {
    hand.session.publish(None, subject(to), None, None, b"x")
}

fn begin_flush(hand: &mut Hand) -> FlushId {
    hand.session.begin_flush(hand.now).unwrap()
}

fn flushed(hand: &mut Hand, id: FlushId) -> Poll<Result<Duration, FlushError>> {
    hand.session.poll_flush(id, Waker::noop())
}

fn drained(hand: &mut Hand) -> Poll<Result<(), DrainError>> {
    hand.session.poll_drain(Waker::noop())
}

fn notices(hand: &mut Hand) -> Vec<LinkNotice> {
    std::iter::from_fn(|| hand.session.poll_notice()).collect()
}
