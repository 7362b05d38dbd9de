//! Subjects to publish to, patterns to subscribe to, and the one rule for their tokens.

use alloc::boxed::Box;
use core::fmt;

/// The longest subject or pattern, bytes. The server closes a connection whose control line passes 4096 bytes, and that
/// line carries a reply subject and lengths too.
pub const SUBJECT_LEN_MAX: usize = 4000;

/// A subject to publish to: tokens joined by dots, none empty, none with a wildcard, white space or control character.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Subject<'a>(&'a str);

/// A [`Subject`] that owns its text.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubjectBuf(Box<str>);

/// What a subscription or a stream listens to: a subject in which `*` stands for one token and a last `>` for one or more.
///
/// As for the server, a wildcard counts only where it is a whole token: `a*` is a literal token.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pattern(Box<str>);

/// Why a text is no subject.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SubjectError {
    /// The text is empty.
    Empty,
    /// A token is empty: a dot at either end, or two in a row.
    EmptyToken,
    /// White space or a control character.
    Forbidden(char),
    /// A wildcard in a subject to publish to, or a `>` that is not the last token of a pattern.
    Wildcard,
    /// Longer than [`SUBJECT_LEN_MAX`]; this many bytes.
    TooLong(usize),
}

impl<'a> Subject<'a> {
    /// Checks that `text` can be published to.
    ///
    /// # Errors
    /// The first thing about `text` that no server takes, see [`SubjectError`].
    pub fn new(text: &'a str) -> Result<Self, SubjectError> {
        check(text)?;
        if memchr::memchr2(b'*', b'>', text.as_bytes()).is_some() {
            return Err(SubjectError::Wildcard);
        }
        Ok(Self(text))
    }

    /// A subject that was checked before.
    #[cfg(feature = "sink")]
    pub(crate) fn checked(text: &'a str) -> Self {
        debug_assert!(Self::new(text).is_ok(), "{text:?} is no subject");
        Self(text)
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// A copy that owns its text.
    pub fn to_buf(self) -> SubjectBuf {
        SubjectBuf(self.0.into())
    }
}

impl SubjectBuf {
    /// The subject, borrowed.
    pub fn as_subject(&self) -> Subject<'_> {
        Subject(&self.0)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Pattern {
    /// Checks that `text` can be subscribed to.
    ///
    /// # Errors
    /// The first thing about `text` that no server takes, see [`SubjectError`].
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, SubjectError> {
        let text = text.into();
        check(&text)?;
        let not_last = text.rsplit('.').skip(1);
        if not_last.into_iter().any(|token| token == ">") {
            return Err(SubjectError::Wildcard);
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether some subject is matched by both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
                _ => return false,
            }
        }
    }

    /// Whether a message to `subject` is for a subscriber of this pattern.
    pub fn matches(&self, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for wanted in self.0.split('.') {
            match (wanted, tokens.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (literal, Some(token)) if literal == token => {}
                (_, Some(_)) => return false,
            }
        }
        tokens.next().is_none()
    }
}

/// Whether `text` is one literal token: not empty, no dot, wildcard, white space or control character.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c| matches!(c, '.' | '*' | '>') || is_forbidden(c))
}

/// The rules that subjects and patterns share.
fn check(text: &str) -> Result<(), SubjectError> {
    if text.is_empty() {
        return Err(SubjectError::Empty);
    }
    if text.len() > SUBJECT_LEN_MAX {
        return Err(SubjectError::TooLong(text.len()));
    }
    let mut before = b'.';
    let mut ascii = true;
    for &byte in text.as_bytes() {
        if byte <= b' ' || byte == 0x7f {
            return Err(SubjectError::Forbidden(char::from(byte)));
        }
        if byte == b'.' && before == b'.' {
            return Err(SubjectError::EmptyToken);
        }
        ascii &= byte.is_ascii();
        before = byte;
    }
    if before == b'.' {
        return Err(SubjectError::EmptyToken);
    }
    if !ascii && let Some(forbidden) = text.chars().find(|&c| is_forbidden(c)) {
        return Err(SubjectError::Forbidden(forbidden));
    }
    Ok(())
}

