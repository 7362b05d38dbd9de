//! An outlet into core NATS: messages are written to the server's socket, and count once a PONG shows that it has read them.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use natsink::Client;
use natsink::config::InFlightPlan;
use natsink::connection::PublishError;
use natsink::jetstream::{Message, Rejection};
use natsink::proto::encode::CONTROL_LINE_MAX;
use natsink::proto::{HEADERS_LEN_MAX, HeaderBlock, HeaderError, ServerError};
use natsink::session::{FlushError, LinkNotice, LinkState};

use super::sent::Sent;

/// Messages between two PONGs after complaints of the server were missed: of so many none is.
const CAREFUL: usize = 16;

/// A server without a stream. What a link had not confirmed when it was lost is to be sent again: the server may have read
/// it, so it can arrive twice; and what the server has read is gone where nobody listens. No order is promised then.
pub(crate) struct CoreOutlet {
    client: Arc<Client>,
    window: InFlightPlan,
    patience: Duration,
    headers: HeaderBlock,
    /// Messages that the server is not known to have read: tags and sizes.
    sent: VecDeque<(u64, usize)>,
    bytes: usize,
    flushing: Option<Flushing>,
    read: Option<Result<usize, FlushError>>,
    /// Subjects that the server refused since the last PONG was read, and before: its complaint about a message behind the
    /// PING may be heard with the PONG.
    denied: Vec<String>,
    denied_before: Vec<String>,
    missed: bool,
    is_careful: bool,
    waits_for_link: bool,
    replayed: u64,
}

/// A PING on its way.
struct Flushing {
    /// The messages before it.
    count: usize,
    answer: Pin<Box<dyn Future<Output = Result<(), FlushError>> + Send>>,
}

/// What became of messages.
pub(crate) enum Confirmed {
    /// The server has read these, and refused those with one of these subjects.
    Read { tags: Vec<u64>, denied: Vec<String> },
    /// The link was lost: nobody knows what the server has read of all that is out.
    Lost,
}

impl CoreOutlet {
    /// `patience` is how long one PONG may take before another PING is tried.
    pub(crate) fn new(client: Client, window: InFlightPlan, patience: Duration) -> Self {
        Self {
            client: Arc::new(client),
            window,
            patience,
            headers: HeaderBlock::new(),
            sent: VecDeque::new(),
            bytes: 0,
            flushing: None,
            read: None,
            denied: Vec::new(),
            denied_before: Vec::new(),
            missed: false,
            is_careful: false,
            waits_for_link: false,
            replayed: 0,
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.sent.len()
    }

    pub(crate) fn try_send(&mut self, tag: u64, message: &Message<'_>) -> Sent {
        let size = message.payload().len() + message.header_block().map_or(0, HeaderBlock::encoded_len);
        let window = if self.is_careful { CAREFUL } else { self.window.events_max };
        let is_over = self.bytes + size > self.window.bytes_max && !self.sent.is_empty();
        if self.sent.len() >= window || is_over {
            return Sent::Full;
        }
        if let Err(HeaderError::TooLong(size)) = self.fill_headers(message) {
            return Sent::Rejected(Rejection::TooLarge { size, max: HEADERS_LEN_MAX });
        }
        let headers = (!self.headers.is_empty()).then_some(&self.headers);
        match self.client.try_publish(message.subject(), None, headers, message.payload()) {
            Ok(()) => {
                self.sent.push_back((tag, size));
                self.bytes += size;
                Sent::Taken
            }
            Err(PublishError::TooLarge { size, max }) => Sent::Rejected(Rejection::TooLarge { size, max }),
            Err(PublishError::ControlLine { len }) => {
                Sent::Rejected(Rejection::TooLarge { size: len, max: CONTROL_LINE_MAX })
            }
            Err(PublishError::Closed(_)) => Sent::Over,
            Err(PublishError::NoLink) => {
                self.waits_for_link = true;
                Sent::Full
            }
            Err(_) => Sent::Full,
        }
    }

    /// The message's own headers, and its id.
    fn fill_headers(&mut self, message: &Message<'_>) -> Result<(), HeaderError> {
        self.headers.clear();
        if let Some(id) = message.msg_id() {
            self.headers.push("Nats-Msg-Id", id.as_str())?;
        }
        let more = message.header_block().into_iter().flat_map(HeaderBlock::iter);
        more.into_iter().try_for_each(|(name, value)| self.headers.push(name, value))
    }

    /// Takes note of what the server says; it must be told of all before [`confirmed`](Self::confirmed) is asked.
    pub(crate) fn hear(&mut self, notices: &[LinkNotice]) {
        for notice in notices {
            match notice {
                LinkNotice::ServerError(ServerError::PermissionsViolationForPublish { subject })
                    if !self.denied.contains(subject) =>
                {
                    self.denied.push(subject.clone());
                }
                LinkNotice::Missed(_) => self.missed = true,
                _ => {}
            }
        }
    }

    /// Whether [`confirmed`](Self::confirmed) has something to tell.
    pub(crate) fn is_ready(&self) -> bool {
        self.read.is_some()
    }

    /// What is known by now of messages that were sent.
    pub(crate) fn confirmed(&mut self) -> Option<Confirmed> {
        let count = match self.read.take()? {
            Ok(count) => count,
            Err(FlushError::LinkLost(_)) => return Some(self.lost()),
            // Nothing is known: the next PING tells, or the connection is over.
            Err(_) => return None,
        };
        if std::mem::take(&mut self.missed) {
            // Some of it may have been refused, and nobody knows which.
            self.is_careful = true;
            return Some(self.lost());
        }
        self.is_careful &= !self.denied.is_empty();
        let count = count.min(self.sent.len());
        let read = self.sent.drain(..count);
        let (tags, sizes): (Vec<u64>, Vec<usize>) = read.unzip();
        self.bytes -= sizes.iter().sum::<usize>();
        let last = std::mem::take(&mut self.denied);
        let mut denied = std::mem::replace(&mut self.denied_before, last.clone());
        denied.extend(last);
        Some(Confirmed::Read { tags, denied })
    }

    /// Messages that are to be sent again since a link was lost.
    pub(crate) const fn replayed(&self) -> u64 {
        self.replayed
    }

    fn lost(&mut self) -> Confirmed {
        self.replayed += self.sent.len() as u64;
        self.sent.clear();
        self.denied.clear();
        self.denied_before.clear();
        (self.bytes, self.missed, self.flushing) = (0, false, None);
        Confirmed::Lost
    }

    /// Waits until there is something to confirm, or room for messages.
    pub(crate) fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.read.is_some() {
            return Poll::Ready(());
        }
        let state = self.client.link_state();
        if matches!(state, LinkState::Closed(_)) {
            return Poll::Ready(());
        }
        if state != LinkState::Up {
            if pin!(self.client.link_changed(&state)).poll(cx).is_pending() && self.flushing.is_none() {
                return Poll::Pending;
            }
        } else if std::mem::take(&mut self.waits_for_link) && self.sent.is_empty() {
            return Poll::Ready(());
        }
        if self.flushing.is_none() && !self.sent.is_empty() {
            let (client, patience) = (Arc::clone(&self.client), self.patience);
            let answer = Box::pin(async move { client.flush(patience).await });
            self.flushing = Some(Flushing { count: self.sent.len(), answer });
        }
        let Some(flushing) = &mut self.flushing else { return Poll::Pending };
        let Poll::Ready(answer) = flushing.answer.as_mut().poll(cx) else { return Poll::Pending };
        self.read = Some(answer.map(|()| flushing.count));
        self.flushing = None;
        Poll::Ready(())
    }
}
