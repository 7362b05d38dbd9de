//! Templates: text with `${path}` in it, for subjects, keys and ids.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use crate::proto::{Subject, SubjectError};

/// The most segments that a path may have.
pub const PATH_SEGMENTS_MAX: usize = 3;

/// What a template makes, and so the rules for its text and its values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TemplateKind {
    /// A subject. A value is one whole token or a part of one; a missing or null value is an error of the event.
    Subject,
    /// The value of the header `df-key`. A missing or null value is empty.
    Key,
    /// A message id. An empty, missing or null value is an error of the event.
    Id,
}

/// Text with variables, such as `orders.${source.table}.${op}`. A `$` without `{` is a letter like any other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    text: Box<str>,
    kind: TemplateKind,
    parts: Box<[Part]>,
}

/// A piece of a template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// Text as it is.
    Literal(Box<str>),
    /// The value at a path.
    Value(Path),
}

/// The names of the members that lead to a value: 1 to [`PATH_SEGMENTS_MAX`] of them, such as `source.table`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Path(Box<[Box<str>]>);

/// Why a text is no template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TemplateError {
    /// The template is empty.
    Empty,
    /// A `${` at this byte has no `}`.
    Unclosed(usize),
    /// This path, or one of its segments, is empty.
    EmptyPath(String),
    /// This path has more than [`PATH_SEGMENTS_MAX`] segments.
    TooDeep(String),
    /// This path has a `$`, a `{`, white space or a control character.
    Path(String),
    /// The literal text can be no part of a subject.
    Subject(SubjectError),
    /// The literal text has a character that no key or id may hold.
    Forbidden(char),
    /// Between two variables of an id nothing tells where the first one ends: these two paths.
    NoSeparator(String, String),
}

impl Template {
    /// Reads a template and checks all that can be checked without an event.
    ///
    /// # Errors
    /// The first thing about `text` that is not right, see [`TemplateError`].
    pub fn new(text: &str, kind: TemplateKind) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let parts = parse(text)?;
        match kind {
            TemplateKind::Subject => check_subject(&parts)?,
            TemplateKind::Key => check_key(&parts)?,
            TemplateKind::Id => check_id(&parts)?,
        }
        Ok(Self { text: text.into(), kind, parts: parts.into() })
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it makes.
    pub const fn kind(&self) -> TemplateKind {
        self.kind
    }

    /// Whether it has no variable, so that it makes the same text for every event.
    pub fn is_literal(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Value(_)))
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The narrowest pattern that matches every subject it can make: a token with a variable in it is `*`.
    pub fn as_pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.text.len());
        for (i, token) in self.tokens().into_iter().enumerate() {
            if i > 0 {
                pattern.push('.');
            }
            match token {
                Token::Literal(text) => pattern.push_str(&text),
                Token::Variable { .. } => pattern.push('*'),
            }
        }
        pattern
    }

    /// Whether a stream with the subject `filter` captures at least one subject that it can make.
    pub fn may_be_captured_by(&self, filter: &str) -> bool {
        let tokens = self.tokens();
        let mut tokens = tokens.iter();
        for wanted in filter.split('.') {
            let Some(token) = tokens.next() else { return false };
            match (wanted, token) {
                (">", _) => return true,
                ("*", _) => {}
                (wanted, Token::Literal(text)) if **text == *wanted => {}
                (wanted, Token::Variable { before, after })
                    if wanted.len() > before.len() + after.len()
                        && wanted.starts_with(&**before)
                        && wanted.ends_with(&**after) => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    /// Its dot-separated tokens. No value has a dot, so their number does not depend on the event.
    fn tokens(&self) -> Vec<Token> {
        let mut tokens = Vec::new();
        let mut token = Token::Literal(String::new());
        for part in &self.parts {
            match part {
                Part::Value(_) => token.vary(),
                Part::Literal(text) => {
                    let mut pieces = text.split('.');
                    token.append(pieces.next().unwrap_or_default());
                    for piece in pieces {
                        tokens.push(core::mem::replace(&mut token, Token::Literal(piece.into())));
                    }
                }
            }
        }
        tokens.push(token);
        tokens
    }
}

/// One token of a subject template.
enum Token {
    Literal(String),
    /// With at least one variable: the literal text before the first and after the last.
    Variable {
        before: String,
        after: String,
    },
}

impl Token {
    fn append(&mut self, text: &str) {
        match self {
            Self::Literal(literal) => literal.push_str(text),
            Self::Variable { after, .. } => after.push_str(text),
        }
    }

    fn vary(&mut self) {
        match self {
            Self::Literal(text) => {
                *self = Self::Variable { before: core::mem::take(text), after: String::new() };
            }
            Self::Variable { after, .. } => after.clear(),
        }
    }
}

impl Path {
    pub(crate) fn new(path: &str) -> Result<Self, TemplateError> {
        let segments: Vec<&str> = path.split('.').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return Err(TemplateError::EmptyPath(path.into()));
        }
        if segments.len() > PATH_SEGMENTS_MAX {
            return Err(TemplateError::TooDeep(path.into()));
        }
        if path.contains(|c: char| matches!(c, '$' | '{') || c.is_whitespace() || c.is_control()) {
            return Err(TemplateError::Path(path.into()));
        }
        Ok(Self(segments.into_iter().map(Box::from).collect()))
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|segment| &**segment)
    }
}