fn is_forbidden(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for SubjectBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SubjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a subject cannot be empty"),
            Self::EmptyToken => {
                f.write_str("a token of the subject is empty: remove the dot at its end or the double dot")
            }
            Self::Forbidden(c) => write!(f, "{c:?} is white space or a control character, which no subject may hold"),
            Self::Wildcard => f.write_str("a wildcard, `*` or `>`, stands where a subject can have none"),
            Self::TooLong(len) => write!(f, "the subject is {len} bytes long, and {SUBJECT_LEN_MAX} are the most"),
        }
    }
}

impl core::error::Error for SubjectError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn patterns_overlap_when_a_subject_matches_both() {
        let overlap = |a: &str, b: &str| Pattern::new(a).unwrap().overlaps(&Pattern::new(b).unwrap());
        for (a, b) in [("a.b", "a.b"), ("a.*", "*.b"), ("a.>", "a.b.c"), (">", "a"), ("a.*.c", "a.>"), ("*.*", "a.>")] {
            assert!(overlap(a, b) && overlap(b, a), "{a} {b}");
        }
        for (a, b) in [("a", "b"), ("a.*", "a"), ("a.>", "a"), ("a.*", "b.>"), ("*.b", "a.c"), ("a.b", "a.b.c")] {
            assert!(!overlap(a, b) && !overlap(b, a), "{a} {b}");
        }
    }

    #[test]
    fn subjects_that_can_be_published_to() {
        for text in ["a", "a.b", "$JS.API.INFO", "_INBOX.x.1", "straße.ü", "a-b_c", "ord\"er", "日本.x"] {
            assert_eq!(Subject::new(text).map(Subject::as_str), Ok(text));
        }
        assert!(Subject::new(&"a".repeat(SUBJECT_LEN_MAX)).is_ok());
    }

    #[test]
    fn subjects_that_cannot() {
        use SubjectError::{Empty, EmptyToken, Forbidden, TooLong, Wildcard};
        let long = "a".repeat(SUBJECT_LEN_MAX + 1);
        let cases: &[(&str, SubjectError)] = &[
            ("", Empty),
            (".", EmptyToken),
            (".a", EmptyToken),
            ("a.", EmptyToken),
            ("a..b", EmptyToken),
            ("a b", Forbidden(' ')),
            (" a", Forbidden(' ')),
            ("a\tb", Forbidden('\t')),
            ("a\r\nPING", Forbidden('\r')),
            ("a\nb", Forbidden('\n')),
            ("a\0", Forbidden('\0')),
            ("a\u{7f}", Forbidden('\u{7f}')),
            ("a\u{85}", Forbidden('\u{85}')),
            ("ü\u{a0}x", Forbidden('\u{a0}')),
            ("ü\u{3000}x", Forbidden('\u{3000}')),
            ("*", Wildcard),
            ("a.*", Wildcard),
            ("a.>", Wildcard),
            ("a*b", Wildcard),
            (&long, TooLong(SUBJECT_LEN_MAX + 1)),
        ];
        for (text, error) in cases {
            assert_eq!(Subject::new(text).as_ref(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn owned_and_borrowed_are_the_same_text() {
        let subject = Subject::new("a.b").unwrap();
        let owned = subject.to_buf();
        assert_eq!(owned.as_subject(), subject);
        assert_eq!(owned.as_str(), "a.b");
    }

    #[test]
    fn patterns_match_as_the_server_does() {
        let cases = [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.b", "a", false),
            ("a.b", "a.b.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.*.c", "a.b.c", true),
            ("a.>", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a.b", true),
            ("a*", "ab", false),
            ("a*", "a*", true),
            ("a>.b", "a>.b", true),
        ];
        for (pattern, subject, expected) in cases {
            assert_eq!(Pattern::new(pattern).unwrap().matches(subject), expected, "{pattern} on {subject}");
        }
    }

    #[test]
    fn patterns_refuse_what_the_server_refuses() {
        for text in ["", ".", "a.", "a..b", ">.a", "a.>.b", "a b", "a\r\n"] {
            assert!(Pattern::new(text).is_err(), "{text:?}");
        }
        assert!(Pattern::new(String::from("a.*.>")).is_ok());
    }

    #[test]
    fn one_token_is_one_token() {
        for token in ["a", "ü", "a-b", "$", "a\"b"] {
            assert!(is_token(token), "{token:?}");
        }
        for text in ["", "a.b", "*", "a>", "a b", "a\n", "\u{2003}"] {
            assert!(!is_token(text), "{text:?}");
        }
    }
}
