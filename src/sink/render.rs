//! Templates filled with the values of one event, each value held to the rules of its place.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::error::ValueError;
use super::escape::Escape;
use super::scan::{Fields, Paths, Slot, Value, unescape};
use super::template::{Part, Template, TemplateKind, separator};
use crate::proto::is_token;

/// A template whose paths are compiled.
#[derive(Debug)]
pub(super) struct Rendering {
    pieces: Vec<Piece>,
    rule: Rule,
}

#[derive(Debug)]
enum Piece {
    Literal(String),
    Value(Slot, String),
}

/// What a value must be, and how it is written.
#[derive(Debug)]
enum Rule {
    /// A token of a subject or a part of one.
    Token,
    /// The value of a header; a missing value is empty.
    Header,
    /// A part of an id, with the separators of the template escaped.
    Id(Box<Escape>),
}

impl Rendering {
    pub(super) fn new(template: &Template, paths: &mut Paths) -> Self {
        let pieces = template.parts().iter().map(|part| match part {
            Part::Literal(text) => Piece::Literal((&**text).into()),
            Part::Value(path) => Piece::Value(paths.want(path.segments()), path.to_string()),
        });
        let pieces = pieces.collect();
        let rule = match template.kind() {
            TemplateKind::Subject => Rule::Token,
            TemplateKind::Key => Rule::Header,
            TemplateKind::Id => Rule::Id(Box::new(separators(template))),
        };
        Self { pieces, rule }
    }

    /// Adds the text for an event with these fields to `text`. `scratch` is overwritten.
    pub(super) fn write(
        &self,
        fields: Option<&Fields<'_>>,
        scratch: &mut String,
        text: &mut String,
    ) -> Result<(), ValueError> {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Value(slot, path) => {
                    let value = fields.map_or(Value::Missing, |fields| fields.value(*slot));
                    let value = plain(value, path, scratch)?;
                    match &self.rule {
                        Rule::Token => text.push_str(token(value, path)?),
                        Rule::Header => text.push_str(header(value.unwrap_or_default(), path)?),
                        Rule::Id(escape) => escape.append(present(value, path)?, text),
                    }
                }
            }
        }
        Ok(())
    }
}

/// The text of a value: a string without its escapes, a number or a boolean as it was written.
pub(super) fn plain<'t>(value: Value<'t>, path: &str, scratch: &'t mut String) -> Result<Option<&'t str>, ValueError> {
    match value {
        Value::Missing => Ok(None),
        Value::Plain(text) | Value::Text(text) => Ok(Some(text)),
        Value::Compound(_) => Err(ValueError::NotScalar { path: path.into() }),
        Value::Escaped(raw) => {
            scratch.clear();
            if !unescape(raw, scratch) {
                return Err(ValueError::LoneSurrogate { path: path.into() });
            }
            Ok(Some(scratch))
        }
    }
}

/// A value that can be the value of a header.
pub(super) fn header<'t>(value: &'t str, path: &str) -> Result<&'t str, ValueError> {
    match value.chars().find(|c| matches!(c, '\r' | '\n' | '\0')) {
        None => Ok(value),
        Some(found) => Err(ValueError::Forbidden { path: path.into(), found }),
    }
}

fn present<'t>(value: Option<&'t str>, path: &str) -> Result<&'t str, ValueError> {
    match value {
        None => Err(ValueError::Missing { path: path.into() }),
        Some("") => Err(ValueError::Empty { path: path.into() }),
        Some(text) => Ok(text),
    }
}

fn token<'t>(value: Option<&'t str>, path: &str) -> Result<&'t str, ValueError> {
    let text = present(value, path)?;
    if is_token(text) {
        return Ok(text);
    }
    let found = text.chars().find(|c| !is_token(c.encode_utf8(&mut [0; 4])));
    let found = found.expect("a text that is not empty and no token has a character that no token has");
    Err(ValueError::Forbidden { path: path.into(), found })
}

/// What separates the values of an id: it is escaped in the values, so that no two events make one id. An id with one
/// value has no separator and keeps the value as it is.
fn separators(template: &Template) -> Escape {
    let mut escape = Escape::of(b"");
    let mut before = 0;
    let all = template.parts().iter().filter(|part| matches!(part, Part::Value(_))).count();
    for part in template.parts() {
        match part {
            Part::Value(_) => before += 1,
            Part::Literal(text) if before > 0 && before < all => {
                separator(text).into_iter().for_each(|separator| escape.add(separator));
            }
            Part::Literal(_) => {}
        }
    }
    escape
}
