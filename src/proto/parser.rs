//! The parser: finds one op after the other in whatever bytes have come so far.
//!
//! # What counts as a line
//! A control line ends with CRLF. A line feed without a carriage return before it is an error, not a line end: then no two
//! readers can ever disagree about where an op ends. A carriage return alone is a byte like any other, and no op has one.
//! Ops are read in any case, blanks are spaces and tabs, any number of them; numbers are plain decimal digits.

use super::decimal::parse_decimal;
use super::op::{Frame, FrameOp, Span};
use super::op_name::{OpName, Side};
use super::parse_error::{Field, ParseError};

/// What the parser refuses to wait for. Each limit closes before anything is allocated for what it limits.
///
/// Values above 1 GiB count as 1 GiB, a `control_line_max` below 16 counts as 16.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ParserLimits {
    /// The longest control line, bytes without CRLF.
    pub control_line_max: usize,
    /// The longest INFO, CONNECT and -ERR line, bytes without CRLF.
    pub info_max: usize,
    /// The largest payload, headers included, bytes.
    pub payload_max: usize,
}

/// Finds the ops of one peer in the bytes received.
///
/// A call is a conversation: the parser is shown all bytes received and not yet consumed, and answers with the first op in
/// them, or that it needs more. It remembers how far it looked, so no byte is searched twice, and however the bytes are cut
/// into calls, the ops are the same.
///
/// ```
/// use natsink::proto::{Op, Parser, ParserLimits, Side};
///
/// let mut parser = Parser::new(Side::Server, ParserLimits::default());
/// assert_eq!(parser.frame(b"PING\r\nMSG a 1 5\r\nhe")?.map(|frame| frame.len), Some(6));
/// // The caller drops those 6 bytes.
/// assert_eq!(parser.frame(b"MSG a 1 5\r\nhe")?, None);
/// let received = b"MSG a 1 5\r\nhello\r\n";
/// let frame = parser.frame(received)?.expect("the message is complete");
/// assert_eq!(frame.op(received), Op::Msg { subject: b"a", sid: 1, reply: None, payload: b"hello" });
/// # Ok::<(), natsink::proto::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Parser {
    side: Side,
    limits: ParserLimits,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No line end in the first `searched` bytes.
    Line { searched: usize },
    /// The control line is read, the frame's bytes are not all there.
    Payload(Frame),
}

/// The words after the op. `count` goes on counting where `spans` ends.
struct Words {
    spans: [Span; Words::MAX],
    count: usize,
}

/// How many bytes a frame can have at most, per part. Three parts stay below 4 GiB.
const PART_MAX: usize = 1 << 30;

impl Default for ParserLimits {
    /// 4 KiB control lines and 1 MiB INFO, as the server has them, and the largest payload it can be configured to.
    fn default() -> Self {
        Self { control_line_max: 4096, info_max: 1 << 20, payload_max: 64 << 20 }
    }
}

impl Parser {
    /// A parser at the beginning of a connection.
    pub fn new(side: Side, limits: ParserLimits) -> Self {
        let limits = ParserLimits {
            control_line_max: limits.control_line_max.clamp(16, PART_MAX),
            info_max: limits.info_max.clamp(16, PART_MAX),
            payload_max: limits.payload_max.min(PART_MAX),
        };
        Self { side, limits, state: State::Line { searched: 0 } }
    }

    /// The first op in `buf`, the bytes received and not yet consumed; `None` when it is not complete yet.
    ///
    /// After `Some(frame)` the next call must be shown the bytes after `frame.len`; after `None` the same bytes with more
    /// behind them.
    ///
    /// # Errors
    /// The peer broke the protocol. Every further call says so again: what follows cannot be told apart any more, so the
    /// connection has to go.
    pub fn frame(&mut self, buf: &[u8]) -> Result<Option<Frame>, ParseError> {
        let frame = match self.state {
            State::Payload(frame) => frame,
            State::Line { searched } => {
                let Some(line) = self.line(buf, searched)? else { return Ok(None) };
                self.control_line(line)?
            }
        };
        if buf.len() < frame.len {
            self.state = State::Payload(frame);
            return Ok(None);
        }
        if !buf[..frame.len].ends_with(b"\r\n") {
            self.state = State::Payload(frame);
            return Err(ParseError::PayloadEnd(frame.op.name()));
        }
        self.state = State::Line { searched: 0 };
        Ok(Some(frame))
    }

