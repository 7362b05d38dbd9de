//! From a record to a message: its subject, its id, its headers and the bytes that are sent.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::error::{EventError, RouteError};
use super::identity::{IdRule, Identity};
use super::input::Input;
use super::record::{Format, Record};
use super::render::{Rendering, header, plain};
use super::routing::{KEY, Routing, RoutingSlots, is_control, read_headers, without_member};
use super::scan::{Fields, Paths, Scanner, Slot, Value};
use super::template::{Template, TemplateKind};
use crate::jetstream::{Message, Payload};
use crate::proto::{HeaderBlock, HeaderError, MsgId, Subject};

/// A payload of this many bytes is handed on as a reference to its chunk, a smaller one is copied into the window.
const SHARED_LEN_MIN: usize = 8 * 1024;

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
    /// Headers of every message.
    pub headers: Vec<(String, String)>,
    /// Subjects that no event may have: these, and all that begin with one of these and a dot.
    pub reserved: Vec<String>,
}

/// Makes messages of records. It keeps its buffers, so that in a steady state it takes no memory.
///
/// ```
/// use natsink::sink::{Format, Input, Mapper, MapperOptions, Record, Template, TemplateKind};
/// use natsink::time::Instant;
///
/// let subject = Template::new("orders.${source.table}.${op}", TemplateKind::Subject)?;
/// let mut mapper = Mapper::new(MapperOptions::new("shop", Input::named("example"), Format::Event, subject))?;
/// let line = r#"{"op":"c","source":{"table":"customers"},"after":{"id":1}}"#;
/// let record = Record { line: line.into(), position: 0, end: line.len() as u64, number: 1, read_at: Instant::ZERO };
/// let mapped = mapper.map(&record)?;
/// assert_eq!(mapped.subject().as_str(), "orders.customers.c");
/// assert_eq!(mapped.id().as_str(), "shop|example:0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Mapper {
    rules: Rules,
    scanner: Scanner,
    after: After,
    made: Made,
}

/// A record, ready to be sent.
#[derive(Clone, Debug)]
pub struct Mapped<'a> {
    subject: Subject<'a>,
    id: MsgId<'a>,
    headers: Option<&'a HeaderBlock>,
    payload: Payload<'a>,
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
    /// This header steers the server.
    ControlHeader(String),
}

/// What does not change from record to record.
#[derive(Debug)]
struct Rules {
    format: Format,
    identity: Identity,
    subject: Rendering,
    /// Whether the subject has no variables: it was then checked when the mapper was made.
    subject_is_literal: bool,
    key: Option<Rendering>,
    event: Option<EventSlots>,
    fixed: Vec<(String, String)>,
    /// The same, as they are sent.
    fixed_block: HeaderBlock,
    reserved: Vec<String>,
}

/// Where a native event says what it is.
#[derive(Debug)]
struct EventSlots {
    op: Slot,
    source: Slot,
    routing: RoutingSlots,
}

/// A second pass, for the few events that are sent as their `after` alone.
#[derive(Debug)]
struct After {
    scanner: Scanner,
    slot: Slot,
}

/// What was made of the last record.
#[derive(Debug, Default)]
struct Made {
    subject: String,
    id: String,
    key: String,
    headers: HeaderBlock,
    /// The event without its `routing`.
    cut: Vec<u8>,
    scratch: String,
    lines: Lines,
    body: Body,
    subject_known: bool,
    id_known: bool,
}

/// Which bytes are sent.
#[derive(Clone, Debug, Default)]
enum Body {
    #[default]
    Line,
    Part(Range<usize>),
    Cut,
}

/// Which headers are sent.
#[derive(Clone, Copy, Debug, Default)]
enum Lines {
    #[default]
    Fixed,
    Made,
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
            headers: Vec::new(),
            reserved: ["$JS", "$SYS", "_INBOX"].map(String::from).into(),
        }
    }

    fn check(&self) -> Result<(), MapperError> {
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
        match self.headers.iter().find(|(name, _)| is_control(name)) {
            Some((name, _)) => Err(MapperError::ControlHeader(name.clone())),
            None => Ok(()),
        }
    }
}

