//! Native events as JSON: writing them, and reading them back.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::error::EventError;
use super::event::{Event, EventRouting, Op, Source, Transaction};
use super::json::Json;
use super::json_text::push_json_str;
use super::scan::{Value, each_member, unescape};

/// An object while it is written.
struct Object<'j> {
    json: &'j mut String,
    is_empty: bool,
}

impl<'j> Object<'j> {
    fn open(json: &'j mut String) -> Self {
        json.push('{');
        Self { json, is_empty: true }
    }

    fn close(self) {
        self.json.push('}');
    }

    /// Begins a member, whose value is to be added.
    fn name(&mut self, name: &str) -> &mut String {
        if !core::mem::take(&mut self.is_empty) {
            self.json.push(',');
        }
        push_string(name, self.json);
        self.json.push(':');
        self.json
    }

    fn text(&mut self, name: &str, value: &Option<String>) {
        if let Some(value) = value {
            push_string(value, self.name(name));
        }
    }

    fn number(&mut self, name: &str, value: Option<impl core::fmt::Display>) {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = write!(self.name(name), "{value}");
        }
    }

    fn json(&mut self, name: &str, value: &Option<Json>) {
        if let Some(value) = value {
            self.name(name).push_str(value.as_str());
        }
    }

    fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.name(name).push_str("true");
        }
    }

    fn others(&mut self, others: &[(String, Json)]) {
        for (name, value) in others {
            self.name(name).push_str(value.as_str());
        }
    }
}

impl Event {
    /// The event as a line of JSON, without a line feed. Read again it is the same event, its position aside.
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.write_json(&mut json);
        json
    }

    /// Adds the event as JSON to a text: one line, without a line feed.
    pub fn write_json(&self, json: &mut String) {
        write(self, json);
    }

    /// Reads an event. Members that are not known are kept, and written again.
    ///
    /// # Errors
    /// When the text is no native event, or a member that has a field here is of another type or stands twice.
    pub fn parse(text: &str) -> Result<Self, EventError> {
        read(text)
    }
}

fn push_string(text: &str, json: &mut String) {
    json.push('"');
    push_json_str(text, json);
    json.push('"');
}

fn write(event: &Event, json: &mut String) {
    let mut object = Object::open(json);
    object.json("before", &event.before);
    object.json("after", &event.after);
    push_string(event.op.as_str(), object.name("op"));
    object.number("ts_ms", event.ts_ms);
    write_source(&event.source, object.name("source"));
    if let Some(transaction) = &event.transaction {
        let mut inner = Object::open(object.name("transaction"));
        inner.text("id", &transaction.id);
        inner.number("total_order", transaction.total_order);
        inner.number("data_collection_order", transaction.data_collection_order);
        inner.others(&transaction.other);
        inner.close();
    }
    object.text("event_id", &event.event_id);
    object.text("tenant_id", &event.tenant_id);
    object.text("schema_version", &event.schema_version);
    object.json("ddl", &event.ddl);
    object.text("trace_id", &event.trace_id);
    if let [first, rest @ ..] = event.tags.as_slice() {
        let tags = object.name("tags");
        tags.push('[');
        push_string(first, tags);
        for tag in rest {
            tags.push(',');
            push_string(tag, tags);
        }
        tags.push(']');
    }
    object.json("synthetic", &event.synthetic);
    object.flag("tx_end", event.tx_end);
    object.others(&event.other);
    if let Some(routing) = &event.routing {
        write_routing(routing, object.name("routing"));
    }
    object.close();
}

fn write_source(source: &Source, json: &mut String) {
    let mut object = Object::open(json);
    object.text("version", &source.version);
    object.text("connector", &source.connector);
    object.text("name", &source.name);
    object.number("ts_ms", source.ts_ms);
    object.text("db", &source.db);
    object.text("schema", &source.schema);
    object.text("table", &source.table);
    object.json("snapshot", &source.snapshot);
    object.json("lsn", &source.lsn);
    object.json("txId", &source.tx_id);
    object.text("file", &source.file);
    object.number("pos", source.pos);
    object.number("row", source.row);
    object.text("gtid", &source.gtid);
    object.number("server_id", source.server_id);
    object.json("sequence", &source.sequence);
    object.others(&source.other);
    object.close();
}