    /// The first line of `buf`, without its CRLF.
    fn line<'a>(&mut self, buf: &'a [u8], searched: usize) -> Result<Option<&'a [u8]>, ParseError> {
        let max = self.line_max(buf);
        // A line of `max` bytes has its LF at `max + 1`: there is no need to look further.
        let end = buf.len().min(max + 2);
        let Some(at) = buf.get(searched..end).and_then(|unseen| memchr::memchr(b'\n', unseen)) else {
            if buf.len() >= max + 2 {
                return Err(ParseError::LineTooLong { max });
            }
            self.state = State::Line { searched: buf.len() };
            return Ok(None);
        };
        match buf[..searched + at].split_last() {
            Some((b'\r', line)) => Ok(Some(line)),
            _ => Err(ParseError::BareLineFeed),
        }
    }

    /// INFO, CONNECT and -ERR carry more than a control line does.
    fn line_max(&self, buf: &[u8]) -> usize {
        let long = match buf.first() {
            Some(b'I' | b'i') => starts_with_op(buf, b"INFO"),
            Some(b'C' | b'c') => starts_with_op(buf, b"CONNECT"),
            Some(b'-') => starts_with_op(buf, b"-ERR"),
            _ => false,
        };
        if long { self.limits.info_max } else { self.limits.control_line_max }
    }

    fn control_line(&self, line: &[u8]) -> Result<Frame, ParseError> {
        if self.side == Side::Server
            && let Some(frame) = self.plain_msg(line)
        {
            return Ok(frame);
        }
        let op_len = line.iter().position(|&byte| is_blank(byte)).unwrap_or(line.len());
        let op = OpName::of(&line[..op_len]).filter(|op| op.is_of(self.side));
        match op {
            Some(op @ OpName::Msg) => self.msg(op, line, op_len),
            Some(op @ OpName::HMsg) => self.hmsg(op, line, op_len),
            Some(op @ OpName::Pub) => self.publish(op, line, op_len),
            Some(op @ OpName::HPub) => self.hpub(op, line, op_len),
            Some(op @ OpName::Sub) => sub(op, line, op_len),
            Some(op @ OpName::Unsub) => unsub(op, line, op_len),
            Some(OpName::Info) => Ok(no_payload(line, FrameOp::Info(trimmed(line, op_len)))),
            Some(OpName::Connect) => Ok(no_payload(line, FrameOp::Connect(trimmed(line, op_len)))),
            Some(OpName::Err) => Ok(no_payload(line, FrameOp::Err(self.error_text(line, op_len)))),
            Some(op @ OpName::Ping) => bare(op, line, op_len, FrameOp::Ping),
            Some(op @ OpName::Pong) => bare(op, line, op_len, FrameOp::Pong),
            Some(op @ OpName::Ok) => bare(op, line, op_len, FrameOp::Ok),
            None => Err(ParseError::unknown_op(&line[..op_len])),
        }
    }

    /// A message without reply, written as servers write it: nearly every op that a publisher reads. `None` for anything else,
    /// right or wrong, which is read word by word.
    fn plain_msg(&self, line: &[u8]) -> Option<Frame> {
        let words = line.strip_prefix(b"MSG ")?;
        let (words, len) = last_number(words)?;
        let (subject, sid) = last_number(words)?;
        let len = usize::try_from(len).ok().filter(|&len| len <= self.limits.payload_max)?;
        if subject.is_empty() || memchr::memchr2(b' ', b'\t', subject).is_some() {
            return None;
        }
        let subject = Span::new(4, 4 + subject.len());
        let payload = Span::new(line.len() + 2, line.len() + 2 + len);
        Some(Frame { op: FrameOp::Msg { subject, sid, reply: None, payload }, len: payload.end as usize + 2 })
    }

    fn msg(&self, op: OpName, line: &[u8], op_len: usize) -> Result<Frame, ParseError> {
        let words = Words::of(line, op_len);
        let (subject, sid, reply, len) = match (words.count, words.spans) {
            (3, [subject, sid, len, ..]) => (subject, sid, None, len),
            (4, [subject, sid, reply, len, ..]) => (subject, sid, Some(reply), len),
            (found, _) => return Err(ParseError::Arguments { op, found }),
        };
        let sid = number(op, Field::Sid, sid.of(line))?;
        let payload = self.payload(op, line, number(op, Field::Length, len.of(line))?)?;
        Ok(Frame { op: FrameOp::Msg { subject, sid, reply, payload }, len: payload.end as usize + 2 })
    }

    fn hmsg(&self, op: OpName, line: &[u8], op_len: usize) -> Result<Frame, ParseError> {
        let words = Words::of(line, op_len);
        let (subject, sid, reply, headers, total) = match (words.count, words.spans) {
            (4, [subject, sid, headers, total, ..]) => (subject, sid, None, headers, total),
            (5, [subject, sid, reply, headers, total]) => (subject, sid, Some(reply), headers, total),
            (found, _) => return Err(ParseError::Arguments { op, found }),
        };
        let sid = number(op, Field::Sid, sid.of(line))?;
        let (headers, payload) = self.headers_and_payload(op, line, headers, total)?;
        Ok(Frame { op: FrameOp::HMsg { subject, sid, reply, headers, payload }, len: payload.end as usize + 2 })
    }

    fn publish(&self, op: OpName, line: &[u8], op_len: usize) -> Result<Frame, ParseError> {
        let words = Words::of(line, op_len);
        let (subject, reply, len) = match (words.count, words.spans) {
            (2, [subject, len, ..]) => (subject, None, len),
            (3, [subject, reply, len, ..]) => (subject, Some(reply), len),
            (found, _) => return Err(ParseError::Arguments { op, found }),
        };
        let payload = self.payload(op, line, number(op, Field::Length, len.of(line))?)?;
        Ok(Frame { op: FrameOp::Pub { subject, reply, payload }, len: payload.end as usize + 2 })
    }

    fn hpub(&self, op: OpName, line: &[u8], op_len: usize) -> Result<Frame, ParseError> {
        let words = Words::of(line, op_len);
        let (subject, reply, headers, total) = match (words.count, words.spans) {
            (3, [subject, headers, total, ..]) => (subject, None, headers, total),
            (4, [subject, reply, headers, total, ..]) => (subject, Some(reply), headers, total),
            (found, _) => return Err(ParseError::Arguments { op, found }),
        };
        let (headers, payload) = self.headers_and_payload(op, line, headers, total)?;
        Ok(Frame { op: FrameOp::HPub { subject, reply, headers, payload }, len: payload.end as usize + 2 })
    }

    /// The place of a payload of `len` bytes after the line.
    fn payload(&self, op: OpName, line: &[u8], len: u64) -> Result<Span, ParseError> {
        let max = self.limits.payload_max;
        match usize::try_from(len) {
            Ok(len) if len <= max => Ok(Span::new(line.len() + 2, line.len() + 2 + len)),
            _ => Err(ParseError::PayloadTooLarge { op, len, max }),
        }
    }

    fn headers_and_payload(
        &self,
        op: OpName,
        line: &[u8],
        headers: Span,
        total: Span,
    ) -> Result<(Span, Span), ParseError> {
        let headers = number(op, Field::HeaderLength, headers.of(line))?;
        let total = number(op, Field::Length, total.of(line))?;
        let whole = self.payload(op, line, total)?;
        if headers > total {
            return Err(ParseError::HeadersTooLong { op, headers, total });
        }
        // No more than `total`, which is no more than `payload_max`.
        let split = whole.start + headers as u32;
        Ok((Span { end: split, ..whole }, Span { start: split, ..whole }))
    }

    /// The text of a -ERR without the quotes around it, if there are any.
    fn error_text(&self, line: &[u8], op_len: usize) -> Span {
        let mut text = trimmed(line, op_len);
        let bytes = text.of(line);
        text.start += u32::from(bytes.first() == Some(&b'\''));
        text.end -= u32::from(bytes.len() > 1 && bytes.last() == Some(&b'\''));
        text.end = text.end.min(text.start + self.limits.control_line_max as u32);
        text
    }
}