impl Mapper {
    /// Compiles the templates and checks the headers.
    ///
    /// # Errors
    /// What no event could mend, see [`MapperError`].
    pub fn new(options: MapperOptions) -> Result<Self, MapperError> {
        options.check()?;
        let mut fixed_block = HeaderBlock::new();
        for (name, value) in &options.headers {
            fixed_block.push(name, value).map_err(MapperError::Header)?;
        }
        let mut paths = Paths::new();
        let events = options.format == Format::Event;
        let mut identity = Identity::new(&options.pipeline, &options.id, events, &mut paths);
        identity.set_input(&options.input);
        let rules = Rules {
            format: options.format,
            identity,
            subject: Rendering::new(&options.subject, &mut paths),
            subject_is_literal: options.subject.is_literal(),
            key: options.key.as_ref().map(|key| Rendering::new(key, &mut paths)),
            event: events.then(|| EventSlots {
                op: paths.want(["op"]),
                source: paths.node(["source"]),
                routing: RoutingSlots::new(&mut paths),
            }),
            fixed: options.headers,
            fixed_block,
            reserved: options.reserved,
        };
        Ok(Self { rules, scanner: Scanner::new(paths), after: After::new(), made: Made::default() })
    }

    /// What a line is.
    pub const fn format(&self) -> Format {
        self.rules.format
    }

    /// The records from now on are another input's.
    pub fn set_input(&mut self, input: &Input) {
        self.rules.identity.set_input(input);
    }

    /// Makes the message of a record, always the same one for the same record.
    ///
    /// # Errors
    /// Why this event cannot be sent; [`subject`](Self::subject) and [`id`](Self::id) then tell how far it was understood.
    pub fn map<'a>(&'a mut self, record: &'a Record) -> Result<Mapped<'a>, EventError> {
        self.prepare(record)?;
        Ok(self.mapped(record))
    }

    /// All the work of [`map`](Self::map). Apart from it, so that a borrow of the message need not outlive a failure.
    pub(super) fn prepare(&mut self, record: &Record) -> Result<(), EventError> {
        let Self { rules, scanner, after, made } = self;
        (made.subject_known, made.id_known) = (false, false);
        let fields = match rules.format {
            Format::Lines => None,
            Format::Event | Format::Json => Some(scanner.scan(&record.line)?),
        };
        (made.lines, made.body) = rules.map(fields.as_ref(), record, after, made)?;
        if rules.identity.is_content() {
            let payload = match &made.body {
                Body::Line => &record.line[..],
                Body::Part(span) => &record.line[span.clone()],
                Body::Cut => &made.cut,
            };
            rules.identity.write_content(&made.subject, payload, &mut made.id);
            made.id_known = true;
        }
        Ok(())
    }

    /// The length of the payload that was prepared last, bytes.
    pub(super) fn payload_len(&self, record: &Record) -> usize {
        match &self.made.body {
            Body::Line => record.line.len(),
            Body::Part(span) => span.len(),
            Body::Cut => self.made.cut.len(),
        }
    }

    /// The message of the record that was prepared last.
    pub(super) fn mapped<'a>(&'a self, record: &'a Record) -> Mapped<'a> {
        let made = &self.made;
        let headers = match made.lines {
            Lines::Fixed => &self.rules.fixed_block,
            Lines::Made => &made.headers,
        };
        let is_large = |len| len >= SHARED_LEN_MIN;
        let payload = match &made.body {
            Body::Line if is_large(record.line.len()) => Payload::Shared(record.line.clone()),
            Body::Line => Payload::Slice(&record.line),
            Body::Part(span) if is_large(span.len()) => Payload::Shared(record.line.slice(span.clone())),
            Body::Part(span) => Payload::Slice(&record.line[span.clone()]),
            Body::Cut => Payload::Slice(&made.cut),
        };
        Mapped {
            subject: Subject::checked(&made.subject),
            // Printable ASCII, not empty, and shorter than it may be.
            id: MsgId::made(&made.id),
            headers: (!headers.is_empty()).then_some(headers),
            payload,
        }
    }

    /// The subject of the last record, where one could be made.
    pub fn subject(&self) -> Option<&str> {
        self.made.subject_known.then_some(&*self.made.subject)
    }

    /// The id of the last record, where one could be made.
    pub fn id(&self) -> Option<&str> {
        self.made.id_known.then_some(&*self.made.id)
    }
}

impl Rules {
    fn map(
        &self,
        fields: Option<&Fields<'_>>,
        record: &Record,
        after: &mut After,
        made: &mut Made,
    ) -> Result<(Lines, Body), EventError> {
        let id = self.identity.write(fields, record.position, &mut made.scratch, &mut made.id);
        made.id_known = id.is_ok() && !self.identity.is_content();
        let routing = match (&self.event, fields) {
            (Some(event), Some(fields)) => event.read(fields)?,
            _ => None,
        };
        self.write_subject(fields, routing.as_ref(), made)?;
        made.subject_known = true;
        id.map_err(EventError::Id)?;
        let lines = self.write_headers(fields, routing.as_ref(), made)?;
        let body = match routing {
            None => Body::Line,
            Some(routing) if routing.raw_payload => Body::Part(after.find(record)?),
            Some(routing) => {
                without_member(&record.line, routing.span, &mut made.cut);
                Body::Cut
            }
        };
        Ok((lines, body))
    }

