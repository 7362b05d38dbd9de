//! The ledger: every message that is submitted and not settled, in order, with the bytes to send it again.

use alloc::collections::VecDeque;

use bytes::Bytes;

use super::acks::AckSlot;
use super::byte_ring::{ByteRing, RingSpan};
use super::token::{self, TOKEN_LEN};
use crate::connection::Outbox;
use crate::proto::decimal::{decimal_len, put_decimal};
use crate::time::Instant;

/// Payloads of this many bytes and more, when they come shared, are kept and written without a copy.
const SHARED_LEN_MIN: usize = 8 << 10;

/// Messages in order of submission. An ordinal names a message for the publisher's life.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    entries: VecDeque<Entry>,
    /// The ordinal of the first entry: everything before it is settled.
    front: u64,
    bytes: ByteRing,
    bytes_held: usize,
}

/// Whom to tell of the outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    /// An `Ack` in somebody's hands.
    Ack(AckSlot),
    /// The stream of outcomes, under this tag.
    Tag(u64),
}

#[derive(Debug)]
pub(crate) struct Entry {
    span: RingSpan,
    /// A payload that is not in the ring.
    shared: Option<Bytes>,
    pub(crate) owner: Owner,
    pub(crate) state: State,
    /// The pass in which it was last written to a link, if it was.
    pub(crate) pass: Option<u32>,
    /// Whether it was written more than once.
    pub(crate) resent: bool,
    /// When it was first written, or was last known not to be stored: the stream's memory of its id may end as long after
    /// that as its duplicate window.
    pub(crate) doubtful_since: Instant,
    /// Refusals with a code that is not known.
    pub(crate) refusals: u8,
    /// How many bytes its last link had been given with it.
    pub(crate) sent_end: u64,
    /// The highest sequence that was acknowledged when it came: a stream that stores it stores it behind that.
    pub(crate) acked_before: u64,
    /// Headers and payload, bytes.
    pub(crate) size: usize,
    payload_len: usize,
    subject_len: usize,
    token_at: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// No final answer yet.
    Open,
    /// Answered `duplicate` at its first sending: the message at this sequence is being read back.
    Checking { seq: u64 },
    /// Final. The sequence is that of the stored message, where there is one that counts for the order.
    Settled { seq: Option<u64> },
}

impl State {
    pub(crate) fn is_checking(self) -> bool {
        matches!(self, Self::Checking { .. })
    }
}

/// The parts of a message on the wire.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) subject: &'a str,
    /// The inbox, with its last dot.
    pub(crate) reply_root: &'a str,
    /// `NATS/1.0`, the publisher's own headers, and the name of the id's header.
    pub(crate) fixed_headers: &'a [u8],
    pub(crate) id: &'a str,
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) shared: Option<&'a Bytes>,
}

impl Parts<'_> {
    /// The header block, bytes.
    pub(crate) fn headers_len(&self) -> usize {
        self.fixed_headers.len() + self.id.len() + 2 + self.headers.len() + 2
    }

    /// Headers and payload, bytes: what the server holds against its limits.
    pub(crate) fn size(&self) -> usize {
        self.headers_len() + self.payload.len()
    }

    /// What stands in the control line behind `HPUB `.
    pub(crate) fn control_line_len(&self) -> usize {
        self.subject.len()
            + self.reply_root.len()
            + TOKEN_LEN
            + decimal_len(self.headers_len() as u64)
            + decimal_len(self.size() as u64)
            + 3
    }

    fn is_shared(&self) -> bool {
        self.shared.is_some() && self.payload.len() >= SHARED_LEN_MIN
    }

    fn encoded_len(&self) -> usize {
        let payload = if self.is_shared() { 0 } else { self.payload.len() + 2 };
        5 + self.control_line_len() + 2 + self.headers_len() + payload
    }

    fn encode(&self, out: &mut [u8]) {
        let mut pen = Pen { out, at: 0 };
        pen.put(b"HPUB ");
        pen.put(self.subject.as_bytes());
        pen.put(b" ");
        pen.put(self.reply_root.as_bytes());
        pen.put(&[b'0'; TOKEN_LEN]);
        pen.put(b" ");
        pen.put_number(self.headers_len());
        pen.put(b" ");
        pen.put_number(self.size());
        pen.put(b"\r\n");
        pen.put(self.fixed_headers);
        pen.put(self.id.as_bytes());
        pen.put(b"\r\n");
        pen.put(self.headers);
        pen.put(b"\r\n");
        if !self.is_shared() {
            pen.put(self.payload);
            pen.put(b"\r\n");
        }
        debug_assert_eq!(pen.at, pen.out.len(), "the length was computed before");
    }
}

