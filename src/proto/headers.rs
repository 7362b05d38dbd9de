//! Header blocks: a checked one to send, a borrowed view of a received one.

use alloc::string::String;
use core::fmt;

/// The longest block that a stream takes, version line and blank line included, bytes (JetStream error 10097).
pub const HEADERS_LEN_MAX: usize = 64 * 1024 - 1;

/// What every block begins with.
pub(super) const VERSION: &[u8] = b"NATS/1.0";
/// `NATS/1.0\r\n` before the lines and `\r\n` after them.
const FRAME_LEN: usize = VERSION.len() + 4;

/// Header lines to send, in the order in which they were pushed. Clearing keeps the memory.
///
/// The block holds `Name: value\r\n` lines only; version line and blank line are the encoder's.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderBlock {
    lines: String,
}

/// A received block, its version line and its end checked. The lines are read when asked for: a line that is no header
/// (no colon, no name) is skipped, values are bytes as they came.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    block: &'a [u8],
    /// What follows the version on its line.
    first_line: &'a [u8],
    /// The lines after it, the blank one included.
    lines: &'a [u8],
}

/// Why a header cannot be sent, or a received block cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HeaderError {
    /// A name is printable ASCII without colon and space, and not empty.
    Name(String),
    /// The value of this header has a CR, LF or NUL.
    Value(String),
    /// The block would be longer than [`HEADERS_LEN_MAX`]; this many bytes.
    TooLong(usize),
    /// The received block does not begin with `NATS/1.0`.
    NoVersion,
    /// The received block does not end with a blank line.
    NoBlankLine,
}

impl HeaderBlock {
    /// An empty block.
    pub const fn new() -> Self {
        Self { lines: String::new() }
    }

    /// Adds a line. Names keep their case, the server compares them exactly: `nats-msg-id` is not `Nats-Msg-Id`.
    ///
    /// # Errors
    /// The block is unchanged when name or value cannot be sent, or the block would pass [`HEADERS_LEN_MAX`].
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
            return Err(HeaderError::Name(abridged(name)));
        }
        if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(HeaderError::Value(abridged(name)));
        }
        let len = FRAME_LEN + self.lines.len() + name.len() + value.len() + 4;
        if len > HEADERS_LEN_MAX {
            return Err(HeaderError::TooLong(len));
        }
        self.lines.push_str(name);
        self.lines.push_str(": ");
        self.lines.push_str(value);
        self.lines.push_str("\r\n");
        Ok(())
    }

    /// Removes all lines.
    pub fn clear(&mut self) {
        self.lines.clear();
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines, each with its CRLF.
    pub fn as_bytes(&self) -> &[u8] {
        self.lines.as_bytes()
    }

    /// How long the whole block is, version line and blank line included.
    pub fn encoded_len(&self) -> usize {
        FRAME_LEN + self.lines.len()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.split_terminator("\r\n").filter_map(|line| line.split_once(": "))
    }
}

impl<'a> Headers<'a> {
    /// Reads a block as it stands between control line and payload. Looks at its first line and its last four bytes only.
    ///
    /// # Errors
    /// [`HeaderError::NoVersion`] or [`HeaderError::NoBlankLine`]; such blocks are the sender's fault, not the server's.
    pub fn parse(block: &'a [u8]) -> Result<Self, HeaderError> {
        let rest = block.strip_prefix(VERSION).ok_or(HeaderError::NoVersion)?;
        if !rest.ends_with(b"\r\n\r\n") {
            return Err(HeaderError::NoBlankLine);
        }
        let end = crlf(rest).ok_or(HeaderError::NoBlankLine)?;
        let (first_line, lines) = (&rest[..end], &rest[end + 2..]);
        if first_line.first().is_some_and(|byte| !is_blank(*byte)) {
            return Err(HeaderError::NoVersion);
        }
        Ok(Self { block, first_line: trim_start(first_line), lines })
    }

    /// The whole block, as it came.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.block
    }

    /// The status of a message that the server (or anyone: trust it on your own inbox only) made: 100 to 999.
    pub fn status(&self) -> Option<u16> {
        let (digits, rest) = self.first_line.split_at_checked(3)?;
        if digits[0] == b'0'
            || !digits.iter().all(u8::is_ascii_digit)
            || rest.first().is_some_and(|&byte| !is_blank(byte))
        {
            return None;
        }
        Some(digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
    }

    /// The words after the status.
    pub fn description(&self) -> Option<&'a [u8]> {
        self.status()?;
        let words = trim_start(&self.first_line[3..]);
        (!words.is_empty()).then_some(words)
    }

    /// The value of the first header with exactly this name.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
    }

    /// Names and values, in order, doubles included. Blanks before a value are not part of it.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.lines;
        core::iter::from_fn(move || {
            loop {
                let end = crlf(rest).filter(|&end| end > 0)?;
                let line = &rest[..end];
                rest = &rest[end + 2..];
                if let Some(colon) = memchr::memchr(b':', line).filter(|&colon| colon > 0) {
                    return Some((&line[..colon], trim_start(&line[colon + 1..])));
                }
            }
        })
    }
}

/// Where the first CRLF of `bytes` begins.
fn crlf(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find(|&at| at > 0 && bytes[at - 1] == b'\r').map(|at| at - 1)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|&&byte| is_blank(byte)).count();
    &bytes[blanks..]
}

