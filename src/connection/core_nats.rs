//! Core NATS on a connection: what is subscribed, published and asked for without any machine above it.

use core::fmt;

use super::machine::{Connection, State};
use super::{CloseReason, Sid};
use crate::proto::{HeaderBlock, Pattern, Subject, SubjectBuf, encode};

/// How many times its bound subscriptions may fill the outbox: all that there may be fit several times.
const OUTBOX_OVERFILL: usize = 64;

/// Why a message was not published to core NATS. Nothing of it was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PublishError {
    /// There is no link, or it is about to be left for another.
    NoLink,
    /// The link takes no more at this moment, or others wait for that.
    NoRoom,
    /// Headers and payload are larger than the server takes.
    TooLarge {
        /// Their size, bytes.
        size: usize,
        /// What the server takes, bytes.
        max: usize,
    },
    /// Subject and reply are so long that the server would close the link.
    ControlLine {
        /// How long the line would be, bytes.
        len: usize,
    },
    /// The connection drains, or has drained.
    Draining,
    /// The connection is over.
    Closed(CloseReason),
}

impl Connection {
    /// Subscribes, now and on every later link. `None` when there are too many subscriptions.
    pub fn subscribe(&mut self, subject: Pattern, queue: Option<SubjectBuf>) -> Option<Sid> {
        if self.subscriptions.len() >= self.options.limits.subscriptions_max {
            return None;
        }
        let sid = self.subscriptions.add(subject, queue);
        if let State::Linked(link) = &mut self.state
            && link.is_up()
        {
            link.outbox.write(|out| self.subscriptions.encode(sid, out));
        }
        Some(sid)
    }

    /// Whether the link takes what is subscribed. One that takes nothing would otherwise let those who subscribe and
    /// unsubscribe fill the memory.
    pub fn takes_subscriptions(&self) -> bool {
        match &self.state {
            State::Linked(link) => link.outbox.len() < self.options.limits.outbox_max.saturating_mul(OUTBOX_OVERFILL),
            _ => true,
        }
    }

    /// Ends a subscription. What is still on its way is dropped.
    pub fn unsubscribe(&mut self, sid: Sid) {
        if self.subscriptions.remove(sid)
            && let State::Linked(link) = &mut self.state
            && link.is_up()
        {
            link.outbox.write(|out| encode::unsub(out, sid.0, None));
        }
    }

    /// Ends a subscription once it has received this many messages in all, on this link and others: the server sends no
    /// more, and more are not given out. At once when it has received them already.
    pub fn unsubscribe_after(&mut self, sid: Sid, max: u64) {
        if !self.subscriptions.limit(sid, max) {
            self.unsubscribe(sid);
        } else if let State::Linked(link) = &mut self.state
            && link.is_up()
        {
            link.outbox.write(|out| self.subscriptions.encode_limit(sid, out));
        }
    }

    /// Tells the server to send no more. What it has sent before is still given out; a PING written after this is
    /// answered behind it, and then the subscription can be ended. A link that is lost before ends it too.
    ///
    /// `false` when nothing can be on its way: there is no link, and the subscription has ended, or it had before.
    pub fn drain(&mut self, sid: Sid) -> bool {
        match &mut self.state {
            State::Linked(link) if link.is_up() => {
                if self.subscriptions.begin_end(sid) {
                    link.outbox.write(|out| encode::unsub(out, sid.0, None));
                }
                self.subscriptions.contains(sid)
            }
            _ => {
                self.subscriptions.remove(sid);
                false
            }
        }
    }

    /// Whether messages of this subscription can still come.
    pub fn is_subscribed(&self, sid: Sid) -> bool {
        self.subscriptions.contains(sid)
    }

    /// The subscriptions to exactly this pattern in this queue group, which is how servers name those they refuse.
    pub fn subscriptions_to(&self, subject: &str, queue: Option<&str>) -> impl Iterator<Item = Sid> {
        self.subscriptions.listening(subject, queue)
    }

    /// Sends a PING whose PONG will tell, by this number, that the server has seen all that was written before.
    /// `false` when there is no link, or too many PINGs are unanswered.
    pub fn ping(&mut self, number: u64) -> bool {
        match &mut self.state {
            State::Linked(link) if link.is_up() => link.ping_caller(number, self.options.limits.pings_max),
            _ => false,
        }
    }

    /// Publishes without waiting for anything: at most once.
    ///
    /// It may fill the outbox to twice its bound, so that publishers, which fill it to the bound whenever there is room,
    /// leave room for it.
    ///
    /// # Errors
    /// When there is no link or no room, or when the server would close the link over it. Nothing was written then.
    pub fn publish(
        &mut self,
        subject: Subject<'_>,
        reply: Option<Subject<'_>>,
        headers: Option<&HeaderBlock>,
        payload: &[u8],
    ) -> Result<(), PublishError> {
        self.check_publish(subject, reply, headers, payload)?;
        if let State::Linked(link) = &mut self.state {
            link.outbox.write(|out| encode::publish(out, subject, reply, headers, payload));
        }
        Ok(())
    }

    /// Whether a publish would be written now.
    ///
    /// # Errors
    /// As for [`Connection::publish`].
    pub fn check_publish(
        &self,
        subject: Subject<'_>,
        reply: Option<Subject<'_>>,
        headers: Option<&HeaderBlock>,
        payload: &[u8],
    ) -> Result<(), PublishError> {
        let headers_len = headers.filter(|headers| !headers.is_empty()).map(HeaderBlock::encoded_len);
        let size = headers_len.unwrap_or(0) + payload.len();
        let len = encode::publish_line_len(subject, reply, headers_len, payload.len());
        let max = self.info.as_ref().map_or(usize::MAX, |info| info.max_payload);
        match &self.state {
            State::Closed(reason) => Err(PublishError::Closed(reason.clone())),
            _ if len > encode::CONTROL_LINE_MAX => Err(PublishError::ControlLine { len }),
            _ if size > max => Err(PublishError::TooLarge { size, max }),
            State::Linked(link) if !link.is_up() => Err(PublishError::NoLink),
            State::Linked(link) if link.outbox.len() >= self.options.limits.outbox_max.saturating_mul(2) => {
                Err(PublishError::NoRoom)
            }
            State::Linked(_) => Ok(()),
            State::Resting => Err(PublishError::NoLink),
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLink => f.write_str("there is no connection at this moment"),
            Self::NoRoom => f.write_str("the connection takes no more at this moment"),
            Self::TooLarge { size, max } => {
                write!(f, "headers and payload are {size} bytes, and the server takes {max} (max_payload)")
            }
            Self::ControlLine { len } => write!(
                f,
                "subject and reply make a control line of {len} bytes, and the server takes {}",
                encode::CONTROL_LINE_MAX
            ),
            Self::Draining => f.write_str("the connection is being drained and takes nothing new"),
            Self::Closed(reason) => write!(f, "{reason}"),
        }
    }
}

impl core::error::Error for PublishError {}
