//! What makes an event's `Nats-Msg-Id`: the same at every replay, another one for every other event.

use alloc::string::String;
use core::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::error::EventError;
use super::escape::Escape;
use super::input::Input;
use super::render::{Rendering, plain};
use super::scan::{Fields, Paths, Slot, Value};
use super::template::Template;
use crate::proto::decimal::push_decimal_str;

/// The longest id, bytes. The server holds every id in memory for the whole duplicate window.
pub const ID_LEN_MAX: usize = 256;

/// How an id that would be too long ends: `~` and 128 bits of the SHA-256 of the whole.
const TAIL_LEN: usize = 33;

/// What makes an event's id. Every id begins with the pipeline's name and `|`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum IdRule {
    /// The event's position in its source where it has a whole one, else its position in the input, else, where the
    /// caller has told of none, its `event_id`.
    Position,
    /// A hash of subject and payload: two equal events become one.
    Content,
    /// A template of the kind [`TemplateKind::Id`](super::TemplateKind::Id).
    Template(Template),
}

/// The rule, ready for use.
#[derive(Debug)]
pub(crate) struct Identity {
    /// `{pipeline}|`
    prefix: String,
    /// `{input}:`
    input: String,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    /// `None` where the format knows no source.
    Position(Option<Source>),
    Content,
    Template(Rendering),
}

/// Where a change event tells its position.
#[derive(Debug)]
struct Source {
    op: Slot,
    connector: Slot,
    db: Slot,
    schema: Slot,
    table: Slot,
    lsn: Slot,
    tx_id: Slot,
    transaction: Slot,
    total_order: Slot,
    file: Slot,
    pos: Slot,
    row: Slot,
    gtid: Slot,
    event_id: Slot,
}

// In `{pipeline}|{connector}|{db}.{schema}.{table}|{position}` each field escapes what could end it. The three forms of a
// position differ in their commas: two for a log sequence number, none for a file, one for a GTID.
const PIPELINE: Escape = Escape::of(b"|");
const NAME: Escape = Escape::of(b"|.");
const ORDINAL: Escape = Escape::of(b"|,@");
const FILE: Escape = Escape::of(b"|,:");

/// What the ids of all events of this pipeline begin with.
pub fn pipeline_id_prefix(pipeline: &str) -> String {
    let mut prefix = String::new();
    PIPELINE.append(pipeline, &mut prefix);
    prefix.push('|');
    prefix
}

/// What the ids of events of this pipeline begin with that are named by their position in this input; the position
/// stands behind it.
pub fn position_id_prefix(pipeline: &str, input: &Input) -> String {
    let mut prefix = pipeline_id_prefix(pipeline);
    // Writing to a String cannot fail.
    let _ = write!(prefix, "{input}:");
    prefix
}

impl Identity {
    /// `events` tells whether lines are change events.
    pub(crate) fn new(pipeline: &str, rule: &IdRule, events: bool, paths: &mut Paths) -> Self {
        let prefix = pipeline_id_prefix(pipeline);
        let rule = match rule {
            IdRule::Position => Rule::Position(events.then(|| Source::new(paths))),
            IdRule::Content => Rule::Content,
            IdRule::Template(template) => Rule::Template(Rendering::new(template, paths)),
        };
        Self { prefix, input: String::new(), rule }
    }

