//! `Nats-Msg-Id`: the name by which a stream knows a message again.

use core::fmt;

/// The longest id, bytes. The server takes longer ones, but holds every id in memory for the whole duplicate window.
pub const MSG_ID_LEN_MAX: usize = 1024;

/// The value of a `Nats-Msg-Id` header: 1 to [`MSG_ID_LEN_MAX`] bytes, no control character, no white space at either end.
///
/// The server takes an empty id for none at all, and a space at an end for a part of it: both would lose the promise that a
/// replay is a duplicate, so neither can be written.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MsgId<'a>(&'a str);

/// Why a text is no message id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MsgIdError {
    /// The text is empty.
    Empty,
    /// Longer than [`MSG_ID_LEN_MAX`]; this many bytes.
    TooLong(usize),
    /// White space at the beginning or the end.
    Padded,
    /// A control character.
    Forbidden(char),
}

impl<'a> MsgId<'a> {
    /// Checks that `text` can be an id.
    ///
    /// # Errors
    /// What about `text` cannot be sent, see [`MsgIdError`].
    pub fn new(text: &'a str) -> Result<Self, MsgIdError> {
        if text.is_empty() {
            return Err(MsgIdError::Empty);
        }
        if text.len() > MSG_ID_LEN_MAX {
            return Err(MsgIdError::TooLong(text.len()));
        }
        // Nearly every id is printable ASCII without blanks; one look at each byte is enough for those.
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text));
        }
        if let Some(forbidden) = text.chars().find(|c| c.is_control()) {
            return Err(MsgIdError::Forbidden(forbidden));
        }
        if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
            return Err(MsgIdError::Padded);
        }
        Ok(Self(text))
    }

    /// An id that was made so that it can only be right.
    #[cfg(feature = "sink")]
    pub(crate) fn made(text: &'a str) -> Self {
        debug_assert!(Self::new(text).is_ok(), "{text:?} is no id");
        Self(text)
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for MsgId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for MsgIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a message id cannot be empty: the server would take it for none"),
            Self::TooLong(len) => write!(f, "the message id is {len} bytes long, and {MSG_ID_LEN_MAX} are the most"),
            Self::Padded => f.write_str("a message id cannot begin or end with white space"),
            Self::Forbidden(c) => write!(f, "{c:?} is a control character, which no message id may hold"),
        }
    }
}

impl core::error::Error for MsgIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for text in ["a", "orders-17", "a b", "é", "pipeline:1.2@3"] {
            assert_eq!(MsgId::new(text).map(MsgId::as_str), Ok(text));
        }
        assert!(MsgId::new(&"x".repeat(MSG_ID_LEN_MAX)).is_ok());
        let long = "x".repeat(MSG_ID_LEN_MAX + 1);
        for (text, error) in [
            ("", MsgIdError::Empty),
            (" a", MsgIdError::Padded),
            ("a ", MsgIdError::Padded),
            (" ", MsgIdError::Padded),
            ("a\r\nX: y", MsgIdError::Forbidden('\r')),
            ("a\0", MsgIdError::Forbidden('\0')),
            ("a\tb", MsgIdError::Forbidden('\t')),
            (&long, MsgIdError::TooLong(MSG_ID_LEN_MAX + 1)),
        ] {
            assert_eq!(MsgId::new(text), Err(error), "{text:?}");
        }
    }
}
