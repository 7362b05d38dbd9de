//! The NATS sink's part of the check, continued: what is published, in what form, and what is waited for.

use std::prelude::v1::*;

use super::error::ConfigError;
use super::field::Field;
use super::nats::Sink;
use super::plan::Delivery;
use super::written::{Choice, EnvelopeWritten};
use crate::proto::{HeaderBlock, is_token};
use crate::sink::{Envelope, Format, IdRule, TYPE_PREFIX_DEFAULT, Template, TemplateKind};

/// The longest name of a stream, bytes, as servers have it.
const STREAM_LEN_MAX: usize = 255;
/// The header that the template `key` fills.
const KEY_HEADER: &str = "df-key";

impl Sink<'_> {
    pub(super) fn subject(&self) -> Result<Template, ConfigError> {
        let written = &self.config.subject;
        let Some(field) = self.pick("--subject", &self.flags.subject, "subject", written)? else {
            return Err(self.missing("subject", &format!("no subject: give --subject or {}", self.key("subject"))));
        };
        let template = self.template(&field, TemplateKind::Subject)?;
        let first = field.text.split('.').next().unwrap_or_default();
        if matches!(first, "$JS" | "$SYS" | "_INBOX") {
            return Err(field.invalid(format!("subjects that start with {first} belong to the server and to inboxes")));
        }
        Ok(template)
    }

    pub(super) fn key_template(&self) -> Result<Option<Template>, ConfigError> {
        match self.pick("--key", &self.flags.key, "key", &self.config.key)? {
            Some(field) if !field.text.is_empty() => self.template(&field, TemplateKind::Key).map(Some),
            _ => Ok(None),
        }
    }

    pub(super) fn id_rule(&self) -> Result<IdRule, ConfigError> {
        match self.flags.id.as_deref() {
            None => Ok(IdRule::Position),
            Some("content") => Ok(IdRule::Content),
            Some(text) => self.template(&Field::flag("--id", text), TemplateKind::Id).map(IdRule::Template),
        }
    }

    /// The headers of the file, then those of the flags; a flag's takes the place of the file's of the same name.
    pub(super) fn headers(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut fields: Vec<(String, Field)> = Vec::new();
        for (name, value) in &self.config.headers {
            let key = self.key(&format!("headers.{name}"));
            let Some(value) = self.desk.file(&key, value)? else {
                return Err(self.desk.missing(&key, self.line, "a header without a value"));
            };
            fields.push((name.clone(), value.literal()?));
        }
        let mut flags: Vec<(String, Field)> = Vec::new();
        for typed in &self.flags.headers {
            let field = Field::flag("--header", typed);
            let Some((name, value)) = typed.split_once('=') else {
                return Err(field.mistyped(format!("{typed:?} is not NAME=VALUE")));
            };
            if flags.iter().any(|(other, _)| other == name) {
                return Err(field.mistyped(format!("{name:?} is given twice")));
            }
            fields.retain(|(other, _)| other != name);
            flags.push((name.into(), Field::flag("--header", value)));
        }
        let mut headers = Vec::new();
        for (name, field) in fields.into_iter().chain(flags) {
            let is_ours = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-"));
            if is_ours || name.eq_ignore_ascii_case(KEY_HEADER) {
                return Err(field.invalid(format!("the header {name:?} is not for configuration to set")));
            }
            HeaderBlock::new().push(&name, &field.text).map_err(|error| field.invalid(error.to_string()))?;
            headers.push((name, field.text));
        }
        Ok(headers)
    }

    fn template(&self, field: &Field, kind: TemplateKind) -> Result<Template, ConfigError> {
        let template = Template::new(&field.text, kind).map_err(|error| field.invalid(error.to_string()))?;
        if self.format == Format::Lines && !template.is_literal() {
            return Err(field.invalid("lines have no members for a template to name; the format must be event or json"));
        }
        Ok(template)
    }

    /// With a stream its ack is waited for, unless that is declined; without one there is only core NATS.
    pub(super) fn delivery(&self) -> Result<Delivery, ConfigError> {
        let (flags, config) = (self.flags, self.config);
        let stream = self.pick("--stream", &flags.stream, "stream", &config.stream)?;
        let delivery = self.pick("--delivery", &flags.delivery, "delivery", &config.delivery)?;
        let (delivery, stream) = match (delivery, stream) {
            (None, Some(stream)) => return Ok(Delivery::Ordered { stream: stream_name(stream)? }),
            (None, None) => return Ok(Delivery::Core),
            (Some(delivery), stream) => (delivery, stream),
        };
        match (delivery.text.as_str(), stream) {
            ("ordered", Some(stream)) => Ok(Delivery::Ordered { stream: stream_name(stream)? }),
            ("ordered", None) => Err(delivery.invalid("waits for the acks of a stream, and none is named")),
            ("core", None) => Ok(Delivery::Core),
            ("core", Some(_)) => Err(delivery.invalid("waits for no stream, and one is named; leave one of them out")),
            ("strict" | "fast" | "atomic" | "unordered", _) => {
                Err(delivery.not_yet(&format!("the delivery {}", delivery.text)))
            }
            (other, _) => {
                let reason = format!("unknown delivery {other:?}; this version has ordered and core");
                Err(delivery.invalid(reason))
            }
        }
    }

    /// The form of what is sent. Other than native it is made of the members that change events have.
    pub(super) fn envelope(&self) -> Result<Envelope, ConfigError> {
        let (field, prefix) = match (&self.flags.envelope, &self.config.envelope) {
            (None, None) => return Ok(Envelope::Native),
            (Some(typed), _) => match typed.split_once(':') {
                None => (Field::flag("--envelope", typed), None),
                Some((name, prefix)) => (Field::flag("--envelope", name), Some(Field::flag("--envelope", prefix))),
            },
            (None, Some(written)) => self.written_envelope(&written.value, written.referenced.line())?,
        };
        if let (Some(prefix), false) = (&prefix, field.text == "cloudevents") {
            return Err(prefix.invalid(format!("a prefix of types, which the envelope {} has not", field.text)));
        }
        let envelope = match field.text.as_str() {
            "native" => return Ok(Envelope::Native),
            "debezium" => Envelope::Debezium,
            "cloudevents" => {
                Envelope::CloudEvents { type_prefix: prefix.map_or(Ok(TYPE_PREFIX_DEFAULT.into()), Field::name)? }
            }
            other => {
                let reason = format!("unknown envelope {other:?}; known are native, debezium, cloudevents");
                return Err(field.invalid(reason));
            }
        };
        if self.format != Format::Event {
            return Err(field.invalid("is made of change events: the format must be event"));
        }
        Ok(envelope)
    }

    fn written_envelope(
        &self,
        written: &Choice<EnvelopeWritten>,
        line: u64,
    ) -> Result<(Field, Option<Field>), ConfigError> {
        let section = match written {
            Choice::Word(word) => return Ok((self.desk.scalar(&self.key("envelope"), line, word)?, None)),
            Choice::Section(section) => section,
        };
        let prefix = self.desk.file(&self.key("envelope.type_prefix"), &section.type_prefix)?;
        match self.desk.file(&self.key("envelope.type"), &section.r#type)? {
            Some(field) => Ok((field, prefix)),
            None => Err(self.desk.missing(&self.key("envelope.type"), line, "missing; write { type: cloudevents }")),
        }
    }
}

fn stream_name(field: Field) -> Result<String, ConfigError> {
    let field = field.literal()?;
    if field.text.len() > STREAM_LEN_MAX {
        return Err(field.invalid(format!("a name of {} bytes; at most {STREAM_LEN_MAX}", field.text.len())));
    }
    if !is_token(&field.text) || field.text.contains(['/', '\\']) {
        return Err(field.invalid(format!(
            "{:?} is no name of a stream: not empty, and without white space, control characters, . * > / \\",
            field.text
        )));
    }
    Ok(field.text)
}