fn parse(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("${").map(|start| at + start) {
        if start > at {
            parts.push(Part::Literal(text[at..start].into()));
        }
        let Some(len) = text[start..].find('}') else { return Err(TemplateError::Unclosed(start)) };
        parts.push(Part::Value(Path::new(&text[start + 2..start + len])?));
        at = start + len + 1;
    }
    if at < text.len() {
        parts.push(Part::Literal(text[at..].into()));
    }
    Ok(parts)
}

/// A subject template is right when it makes a subject out of values that are right.
fn check_subject(parts: &[Part]) -> Result<(), TemplateError> {
    let example: String = parts
        .iter()
        .map(|part| match part {
            Part::Literal(text) => &**text,
            Part::Value(_) => "x",
        })
        .collect();
    Subject::new(&example).map(drop).map_err(TemplateError::Subject)
}

fn check_key(parts: &[Part]) -> Result<(), TemplateError> {
    for part in parts {
        if let Part::Literal(text) = part
            && let Some(forbidden) = text.chars().find(|c| matches!(c, '\r' | '\n' | '\0'))
        {
            return Err(TemplateError::Forbidden(forbidden));
        }
    }
    Ok(())
}

/// An id template is right when two events with different values can never make the same id: its literal text is
/// printable ASCII, and between two variables stands a separator, which is then escaped wherever a value has it.
fn check_id(parts: &[Part]) -> Result<(), TemplateError> {
    let mut before: Option<&Path> = None;
    let mut separated = true;
    for part in parts {
        match part {
            Part::Literal(text) => {
                if let Some(forbidden) = text.chars().find(|c| !c.is_ascii_graphic()) {
                    return Err(TemplateError::Forbidden(forbidden));
                }
                separated |= separator(text).is_some();
            }
            Part::Value(path) => {
                if let Some(before) = before.filter(|_| !separated) {
                    return Err(TemplateError::NoSeparator(before.to_string(), path.to_string()));
                }
                (before, separated) = (Some(path), false);
            }
        }
    }
    Ok(())
}

/// The first character of a literal that can tell two values apart: printable, and neither a letter, a digit nor the
/// escape character.
pub(crate) fn separator(text: &str) -> Option<u8> {
    text.bytes().find(|byte| byte.is_ascii_punctuation() && *byte != b'%')
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(segment)?;
        }
        Ok(())
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the template is empty"),
            Self::Unclosed(at) => write!(f, "the `${{` at byte {at} has no closing brace"),
            Self::EmptyPath(path) => {
                write!(f, "`${{{path}}}` names no value: write a path such as `${{source.table}}`")
            }
            Self::TooDeep(path) => {
                write!(f, "`${{{path}}}` goes too deep: a path has at most {PATH_SEGMENTS_MAX} segments")
            }
            Self::Path(path) => {
                write!(
                    f,
                    "`${{{}}}` is no path: it has `$`, `{{`, white space or a control character",
                    path.escape_debug()
                )
            }
            Self::Subject(error) => error.fmt(f),
            Self::Forbidden(c) => write!(f, "{c:?} cannot stand in a key or an id"),
            Self::NoSeparator(a, b) => {
                write!(f, "nothing tells `${{{a}}}` from `${{{b}}}`: put a separator such as `|` or `-` between them")
            }
        }
    }
}

