//! The encoder: appends ops to a buffer. Whatever could end a line early was refused when the typed arguments were made.
//!
//! ```
//! use natsink::proto::{Subject, encode};
//!
//! let mut out = Vec::new();
//! encode::publish(&mut out, Subject::new("orders.new")?, None, None, b"hello");
//! assert_eq!(out, b"PUB orders.new 5\r\nhello\r\n");
//! # Ok::<(), natsink::proto::SubjectError>(())
//! ```

use alloc::vec::Vec;

use super::connect::Connect;
use super::decimal::{decimal_len, push_decimal};
use super::headers::{HeaderBlock, VERSION};
use super::subject::{Pattern, Subject};

/// The longest control line a server takes, bytes without op name and line end. It closes the connection over a longer one.
pub const CONTROL_LINE_MAX: usize = 4096;

/// `CONNECT`, a client's introduction.
pub fn connect(out: &mut Vec<u8>, connect: &Connect<'_>) {
    out.extend_from_slice(b"CONNECT ");
    connect.push_json(out);
    out.extend_from_slice(b"\r\n");
}

/// `PING`.
pub fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PING\r\n");
}

/// `PONG`.
pub fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG\r\n");
}

/// `SUB`: messages that match `pattern` come with this `sid` from now on. The server ignores a second SUB with the same sid.
pub fn sub(out: &mut Vec<u8>, pattern: &Pattern, queue: Option<Subject<'_>>, sid: u64) {
    out.extend_from_slice(b"SUB ");
    push_word(out, pattern.as_str());
    if let Some(queue) = queue {
        push_word(out, queue.as_str());
    }
    push_decimal(out, sid);
    out.extend_from_slice(b"\r\n");
}

/// What a subscription takes of the server's [`CONTROL_LINE_MAX`] under the longest `sid`, bytes.
pub fn sub_line_len(pattern: &Pattern, queue: Option<Subject<'_>>) -> usize {
    let queue_len = queue.map_or(0, |queue| queue.as_str().len() + 1);
    pattern.as_str().len() + 1 + queue_len + decimal_len(u64::MAX)
}

/// `UNSUB`: no messages with this `sid` any more, at once or after `max` of them in all.
pub fn unsub(out: &mut Vec<u8>, sid: u64, max: Option<u64>) {
    out.extend_from_slice(b"UNSUB ");
    push_decimal(out, sid);
    if let Some(max) = max {
        out.push(b' ');
        push_decimal(out, max);
    }
    out.extend_from_slice(b"\r\n");
}

