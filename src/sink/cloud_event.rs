//! Change events as CloudEvents 1.0 in structured JSON.

use alloc::string::String;

use super::error::ValueError;
use super::escape::Escape;
use super::json_text::push_json_str;
use super::render::plain;
use super::rfc3339::{MILLIS, push_rfc3339};
use super::scan::{Fields, Paths, Slot, Value};

/// What cannot stand in a segment of a URI: RFC 3986 grants it letters, digits and the other marks.
const SEGMENT: Escape = Escape::of(b"\"#/<>?[\\]^`{|}");

/// Where an event tells what a CloudEvent says.
#[derive(Debug)]
pub(super) struct CloudEvents {
    type_prefix: String,
    op: Slot,
    event_id: Slot,
    ts_ms: Slot,
    source_ts_ms: Slot,
    name: Slot,
    db: Slot,
    schema: Slot,
    table: Slot,
    before: Slot,
    after: Slot,
}

impl CloudEvents {
    pub(super) fn new(type_prefix: &str, paths: &mut Paths) -> Self {
        let mut source = |name| paths.want(["source", name]);
        Self {
            type_prefix: type_prefix.into(),
            source_ts_ms: source("ts_ms"),
            name: source("name"),
            db: source("db"),
            schema: source("schema"),
            table: source("table"),
            op: paths.want(["op"]),
            event_id: paths.want(["event_id"]),
            ts_ms: paths.want(["ts_ms"]),
            before: paths.want(["before"]),
            after: paths.want(["after"]),
        }
    }

    /// Adds the CloudEvent to `payload`. `id` is the message's; `scratch` is overwritten.
    pub(super) fn write(
        &self,
        fields: &Fields<'_>,
        id: &str,
        scratch: &mut String,
        payload: &mut String,
    ) -> Result<(), ValueError> {
        payload.push_str(r#"{"specversion":"1.0","id":""#);
        push_json_str(attribute(fields, self.event_id, "event_id", scratch)?.unwrap_or(id), payload);
        payload.push_str(r#"","source":"deltaforge"#);
        self.write_source(fields, scratch, payload)?;
        let (op, kind) = kind(fields.value(self.op));
        payload.push_str(r#"","type":""#);
        push_json_str(&self.type_prefix, payload);
        payload.push_str(kind);
        if let Some(millis) = self.time(fields)? {
            payload.push_str(r#"","time":""#);
            push_rfc3339(millis, payload);
        }
        payload.push_str(r#"","datacontenttype":"application/json""#);
        self.write_subject(fields, scratch, payload)?;
        payload.push_str(r#","data":{"#);
        for (name, slot) in [(r#""before":"#, self.before), (r#""after":"#, self.after)] {
            if let Some(raw) = fields.raw(slot) {
                payload.push_str(name);
                payload.push_str(raw);
                payload.push(',');
            }
        }
        payload.push_str(r#""op":""#);
        payload.push_str(op);
        payload.push_str(r#""}}"#);
        Ok(())
    }

    /// `/{name}/{schema}.{table}`, percent-encoded, so that it is a URI reference whatever the names are.
    fn write_source(&self, fields: &Fields<'_>, scratch: &mut String, payload: &mut String) -> Result<(), ValueError> {
        if let Some(name) = attribute(fields, self.name, "source.name", scratch)? {
            payload.push('/');
            SEGMENT.append(name, payload);
        }
        self.write_table(fields, scratch, payload, "/", |text, payload| SEGMENT.append(text, payload)).map(drop)
    }

    /// `,"subject":"{schema}.{table}"`, unless the event has neither.
    fn write_subject(&self, fields: &Fields<'_>, scratch: &mut String, payload: &mut String) -> Result<(), ValueError> {
        if self.write_table(fields, scratch, payload, r#","subject":""#, push_json_str)? {
            payload.push('"');
        }
        Ok(())
    }

    /// `{before}{schema}.{table}`, with the database where there is no schema; `false` where there is none of them.
    fn write_table(
        &self,
        fields: &Fields<'_>,
        scratch: &mut String,
        payload: &mut String,
        mut before: &'static str,
        push: impl Fn(&str, &mut String),
    ) -> Result<bool, ValueError> {
        let space = match fields.value(self.schema) {
            Value::Missing | Value::Text("") => (self.db, "source.db"),
            _ => (self.schema, "source.schema"),
        };
        let mut is_there = false;
        for (slot, path) in [space, (self.table, "source.table")] {
            if let Some(text) = attribute(fields, slot, path, scratch)? {
                payload.push_str(before);
                push(text, payload);
                (before, is_there) = (".", true);
            }
        }
        Ok(is_there)
    }

    /// When it happened: as the event says, or else as its source does.
    fn time(&self, fields: &Fields<'_>) -> Result<Option<i64>, ValueError> {
        let (value, path) = match fields.value(self.ts_ms) {
            Value::Missing => (fields.value(self.source_ts_ms), "source.ts_ms"),
            value => (value, "ts_ms"),
        };
        let millis = match value {
            Value::Missing => return Ok(None),
            Value::Plain(digits) => digits.parse().ok().filter(|millis| MILLIS.contains(millis)),
            Value::Text(_) | Value::Escaped(_) | Value::Compound(_) => None,
        };
        millis.map(Some).ok_or_else(|| ValueError::NotATime { path: path.into() })
    }
}

/// The op as it is written, and what a type ends with. Other ops are no events.
fn kind(op: Value<'_>) -> (&'static str, &'static str) {
    match op {
        Value::Text("c") => ("c", ".created"),
        Value::Text("u") => ("u", ".updated"),
        Value::Text("d") => ("d", ".deleted"),
        Value::Text("r") => ("r", ".snapshot"),
        _ => ("t", ".truncated"),
    }
}

/// The text of an attribute, which must not be empty and has no control character (CloudEvents 1.0, 3.1).
fn attribute<'t>(
    fields: &Fields<'t>,
    slot: Slot,
    path: &str,
    scratch: &'t mut String,
) -> Result<Option<&'t str>, ValueError> {
    let Some(text) = plain(fields.value(slot), path, scratch)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.chars().find(|c| c.is_control()) {
        Some(found) => Err(ValueError::Forbidden { path: path.into(), found }),
        None => Ok(Some(text)),
    }
}
