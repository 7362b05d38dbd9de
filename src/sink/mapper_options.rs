//! How records become messages, and why some options make no sense.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::envelope::Envelope;
use super::error::RouteError;
use super::identity::IdRule;
use super::input::Input;
use super::record::Format;
use super::routing::is_control;
use super::template::{Template, TemplateKind};
use crate::proto::{HeaderError, Subject};

/// How records become messages. Start from [`MapperOptions::new`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MapperOptions {
    /// The pipeline's name: what every id begins with.
    pub pipeline: String,
    /// What the records are read from.
    pub input: Input,
    /// What a line is.
    pub format: Format,
    /// The subject, a template of the kind [`TemplateKind::Subject`].
    pub subject: Template,
    /// The header `df-key`, a template of the kind [`TemplateKind::Key`]. It is not sent where it is empty.
    pub key: Option<Template>,
    /// What makes the ids.
    pub id: IdRule,
    /// The form that events are sent in. Other than [`Envelope::Native`] it needs [`Format::Event`].
    pub envelope: Envelope,
    /// Headers of every message.
    pub headers: Vec<(String, String)>,
    /// Subjects that no event may have: these, and all that begin with one of these and a dot.
    pub reserved: Vec<String>,
}

/// Why there can be no such mapper.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MapperError {
    /// This template has variables, and lines of any bytes have no values to fill it with.
    VariablesInLines(String),
    /// This template was read for another place.
    TemplateKind(String),
    /// The subject can be none, or belongs to the server or to an inbox.
    Subject(RouteError),
    /// A header cannot be sent.
    Header(HeaderError),
    /// This envelope is made of the members that change events have, and the lines are none.
    EnvelopeWithoutEvents,
    /// The prefix of types is empty or has a control character.
    TypePrefix(String),
    /// This header steers the server.
    ControlHeader(String),
}

impl MapperOptions {
    /// The defaults: no key, ids by position, no headers, and what the server reserves is reserved.
    pub fn new(pipeline: impl Into<String>, input: Input, format: Format, subject: Template) -> Self {
        Self {
            pipeline: pipeline.into(),
            input,
            format,
            subject,
            key: None,
            id: IdRule::Position,
            envelope: Envelope::Native,
            headers: Vec::new(),
            reserved: ["$JS", "$SYS", "_INBOX"].map(String::from).into(),
        }
    }

    pub(super) fn check(&self) -> Result<(), MapperError> {
        let id = match &self.id {
            IdRule::Template(template) => Some(template),
            IdRule::Position | IdRule::Content => None,
        };
        let places = [
            (Some(&self.subject), TemplateKind::Subject),
            (self.key.as_ref(), TemplateKind::Key),
            (id, TemplateKind::Id),
        ];
        for (template, kind) in places.into_iter().filter_map(|(template, kind)| template.map(|it| (it, kind))) {
            if template.kind() != kind {
                return Err(MapperError::TemplateKind(template.as_str().into()));
            }
            if self.format == Format::Lines && !template.is_literal() {
                return Err(MapperError::VariablesInLines(template.as_str().into()));
            }
        }
        if self.subject.is_literal() {
            check_subject(self.subject.as_str(), &self.reserved).map_err(MapperError::Subject)?;
        }
        if self.envelope != Envelope::Native && self.format != Format::Event {
            return Err(MapperError::EnvelopeWithoutEvents);
        }
        if let Envelope::CloudEvents { type_prefix } = &self.envelope
            && (type_prefix.is_empty() || type_prefix.contains(char::is_control))
        {
            return Err(MapperError::TypePrefix(type_prefix.clone()));
        }
        match self.headers.iter().find(|(name, _)| is_control(name)) {
            Some((name, _)) => Err(MapperError::ControlHeader(name.clone())),
            None => Ok(()),
        }
    }
}

/// Whether events may have this subject.
pub(super) fn check_subject(subject: &str, reserved: &[String]) -> Result<(), RouteError> {
    Subject::new(subject).map_err(RouteError::Subject)?;
    let is_under = |reserved: &String| {
        subject.strip_prefix(&**reserved).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if reserved.iter().any(is_under) {
        return Err(RouteError::Reserved { subject: subject.into() });
    }
    Ok(())
}

impl fmt::Display for MapperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VariablesInLines(template) => {
                write!(f, "{template:?} has variables, and the format lines has no values for them: use json or event")
            }
            Self::TemplateKind(template) => write!(f, "{template:?} was read as a template for another place"),
            Self::Subject(error) => error.fmt(f),
            Self::Header(error) => error.fmt(f),
            Self::EnvelopeWithoutEvents => {
                f.write_str("debezium and cloudevents are made of change events: use the format event")
            }
            Self::TypePrefix(prefix) => {
                write!(f, "{prefix:?} is no prefix of types: not empty, and without control characters")
            }
            Self::ControlHeader(name) => {
                write!(f, "the header {name:?} cannot be set: names that begin with Nats- steer the server")
            }
        }
    }
}

impl core::error::Error for MapperError {}