impl core::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Pattern;

    fn subject(text: &str) -> Result<Template, TemplateError> {
        Template::new(text, TemplateKind::Subject)
    }

    #[test]
    fn parts() {
        let template = subject("orders.${source.table}.${op}").unwrap();
        assert_eq!(template.parts().len(), 4);
        assert!(!template.is_literal());
        assert_eq!(template.as_str(), "orders.${source.table}.${op}");
        assert!(subject("a.$b.}").unwrap().is_literal());
        assert_eq!(subject("${a}${b}").unwrap().parts().len(), 2);
    }

    #[test]
    fn what_is_no_template() {
        use TemplateError::{Empty, EmptyPath, Path, TooDeep, Unclosed};
        for (text, error) in [
            ("", Empty),
            ("a.${b", Unclosed(2)),
            ("${", Unclosed(0)),
            ("${a}.${", Unclosed(5)),
            ("a.${}", EmptyPath("".into())),
            ("${a..b}", EmptyPath("a..b".into())),
            ("${.a}", EmptyPath(".a".into())),
            ("${a.b.c.d}", TooDeep("a.b.c.d".into())),
            ("${a${b}}", Path("a${b".into())),
            ("${a b}", Path("a b".into())),
            ("a.b c", TemplateError::Subject(SubjectError::Forbidden(' '))),
            ("a..${b}", TemplateError::Subject(SubjectError::EmptyToken)),
            ("${b}.", TemplateError::Subject(SubjectError::EmptyToken)),
            ("a.*", TemplateError::Subject(SubjectError::Wildcard)),
            ("${a}>", TemplateError::Subject(SubjectError::Wildcard)),
        ] {
            assert_eq!(subject(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn keys_and_ids_have_rules_of_their_own() {
        let key = |text| Template::new(text, TemplateKind::Key);
        let id = |text| Template::new(text, TemplateKind::Id);
        assert!(key("${a}${b} c > ü").is_ok());
        assert_eq!(key("${a}\r\nx: y"), Err(TemplateError::Forbidden('\r')));
        assert!(id("${a}").is_ok());
        assert!(id("${a}|${b}").is_ok());
        assert!(id("x${a}-y-${b}z").is_ok());
        assert_eq!(id("${a}${b}"), Err(TemplateError::NoSeparator("a".into(), "b".into())));
        assert_eq!(id("${a.x}and${b}"), Err(TemplateError::NoSeparator("a.x".into(), "b".into())));
        assert_eq!(id("${a}%${b}"), Err(TemplateError::NoSeparator("a".into(), "b".into())));
        assert_eq!(id("${a} ${b}"), Err(TemplateError::Forbidden(' ')));
        assert_eq!(id("ü${a}"), Err(TemplateError::Forbidden('ü')));
    }

    #[test]
    fn patterns() {
        for (text, pattern) in [
            ("orders.events", "orders.events"),
            ("orders.${source.table}.${op}", "orders.*.*"),
            ("${a}", "*"),
            ("a-${b}.c", "*.c"),
            ("a.${b}${c}-x.d", "a.*.d"),
        ] {
            let template = subject(text).unwrap();
            assert_eq!(template.as_pattern(), pattern);
            assert!(Pattern::new(pattern).is_ok());
        }
    }

    #[test]
    fn what_a_stream_may_capture() {
        for (text, filter, expected) in [
            ("orders.${t}.c", "orders.>", true),
            ("orders.${t}.c", "orders.*.*", true),
            ("orders.${t}.c", "orders.customers.c", true),
            ("orders.${t}.c", "orders.customers.d", false),
            ("orders.${t}.c", "orders.*", false),
            ("orders.${t}.c", "orders.*.*.*", false),
            ("orders.${t}", "orders.x.>", false),
            ("orders.${t}", ">", true),
            ("orders", "orders.>", false),
            ("a-${t}-b.c", "a-x-b.c", true),
            ("a-${t}-b.c", "a--b.c", false),
            ("a-${t}-b.c", "b-x-b.c", false),
            ("x", "y", false),
        ] {
            assert_eq!(subject(text).unwrap().may_be_captured_by(filter), expected, "{text} {filter}");
        }
    }
}