struct Pen<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Pen<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn put_number(&mut self, number: usize) {
        self.at += put_decimal(&mut self.out[self.at..], number as u64);
    }
}

impl InFlight {
    /// The first ordinal that is not settled.
    pub(crate) fn front(&self) -> u64 {
        self.front
    }

    /// The ordinal that the next message gets.
    pub(crate) fn back(&self) -> u64 {
        self.front + self.entries.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Headers and payloads held, bytes.
    pub(crate) fn bytes_held(&self) -> usize {
        self.bytes_held
    }

    pub(crate) fn entry(&self, ordinal: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(ordinal.checked_sub(self.front)?).ok()?)
    }

    pub(crate) fn entry_mut(&mut self, ordinal: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(ordinal.checked_sub(self.front)?).ok()?)
    }

    pub(crate) fn push(&mut self, parts: &Parts<'_>, owner: Owner, acked_before: u64) {
        let len = parts.encoded_len();
        let span = self.bytes.take(len).unwrap_or_else(|| {
            self.bytes.grow(len, self.entries.iter_mut().map(|entry| &mut entry.span));
            self.bytes.take(len).expect("a grown ring has room")
        });
        parts.encode(self.bytes.bytes_of_mut(span));
        let size = parts.size();
        self.bytes_held += size;
        self.entries.push_back(Entry {
            span,
            shared: parts.shared.filter(|_| parts.is_shared()).cloned(),
            owner,
            state: State::Open,
            pass: None,
            resent: false,
            doubtful_since: Instant::ZERO,
            refusals: 0,
            sent_end: 0,
            acked_before,
            size,
            payload_len: parts.payload.len(),
            subject_len: parts.subject.len(),
            token_at: 5 + parts.subject.len() + 1 + parts.reply_root.len(),
        });
    }

    /// Writes the message into the outbox, its token naming this pass.
    pub(crate) fn send(&mut self, ordinal: u64, pass: u32, outbox: &mut Outbox, now: Instant) {
        let Some(entry) = self.entries.get_mut((ordinal - self.front) as usize) else { return };
        let bytes = self.bytes.bytes_of_mut(entry.span);
        token::write(ordinal, pass, &mut bytes[entry.token_at..]);
        outbox.push(bytes);
        if let Some(shared) = &entry.shared {
            outbox.push_shared(shared.clone());
            outbox.push(b"\r\n");
        }
        entry.resent = entry.pass.is_some();
        entry.doubtful_since = if entry.resent { entry.doubtful_since } else { now };
        entry.pass = Some(pass);
        entry.sent_end = outbox.pushed();
    }

    /// Drops the settled front, oldest first, telling each one's sequence.
    pub(crate) fn pop_settled(&mut self, mut settled: impl FnMut(Option<u64>)) -> bool {
        let before = self.front;
        while let Some(Entry { state: State::Settled { seq }, size, .. }) = self.entries.front() {
            settled(*seq);
            self.bytes_held -= size;
            self.entries.pop_front();
            self.front += 1;
            self.bytes.give_up_front(self.entries.front().map(|entry| entry.span));
        }
        self.front != before
    }

    pub(crate) fn subject(&self, entry: &Entry) -> &[u8] {
        &self.bytes.bytes_of(entry.span)[5..5 + entry.subject_len]
    }

    /// The `Nats-Msg-Id`; `fixed_headers_len` is that of the headers before its value.
    pub(crate) fn id(&self, entry: &Entry, fixed_headers_len: usize) -> &[u8] {
        let bytes = &self.bytes.bytes_of(entry.span)[entry.token_at..];
        let line_end = memchr::memchr(b'\n', bytes).map_or(0, |at| at + 1);
        let value = bytes.get(line_end + fixed_headers_len..).unwrap_or_default();
        &value[..memchr::memchr(b'\r', value).unwrap_or(value.len())]
    }

    pub(crate) fn payload<'a>(&'a self, entry: &'a Entry) -> &'a [u8] {
        match &entry.shared {
            Some(shared) => shared,
            None => {
                let bytes = self.bytes.bytes_of(entry.span);
                let end = entry.span.len() - 2;
                &bytes[end - entry.payload_len..end]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Transmit;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn parts<'a>(payload: &'a [u8], shared: Option<&'a Bytes>) -> Parts<'a> {
        Parts {
            subject: "ord.1",
            reply_root: "_INBOX.T.1.",
            fixed_headers: b"NATS/1.0\r\nNats-Msg-Id: ",
            id: "id-1",
            headers: b"a: b\r\n",
            payload,
            shared,
        }
    }

    fn flat(outbox: &mut Outbox) -> Vec<u8> {
        let mut transmit = Transmit::new();
        outbox.carry_off(&mut transmit);
        let mut slices = [&[][..]; 8];
        let filled = transmit.slices(&mut slices);
        slices[..filled].concat()
    }

    #[test]
    fn a_message_is_sent_again_with_nothing_changed_but_its_pass() {
        let mut ledger = InFlight::default();
        ledger.push(&parts(b"hello", None), Owner::Tag(1), 0);
        let mut outbox = Outbox::new(1 << 20);
        ledger.send(0, 1, &mut outbox, Instant::ZERO);
        let first = String::from_utf8(flat(&mut outbox)).unwrap();
        let headers = "NATS/1.0\r\nNats-Msg-Id: id-1\r\na: b\r\n\r\n";
        assert_eq!(
            first,
            alloc::format!(
                "HPUB ord.1 _INBOX.T.1.0000001 {} {}\r\n{headers}hello\r\n",
                headers.len(),
                headers.len() + 5
            )
        );
        assert!(!ledger.entry(0).unwrap().resent);
        ledger.send(0, 2, &mut outbox, Instant::ZERO);
        assert_eq!(String::from_utf8(flat(&mut outbox)).unwrap(), first.replace(".0000001 ", ".0000002 "));
        assert!(ledger.entry(0).unwrap().resent);
    }

    #[test]
    fn its_id_can_be_read() {
        let mut ledger = InFlight::default();
        for (tag, payload) in [&b"hello"[..], b"", b"\r\n"].into_iter().enumerate() {
            ledger.push(&parts(payload, None), Owner::Tag(tag as u64), 0);
            let entry = ledger.entry(tag as u64).unwrap();
            assert_eq!(ledger.id(entry, parts(b"", None).fixed_headers.len()), b"id-1");
        }
    }

    #[test]
    fn large_shared_payloads_are_not_copied() {
        let mut ledger = InFlight::default();
        let payload = Bytes::from(alloc::vec![b'x'; SHARED_LEN_MIN]);
        ledger.push(&parts(&payload, Some(&payload)), Owner::Tag(1), 0);
        let entry = ledger.entry(0).unwrap();
        assert!(entry.span.len() < 200);
        assert_eq!(ledger.payload(entry).as_ptr(), payload.as_ptr());
        let mut outbox = Outbox::new(1 << 20);
        ledger.send(0, 0, &mut outbox, Instant::ZERO);
        let sent = flat(&mut outbox);
        assert!(sent.ends_with(b"xxx\r\n") && sent.len() == entry_len(&ledger));
    }

    fn entry_len(ledger: &InFlight) -> usize {
        ledger.entry(0).unwrap().span.len() + SHARED_LEN_MIN + 2
    }

    #[test]
    fn the_settled_front_is_dropped_and_only_that() {
        let mut ledger = InFlight::default();
        for tag in 0..4 {
            ledger.push(&parts(b"hello", None), Owner::Tag(tag), 0);
        }
        ledger.entry_mut(1).unwrap().state = State::Settled { seq: Some(7) };
        assert!(!ledger.pop_settled(|_| panic!("nothing to drop")));
        ledger.entry_mut(0).unwrap().state = State::Settled { seq: None };
        let mut dropped = Vec::new();
        assert!(ledger.pop_settled(|seq| dropped.push(seq)));
        assert_eq!((dropped, ledger.front(), ledger.len()), (alloc::vec![None, Some(7)], 2, 2));
        let entry = ledger.entry(2).unwrap();
        assert_eq!((ledger.subject(entry), ledger.payload(entry)), (&b"ord.1"[..], &b"hello"[..]));
    }
}