/// `PUB`, or `HPUB` where there are headers: a message. The caller keeps [`publish_line_len`] within [`CONTROL_LINE_MAX`].
pub fn publish(
    out: &mut Vec<u8>,
    subject: Subject<'_>,
    reply: Option<Subject<'_>>,
    headers: Option<&HeaderBlock>,
    payload: &[u8],
) {
    let lines = headers.map_or(&[][..], HeaderBlock::as_bytes);
    let names_len = subject.as_str().len() + reply.map_or(0, |reply| reply.as_str().len());
    // Op, blanks, two lengths, version, line ends: below 80 bytes.
    out.reserve(names_len + lines.len() + payload.len() + 80);
    out.extend_from_slice(if lines.is_empty() { b"PUB " } else { b"HPUB " });
    push_word(out, subject.as_str());
    if let Some(reply) = reply {
        push_word(out, reply.as_str());
    }
    if lines.is_empty() {
        push_decimal(out, payload.len() as u64);
        out.extend_from_slice(b"\r\n");
    } else {
        let headers_len = VERSION.len() + 2 + lines.len() + 2;
        push_decimal(out, headers_len as u64);
        out.push(b' ');
        push_decimal(out, (headers_len + payload.len()) as u64);
        out.extend_from_slice(b"\r\nNATS/1.0\r\n");
        out.extend_from_slice(lines);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// What a publish takes of the server's [`CONTROL_LINE_MAX`]: subject, reply, lengths and the blanks between, bytes.
/// `headers_len` is that of the whole block, version line and blank line included.
pub fn publish_line_len(
    subject: Subject<'_>,
    reply: Option<Subject<'_>>,
    headers_len: Option<usize>,
    payload_len: usize,
) -> usize {
    let reply_len = reply.map_or(0, |reply| reply.as_str().len() + 1);
    let headers_word_len = headers_len.map_or(0, |len| decimal_len(len as u64) + 1);
    let total_len = headers_len.unwrap_or(0) + payload_len;
    subject.as_str().len() + 1 + reply_len + headers_word_len + decimal_len(total_len as u64)
}

/// `INFO`, a server's introduction. `json` is one line; like the real server's, it is followed by a space.
pub fn info(out: &mut Vec<u8>, json: &str) {
    out.extend_from_slice(b"INFO ");
    push_one_line(out, json);
    out.extend_from_slice(b" \r\n");
}

/// `MSG`, or `HMSG` where there are headers (a whole block): a message delivered.
pub fn msg(
    out: &mut Vec<u8>,
    subject: Subject<'_>,
    sid: u64,
    reply: Option<Subject<'_>>,
    headers: Option<&[u8]>,
    payload: &[u8],
) {
    out.extend_from_slice(if headers.is_some() { b"HMSG " } else { b"MSG " });
    push_word(out, subject.as_str());
    push_decimal(out, sid);
    out.push(b' ');
    if let Some(reply) = reply {
        push_word(out, reply.as_str());
    }
    let headers_len = headers.map_or(0, <[u8]>::len);
    if headers.is_some() {
        push_decimal(out, headers_len as u64);
        out.push(b' ');
    }
    push_decimal(out, (headers_len + payload.len()) as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(headers.unwrap_or_default());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// `-ERR`: the server complains.
pub fn err(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"-ERR '");
    push_one_line(out, text);
    out.extend_from_slice(b"'\r\n");
}

/// `+OK`: the answer to any op in verbose mode.
pub fn ok(out: &mut Vec<u8>) {
    out.extend_from_slice(b"+OK\r\n");
}

fn push_word(out: &mut Vec<u8>, word: &str) {
    out.extend_from_slice(word.as_bytes());
    out.push(b' ');
}

/// Free text: its line ends become spaces.
fn push_one_line(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> alloc::string::String {
        let mut out = Vec::new();
        write(&mut out);
        alloc::string::String::from_utf8(out).unwrap()
    }

    fn subject(text: &str) -> Subject<'_> {
        Subject::new(text).unwrap()
    }

    #[test]
    fn publishes_are_the_bytes_that_the_real_server_took() {
        let mut headers = HeaderBlock::new();
        let plain = written(|out| publish(out, subject("ord.1"), Some(subject("_INBOX.T1.7")), None, b"plain"));
        assert_eq!(plain, "PUB ord.1 _INBOX.T1.7 5\r\nplain\r\n");
        let empty = written(|out| publish(out, subject("a"), None, Some(&headers), b""));
        assert_eq!(empty, "PUB a 0\r\n\r\n");
        headers.push("Nats-Msg-Id", "id-1").unwrap();
        let with_id =
            written(|out| publish(out, subject("ord.1"), Some(subject("_INBOX.T1.2")), Some(&headers), b"hello"));
        assert_eq!(with_id, "HPUB ord.1 _INBOX.T1.2 31 36\r\nNATS/1.0\r\nNats-Msg-Id: id-1\r\n\r\nhello\r\n");
    }

    #[test]
    fn the_line_length_is_that_of_the_line() {
        let (name, reply) = (subject("ord.1"), Some(subject("_INBOX.T1.2")));
        assert_eq!(publish_line_len(name, reply, Some(31), 5), "ord.1 _INBOX.T1.2 31 36".len());
        assert_eq!(publish_line_len(name, reply, None, 5), "ord.1 _INBOX.T1.2 5".len());
        assert_eq!(publish_line_len(name, None, None, 0), "ord.1 0".len());
        assert_eq!(publish_line_len(name, None, Some(12), 88), "ord.1 12 100".len());
    }

    #[test]
    fn subscriptions() {
        let pattern = Pattern::new("_INBOX.T1.>").unwrap();
        assert_eq!(written(|out| sub(out, &pattern, None, 1)), "SUB _INBOX.T1.> 1\r\n");
        assert_eq!(written(|out| sub(out, &pattern, Some(subject("q")), 20)), "SUB _INBOX.T1.> q 20\r\n");
        assert_eq!(written(|out| unsub(out, 7, None)), "UNSUB 7\r\n");
        assert_eq!(written(|out| unsub(out, 7, Some(100))), "UNSUB 7 100\r\n");
    }

    #[test]
    fn what_a_server_says() {
        assert_eq!(written(|out| info(out, "{}")), "INFO {} \r\n");
        assert_eq!(written(|out| err(out, "a\r\nPING")), "-ERR 'a  PING'\r\n");
        assert_eq!(written(ok), "+OK\r\n");
        assert_eq!(written(ping), "PING\r\n");
        assert_eq!(written(pong), "PONG\r\n");
        assert_eq!(written(|out| msg(out, subject("a"), 1, None, None, b"x")), "MSG a 1 1\r\nx\r\n");
        assert_eq!(written(|out| msg(out, subject("a"), 1, Some(subject("r")), None, b"")), "MSG a 1 r 0\r\n\r\n");
        let block = b"NATS/1.0 503\r\n\r\n";
        assert_eq!(
            written(|out| msg(out, subject("a"), 1, None, Some(block), b"x")),
            "HMSG a 1 16 17\r\nNATS/1.0 503\r\n\r\nx\r\n"
        );
    }
}