fn sub(op: OpName, line: &[u8], op_len: usize) -> Result<Frame, ParseError> {
    let words = Words::of(line, op_len);
    let (subject, queue, sid) = match (words.count, words.spans) {
        (2, [subject, sid, ..]) => (subject, None, sid),
        (3, [subject, queue, sid, ..]) => (subject, Some(queue), sid),
        (found, _) => return Err(ParseError::Arguments { op, found }),
    };
    Ok(no_payload(line, FrameOp::Sub { subject, queue, sid }))
}

fn unsub(op: OpName, line: &[u8], op_len: usize) -> Result<Frame, ParseError> {
    let words = Words::of(line, op_len);
    let (sid, max) = match (words.count, words.spans) {
        (1, [sid, ..]) => (sid, None),
        (2, [sid, max, ..]) => (sid, Some(number(op, Field::Max, max.of(line))?)),
        (found, _) => return Err(ParseError::Arguments { op, found }),
    };
    Ok(no_payload(line, FrameOp::Unsub { sid, max }))
}

/// An op without arguments.
fn bare(op: OpName, line: &[u8], op_len: usize, frame: FrameOp) -> Result<Frame, ParseError> {
    match Words::of(line, op_len).count {
        0 => Ok(no_payload(line, frame)),
        found => Err(ParseError::Arguments { op, found }),
    }
}

