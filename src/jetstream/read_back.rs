//! The questions about stored messages, to see whether a `duplicate` is one.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;

use super::token::{self, TOKEN_LEN};
use crate::connection::Outbox;
use crate::proto::{Subject, encode};

/// Questions that wait to be written. At most one for each message in flight.
#[derive(Debug, Default)]
pub(crate) struct ReadBack {
    due: VecDeque<Question>,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    ordinal: u64,
    seq: u64,
}

impl ReadBack {
    pub(crate) fn ask(&mut self, ordinal: u64, seq: u64) {
        self.due.push_back(Question { ordinal, seq });
    }

    /// Forgets what was not asked yet: all open questions are asked anew on the next link.
    pub(crate) fn clear(&mut self) {
        self.due.clear();
    }

    /// The subject that questions about this stream are sent to.
    pub(crate) fn subject(api_prefix: &str, stream: &str) -> String {
        format!("{api_prefix}.STREAM.MSG.GET.{stream}")
    }

    pub(crate) fn pump(&mut self, api_prefix: &str, stream: &str, reply_root: &str, outbox: &mut Outbox) {
        if self.due.is_empty() {
            return;
        }
        let subject = Self::subject(api_prefix, stream);
        let Ok(subject) = Subject::new(&subject) else { return };
        let mut reply = format!("{reply_root}V");
        let root = reply.len();
        while let Some(question) = self.due.front().filter(|_| outbox.has_room()) {
            let mut digits = [0; TOKEN_LEN];
            token::write(question.ordinal, 0, &mut digits);
            reply.truncate(root);
            reply.extend(digits.iter().map(|digit| char::from(*digit)));
            let request = format!("{{\"seq\":{}}}", question.seq);
            if let Ok(reply) = Subject::new(&reply) {
                outbox.write(|out| encode::publish(out, subject, Some(reply), None, request.as_bytes()));
            }
            self.due.pop_front();
        }
    }

    /// Which message an answer is about; `tail` is the end of the subject it came on.
    pub(crate) fn ordinal(tail: &[u8], front: u64) -> Option<u64> {
        token::read(tail.strip_prefix(b"V")?, front).map(|(ordinal, _)| ordinal)
    }
}