fn write_routing(routing: &EventRouting, json: &mut String) {
    let mut object = Object::open(json);
    object.text("topic", &routing.topic);
    object.text("key", &routing.key);
    if !routing.headers.is_empty() {
        let mut headers = Object::open(object.name("headers"));
        for (name, value) in &routing.headers {
            push_string(value, headers.name(name));
        }
        headers.close();
    }
    object.flag("raw_payload", routing.raw_payload);
    object.close();
}

/// Members that were told of. One that stands twice is refused: readers differ in which one they take.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    fn once(&mut self, name: &str) -> Result<(), EventError> {
        if self.0.insert(name.into()) { Ok(()) } else { Err(EventError::Repeated { member: name.into() }) }
    }
}

fn read(line: &str) -> Result<Event, EventError> {
    let trimmed = line.trim_matches([' ', '\t', '\r', '\n']);
    if !trimmed.starts_with('{') {
        return Json::parse(trimmed).and(Err(EventError::NotAnObject));
    }
    let (mut op, mut source) = (None, None);
    let mut event = Event::new(Op::Truncate, Source::default());
    let mut seen = Seen::default();
    each_member(trimmed, &mut String::new(), |name, raw| {
        seen.once(name)?;
        match name {
            "op" => {
                let letter = text(raw, "op")?.as_deref().and_then(Op::of);
                op = Some(letter.ok_or(EventError::NotAnEvent { reason: "its op is none of c, u, d, r and t" })?);
            }
            "source" => source = object(raw, "source")?.map(read_source).transpose()?,
            "before" => event.before = json(raw),
            "after" => event.after = json(raw),
            "ts_ms" => event.ts_ms = number(raw, "ts_ms")?,
            "transaction" => event.transaction = object(raw, "transaction")?.map(read_transaction).transpose()?,
            "event_id" => event.event_id = text(raw, "event_id")?,
            "tenant_id" => event.tenant_id = text(raw, "tenant_id")?,
            "schema_version" => event.schema_version = text(raw, "schema_version")?,
            "ddl" => event.ddl = json(raw),
            "trace_id" => event.trace_id = text(raw, "trace_id")?,
            "tags" => event.tags = read_tags(raw)?,
            "synthetic" => event.synthetic = json(raw),
            "tx_end" => event.tx_end = flag(raw, "tx_end")?,
            "routing" => event.routing = object(raw, "routing")?.map(read_routing).transpose()?,
            _ => event.other.push((name.into(), Json::checked(raw))),
        }
        Ok(())
    })?;
    event.op = op.ok_or(EventError::NotAnEvent { reason: "it has no op" })?;
    event.source = source.ok_or(EventError::NotAnEvent { reason: "it has no source object" })?;
    Ok(event)
}

fn read_source(raw: &str) -> Result<Source, EventError> {
    let mut source = Source::default();
    let mut seen = Seen::default();
    each_member(raw, &mut String::new(), |name, raw| {
        seen.once(name)?;
        match name {
            "version" => source.version = text(raw, "source.version")?,
            "connector" => source.connector = text(raw, "source.connector")?,
            "name" => source.name = text(raw, "source.name")?,
            "ts_ms" => source.ts_ms = number(raw, "source.ts_ms")?,
            "db" => source.db = text(raw, "source.db")?,
            "schema" => source.schema = text(raw, "source.schema")?,
            "table" => source.table = text(raw, "source.table")?,
            "snapshot" => source.snapshot = json(raw),
            "lsn" => source.lsn = json(raw),
            "txId" => source.tx_id = json(raw),
            "file" => source.file = text(raw, "source.file")?,
            "pos" => source.pos = number(raw, "source.pos")?,
            "row" => source.row = number(raw, "source.row")?,
            "gtid" => source.gtid = text(raw, "source.gtid")?,
            "server_id" => source.server_id = number(raw, "source.server_id")?,
            "sequence" => source.sequence = json(raw),
            _ => source.other.push((name.into(), Json::checked(raw))),
        }
        Ok(())
    })?;
    Ok(source)
}