    pub(crate) fn set_input(&mut self, input: &Input) {
        self.input.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.input, "{input}:");
    }

    /// Whether the id needs subject and payload, and nothing else.
    pub(crate) fn is_content(&self) -> bool {
        matches!(self.rule, Rule::Content)
    }

    /// Makes the id of the event with these fields at this position of the input, if it has one. `scratch` is
    /// overwritten.
    pub(crate) fn write(
        &self,
        fields: Option<&Fields<'_>>,
        position: Option<u64>,
        scratch: &mut String,
        id: &mut String,
    ) -> Result<(), EventError> {
        id.clear();
        id.push_str(&self.prefix);
        match &self.rule {
            Rule::Position(source) => self.write_position(source.as_ref().zip(fields), position, scratch, id)?,
            Rule::Template(rendering) => rendering.write(fields, scratch, id).map_err(EventError::Id)?,
            Rule::Content => {}
        }
        cap(id);
        Ok(())
    }

    /// Makes the id of a message with this subject and payload.
    pub(crate) fn write_content(&self, subject: &str, payload: &[u8], id: &mut String) {
        let mut hash = Sha256::new();
        hash.update(subject);
        // No subject holds a NUL, so that the two parts cannot be shifted against each other.
        hash.update([0]);
        hash.update(payload);
        id.clear();
        id.push_str(&self.prefix);
        id.push_str("sha256:");
        push_hex(&hash.finalize(), id);
        cap(id);
    }

    fn write_position(
        &self,
        source: Option<(&Source, &Fields<'_>)>,
        position: Option<u64>,
        scratch: &mut String,
        id: &mut String,
    ) -> Result<(), EventError> {
        if source.is_some_and(|(source, fields)| source.write(fields, scratch, id)) {
            return Ok(());
        }
        id.truncate(self.prefix.len());
        if let Some(position) = position {
            id.push_str(&self.input);
            push_decimal_str(id, position);
            return Ok(());
        }
        // One bar more than in the id of an input position, one fewer than in that of a source position.
        id.push_str("event_id|");
        match source {
            Some((source, fields)) if append(fields, source.event_id, &PIPELINE, scratch, id) => Ok(()),
            _ => Err(EventError::NoIdentity),
        }
    }
}

impl Source {
    fn new(paths: &mut Paths) -> Self {
        let mut source = |name| paths.want(["source", name]);
        Self {
            connector: source("connector"),
            db: source("db"),
            schema: source("schema"),
            table: source("table"),
            lsn: source("lsn"),
            tx_id: source("txId"),
            file: source("file"),
            pos: source("pos"),
            row: source("row"),
            gtid: source("gtid"),
            op: paths.want(["op"]),
            event_id: paths.want(["event_id"]),
            transaction: paths.want(["transaction", "id"]),
            total_order: paths.want(["transaction", "total_order"]),
        }
    }

    /// Writes the event's position, unless it has no whole one: snapshot rows share theirs, and so do the changes of a
    /// transaction that are not numbered.
    fn write(&self, fields: &Fields<'_>, scratch: &mut String, id: &mut String) -> bool {
        if matches!(fields.value(self.op), Value::Text("r")) {
            return false;
        }
        let mut field = |slot, escape: &Escape, id: &mut String| append(fields, slot, escape, scratch, id);
        if !field(self.connector, &NAME, id) {
            return false;
        }
        id.push('|');
        if !field(self.db, &NAME, id) {
            return false;
        }
        id.push('.');
        field(self.schema, &NAME, id);
        id.push('.');
        if !field(self.table, &NAME, id) {
            return false;
        }
        id.push('|');
        let start = id.len();
        if field(self.lsn, &ORDINAL, id) {
            id.push(',');
            let tx_id = field(self.tx_id, &ORDINAL, id) || {
                id.push('@');
                field(self.transaction, &ORDINAL, id)
            };
            id.push(',');
            if tx_id && field(self.total_order, &ORDINAL, id) {
                return true;
            }
        }
        id.truncate(start);
        if field(self.file, &FILE, id) {
            id.push(':');
            let pos = field(self.pos, &FILE, id);
            id.push(':');
            if pos && field(self.row, &FILE, id) {
                return true;
            }
        }
        id.truncate(start);
        if field(self.gtid, &ORDINAL, id) {
            id.push(',');
            return field(self.row, &ORDINAL, id);
        }
        false
    }
}

/// Adds the text of a number or a string; `false` where there is none or an empty one.
fn append(fields: &Fields<'_>, slot: Slot, escape: &Escape, scratch: &mut String, id: &mut String) -> bool {
    let value = match fields.value(slot) {
        Value::Plain("true" | "false") => return false,
        value => plain(value, "", scratch),
    };
    match value {
        Ok(Some(text)) => {
            escape.append(text, id);
            !text.is_empty()
        }
        Ok(None) | Err(_) => false,
    }
}

/// Shortens an id that is too long: its beginning can still be read, its end is a hash of all of it. Only shortened ids
/// are [`ID_LEN_MAX`] bytes long, so that no other event can have one on purpose.
fn cap(id: &mut String) {
    if id.len() < ID_LEN_MAX {
        return;
    }
    let hash = Sha256::digest(&*id);
    // Ids are ASCII.
    id.truncate(ID_LEN_MAX - TAIL_LEN);
    id.push('~');
    push_hex(&hash[..16], id);
}

fn push_hex(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
}