/// Enough of a name to recognise it.
fn abridged(name: &str) -> String {
    name.chars().take(64).collect()
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => {
                write!(f, "{name:?} is no header name: use printable ASCII without colon and space")
            }
            Self::Value(name) => {
                write!(f, "the value of header {name:?} has a CR, LF or NUL, which would end it early")
            }
            Self::TooLong(len) => write!(f, "the headers are {len} bytes long, and a stream takes {HEADERS_LEN_MAX}"),
            Self::NoVersion => f.write_str("the header block does not begin with NATS/1.0"),
            Self::NoBlankLine => f.write_str("the header block does not end with a blank line"),
        }
    }
}

impl core::error::Error for HeaderError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn pushed_lines_come_back() {
        let mut block = HeaderBlock::new();
        assert!(block.is_empty());
        block.push("Nats-TTL", "1s").unwrap();
        block.push("a", "").unwrap();
        block.push("b", "x: y").unwrap();
        block.push("b", "ü").unwrap();
        assert_eq!(block.as_bytes(), "Nats-TTL: 1s\r\na: \r\nb: x: y\r\nb: ü\r\n".as_bytes());
        let pairs: Vec<_> = block.iter().collect();
        assert_eq!(pairs, [("Nats-TTL", "1s"), ("a", ""), ("b", "x: y"), ("b", "ü")]);
        block.clear();
        assert!(block.is_empty());
        assert_eq!(block.iter().count(), 0);
    }

    #[test]
    fn nothing_can_be_smuggled_through_a_header() {
        let mut block = HeaderBlock::new();
        for name in ["", "a b", "a:", "a\r", "a\n", "ü", "\t", "a\0", "\u{7f}"] {
            assert_eq!(block.push(name, "x"), Err(HeaderError::Name(name.into())));
        }
        for value in ["\r", "\n", "a\r\nNats-Rollup: all", "a\0"] {
            assert_eq!(block.push("a", value), Err(HeaderError::Value("a".into())));
        }
        assert!(block.is_empty());
    }

    #[test]
    fn a_block_has_a_limit() {
        let mut block = HeaderBlock::new();
        block.push("a", &"x".repeat(HEADERS_LEN_MAX - FRAME_LEN - 5)).unwrap();
        assert_eq!(block.push("b", ""), Err(HeaderError::TooLong(HEADERS_LEN_MAX + 5)));
        block.clear();
        assert!(block.push("a", &"x".repeat(HEADERS_LEN_MAX - FRAME_LEN - 4)).is_err());
    }

    #[test]
    fn a_503_of_the_real_server() {
        let headers = Headers::parse(b"NATS/1.0 503\r\nNats-Subject: nostream.1\r\n\r\n").unwrap();
        assert_eq!(headers.status(), Some(503));
        assert_eq!(headers.description(), None);
        assert_eq!(headers.value("Nats-Subject"), Some(&b"nostream.1"[..]));
        assert_eq!(headers.value("nats-subject"), None);
    }

    #[test]
    fn statuses_real_and_forged() {
        let cases: &[(&str, Option<u16>, Option<&str>)] = &[
            ("NATS/1.0", None, None),
            ("NATS/1.0 ", None, None),
            ("NATS/1.0 5", None, None),
            ("NATS/1.0 50x", None, None),
            ("NATS/1.0 5034", None, None),
            ("NATS/1.0 099", None, None),
            ("NATS/1.0 503", Some(503), None),
            ("NATS/1.0 503 ", Some(503), None),
            ("NATS/1.0\t503 No Responders", Some(503), Some("No Responders")),
            ("NATS/1.0 999 hello", Some(999), Some("hello")),
            ("NATS/1.0 100 Idle Heartbeat", Some(100), Some("Idle Heartbeat")),
        ];
        for (line, status, description) in cases {
            let block = [line.as_bytes(), b"\r\n\r\n"].concat();
            let headers = Headers::parse(&block).unwrap();
            assert_eq!(headers.status(), *status, "{line}");
            assert_eq!(headers.description(), description.map(str::as_bytes), "{line}");
        }
    }

    #[test]
    fn blocks_that_are_none() {
        for block in [&b""[..], b"NATS/1.1\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"NATS/1.0503\r\n\r\n", b"nats/1.0\r\n\r\n"] {
            assert_eq!(Headers::parse(block).err(), Some(HeaderError::NoVersion));
        }
        for block in [&b"NATS/1.0"[..], b"NATS/1.0\r\n", b"NATS/1.0\r\na: b\r\n", b"NATS/1.0\n\n", b"NATS/1.0\r\n\r"] {
            assert_eq!(Headers::parse(block).err(), Some(HeaderError::NoBlankLine));
        }
    }

    #[test]
    fn odd_lines_are_skipped_and_bytes_are_kept() {
        let block = b"NATS/1.0\r\nno colon\r\n: no name\r\na:1\r\na: 2\r\nb: \xff\0\rx\ny\r\n folded: z \r\n\r\nafter: the end\r\n\r\n";
        let headers = Headers::parse(block).unwrap();
        let pairs: Vec<_> = headers.iter().collect();
        let expected: [(&[u8], &[u8]); 4] = [(b"a", b"1"), (b"a", b"2"), (b"b", b"\xff\0\rx\ny"), (b" folded", b"z ")];
        assert_eq!(pairs, expected);
        assert_eq!(headers.value("a"), Some(&b"1"[..]));
    }

    #[test]
    fn many_headers_take_linear_time() {
        let mut block = b"NATS/1.0\r\n".to_vec();
        for _ in 0..100_000 {
            block.extend_from_slice(b"k: v\r\n");
        }
        block.extend_from_slice(b"\r\n");
        let headers = Headers::parse(&block).unwrap();
        assert_eq!(headers.iter().count(), 100_000);
        assert_eq!(headers.value("absent"), None);
    }
}