    fn write_subject(
        &self,
        fields: Option<&Fields<'_>>,
        routing: Option<&Routing<'_>>,
        made: &mut Made,
    ) -> Result<(), RouteError> {
        made.subject.clear();
        match routing.and_then(|routing| routing.topic) {
            None => {
                self.subject.write(fields, &mut made.scratch, &mut made.subject)?;
                if self.subject_is_literal {
                    return Ok(());
                }
            }
            Some(topic) => {
                let topic = plain(topic, "routing.topic", &mut made.scratch)?;
                made.subject.push_str(topic.unwrap_or_default());
            }
        }
        check_subject(&made.subject, &self.reserved)
    }

    /// The headers: configured ones, then those of the event, which win by exact name, then the key.
    fn write_headers(
        &self,
        fields: Option<&Fields<'_>>,
        routing: Option<&Routing<'_>>,
        made: &mut Made,
    ) -> Result<Lines, EventError> {
        made.key.clear();
        let own_key = routing.and_then(|routing| routing.key);
        match (own_key, &self.key) {
            (Some(key), _) => {
                let path = "routing.key";
                let key = plain(key, path, &mut made.scratch).and_then(|key| header(key.unwrap_or_default(), path));
                made.key.push_str(key.map_err(EventError::Key)?);
            }
            (None, Some(key)) => {
                key.write(fields, &mut made.scratch, &mut made.key).map_err(EventError::Key)?;
            }
            (None, None) => {}
        }
        let mut own = match routing.and_then(|routing| routing.headers) {
            Some(raw) => read_headers(raw, &mut made.scratch)?,
            None => Vec::new(),
        };
        if own_key.is_some() {
            own.retain(|(name, _)| name != KEY);
        } else if own.iter().any(|(name, _)| name == KEY) {
            made.key.clear();
        }
        if own.is_empty() && made.key.is_empty() {
            return Ok(Lines::Fixed);
        }
        made.headers.clear();
        for (name, value) in &self.fixed {
            let replaced = own.iter().any(|(other, _)| other == name) || (name == KEY && !made.key.is_empty());
            if !replaced {
                made.headers.push(name, value)?;
            }
        }
        for (name, value) in &own {
            made.headers.push(name, value)?;
        }
        if !made.key.is_empty() {
            made.headers.push(KEY, &made.key)?;
        }
        Ok(Lines::Made)
    }
}

impl EventSlots {
    /// Checks that the object is a native event, and reads what it asks for.
    fn read<'a>(&self, fields: &Fields<'a>) -> Result<Option<Routing<'a>>, EventError> {
        match fields.value(self.op) {
            Value::Text("c" | "u" | "d" | "r" | "t") => {}
            Value::Missing => return Err(EventError::NotAnEvent { reason: "it has no op" }),
            _ => return Err(EventError::NotAnEvent { reason: "its op is none of c, u, d, r and t" }),
        }
        if !fields.is_object(self.source) {
            return Err(EventError::NotAnEvent { reason: "it has no source object" });
        }
        self.routing.read(fields)
    }
}

impl After {
    fn new() -> Self {
        let mut paths = Paths::new();
        let slot = paths.want(["after"]);
        Self { scanner: Scanner::new(paths), slot }
    }

    /// Where `after` stands in the line, null included.
    fn find(&mut self, record: &Record) -> Result<Range<usize>, EventError> {
        let span = self.scanner.scan(&record.line)?.span(self.slot);
        span.ok_or(EventError::Routing { member: "after", expected: "there, where routing.raw_payload is true" })
    }
}

impl<'a> Mapped<'a> {
    /// Where it is published to.
    pub const fn subject(&self) -> Subject<'a> {
        self.subject
    }

    /// Its `Nats-Msg-Id`.
    pub const fn id(&self) -> MsgId<'a> {
        self.id
    }

    /// Its headers besides the id, if there are any.
    pub const fn headers(&self) -> Option<&'a HeaderBlock> {
        self.headers
    }

    /// The bytes that are sent.
    pub fn payload(&self) -> &[u8] {
        self.payload.as_bytes()
    }

    /// The message for a publisher.
    pub fn message(self) -> Message<'a> {
        let message = Message::new(self.subject, self.payload).id(self.id);
        match self.headers {
            Some(headers) => message.headers(headers),
            None => message,
        }
    }
}

fn check_subject(subject: &str, reserved: &[String]) -> Result<(), RouteError> {
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
            Self::ControlHeader(name) => {
                write!(f, "the header {name:?} cannot be set: names that begin with Nats- steer the server")
            }
        }
    }
}

impl core::error::Error for MapperError {}