fn read_transaction(raw: &str) -> Result<Transaction, EventError> {
    let mut transaction = Transaction::default();
    let mut seen = Seen::default();
    each_member(raw, &mut String::new(), |name, raw| {
        seen.once(name)?;
        match name {
            "id" => transaction.id = text(raw, "transaction.id")?,
            "total_order" => transaction.total_order = number(raw, "transaction.total_order")?,
            "data_collection_order" => {
                transaction.data_collection_order = number(raw, "transaction.data_collection_order")?;
            }
            _ => transaction.other.push((name.into(), Json::checked(raw))),
        }
        Ok(())
    })?;
    Ok(transaction)
}

fn read_routing(raw: &str) -> Result<EventRouting, EventError> {
    let mut routing = EventRouting::default();
    let mut seen = Seen::default();
    each_member(raw, &mut String::new(), |name, raw| {
        seen.once(name)?;
        match name {
            "topic" => routing.topic = text(raw, "routing.topic")?,
            "key" => routing.key = text(raw, "routing.key")?,
            "raw_payload" => routing.raw_payload = flag(raw, "routing.raw_payload")?,
            "headers" => {
                let Some(object) = object(raw, "routing.headers")? else { return Ok(()) };
                let mut seen = Seen::default();
                each_member(object, &mut String::new(), |name, raw| {
                    seen.once(name)?;
                    let value =
                        text(raw, "routing.headers")?.ok_or(not_a("routing.headers", "an object of strings"))?;
                    routing.headers.push((name.into(), value));
                    Ok(())
                })?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(routing)
}

fn read_tags(raw: &str) -> Result<Vec<String>, EventError> {
    let not_tags = || not_a("tags", "an array of strings");
    match Value::of(raw) {
        Value::Missing => Ok(Vec::new()),
        Value::Compound(raw) if raw.starts_with('[') => serde_json::from_str(raw).map_err(|_| not_tags()),
        _ => Err(not_tags()),
    }
}

fn not_a(member: &'static str, expected: &'static str) -> EventError {
    EventError::Member { member, expected }
}

fn text(raw: &str, member: &'static str) -> Result<Option<String>, EventError> {
    match Value::of(raw) {
        Value::Missing => Ok(None),
        Value::Text(text) => Ok(Some(text.to_string())),
        Value::Escaped(raw) => {
            let mut text = String::new();
            if unescape(raw, &mut text) { Ok(Some(text)) } else { Err(not_a(member, "a string of whole characters")) }
        }
        _ => Err(not_a(member, "a string")),
    }
}

fn number<N: core::str::FromStr>(raw: &str, member: &'static str) -> Result<Option<N>, EventError> {
    match Value::of(raw) {
        Value::Missing => Ok(None),
        Value::Plain(digits) => digits.parse().map(Some).map_err(|_| not_a(member, "a whole number of 64 bits")),
        _ => Err(not_a(member, "a whole number of 64 bits")),
    }
}

fn flag(raw: &str, member: &'static str) -> Result<bool, EventError> {
    match Value::of(raw) {
        Value::Missing | Value::Plain("false") => Ok(false),
        Value::Plain("true") => Ok(true),
        _ => Err(not_a(member, "true or false")),
    }
}

fn object<'a>(raw: &'a str, member: &'static str) -> Result<Option<&'a str>, EventError> {
    match Value::of(raw) {
        Value::Missing => Ok(None),
        Value::Compound(raw) if raw.starts_with('{') => Ok(Some(raw)),
        _ => Err(not_a(member, "an object")),
    }
}

fn json(raw: &str) -> Option<Json> {
    Some(Json::checked(raw)).filter(|json| !json.is_null())
}