fn no_payload(line: &[u8], op: FrameOp) -> Frame {
    Frame { op, len: line.len() + 2 }
}

impl Words {
    /// HMSG with a reply has the most.
    const MAX: usize = 5;

    fn of(line: &[u8], op_len: usize) -> Self {
        let mut words = Self { spans: [Span::default(); Self::MAX], count: 0 };
        let mut at = op_len;
        loop {
            while at < line.len() && is_blank(line[at]) {
                at += 1;
            }
            if at == line.len() {
                return words;
            }
            let start = at;
            while at < line.len() && !is_blank(line[at]) {
                at += 1;
            }
            if let Some(span) = words.spans.get_mut(words.count) {
                *span = Span::new(start, at);
            }
            words.count += 1;
        }
    }
}

/// Splits off the number at the end and the one space before it. Nineteen digits cannot overflow; longer ones are left alone.
fn last_number(words: &[u8]) -> Option<(&[u8], u64)> {
    let (mut number, mut power) = (0_u64, 1_u64);
    for (digits, &byte) in words.iter().rev().enumerate() {
        let value = byte.wrapping_sub(b'0');
        if value > 9 {
            let before = words.len() - digits - 1;
            return (byte == b' ' && digits > 0).then_some((&words[..before], number));
        }
        if digits == 19 {
            return None;
        }
        number += u64::from(value) * power;
        power = power.wrapping_mul(10);
    }
    None
}

/// Everything after the op, blanks at both ends cut away.
fn trimmed(line: &[u8], op_len: usize) -> Span {
    let rest = &line[op_len..];
    let start = rest.iter().position(|&byte| !is_blank(byte)).unwrap_or(rest.len());
    let end = rest.iter().rposition(|&byte| !is_blank(byte)).map_or(start, |last| last + 1);
    Span::new(op_len + start, op_len + end)
}

/// A whole word in front, whether or not the line is.
fn starts_with_op(buf: &[u8], op: &[u8]) -> bool {
    buf.get(op.len()).is_some_and(|&byte| is_blank(byte)) && buf[..op.len()].eq_ignore_ascii_case(op)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn number(op: OpName, field: Field, digits: &[u8]) -> Result<u64, ParseError> {
    parse_decimal(digits).ok_or(ParseError::Number { op, field })
}
