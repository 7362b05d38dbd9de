//! From a record to a message: its subject, its id, its headers and the bytes that are sent.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::envelope::Wrapping;
use super::error::{EventError, RouteError};
use super::identity::Identity;
use super::input::Input;
use super::mapper_options::{MapperError, MapperOptions, check_subject};
use super::record::{Format, Record};
use super::render::{Rendering, header, plain};
use super::routing::{KEY, OwnHeaders, Routing, RoutingSlots, without_member};
use super::scan::{Fields, Paths, Scanner, Slot, Value};
use crate::jetstream::{Message, Payload};
use crate::proto::{HeaderBlock, MsgId, Subject};

/// The header that names the form of a payload.
const CONTENT_TYPE: &str = "content-type";

/// A payload of this many bytes is handed on as a reference to its chunk, a smaller one is copied into the window.
const SHARED_LEN_MIN: usize = 8 * 1024;

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
    wrapping: Wrapping,
    /// What the envelope is named by, unless the configured headers name it.
    content_type: Option<&'static str>,
    fixed: Vec<(String, String)>,
    /// The same and the name of the envelope, as they are sent.
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
    cut: String,
    /// The event in its envelope.
    wrapped: String,
    own_headers: OwnHeaders,
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
    Wrapped,
}

/// Which headers are sent.
#[derive(Clone, Copy, Debug, Default)]
enum Lines {
    #[default]
    Fixed,
    Made,
}

impl Mapper {
    /// Compiles the templates and checks the headers.
    ///
    /// # Errors
    /// What no event could mend, see [`MapperError`].
    pub fn new(options: MapperOptions) -> Result<Self, MapperError> {
        options.check()?;
        let mut paths = Paths::new();
        let events = options.format == Format::Event;
        let mut identity = Identity::new(&options.pipeline, &options.id, events, &mut paths);
        identity.set_input(&options.input);
        let wrapping = Wrapping::new(&options.envelope, &mut paths);
        let has = |name: &str| options.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let content_type = wrapping.content_type().filter(|_| !has(CONTENT_TYPE));
        let mut fixed_block = HeaderBlock::new();
        let named = content_type.map(|content_type| (CONTENT_TYPE, content_type));
        let fixed = options.headers.iter().map(|(name, value)| (&**name, &**value));
        for (name, value) in named.into_iter().chain(fixed) {
            fixed_block.push(name, value).map_err(MapperError::Header)?;
        }
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
            wrapping,
            content_type,
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

    /// As [`map`](Self::map), for a line that is no record. Without a position in its input only a whole source position,
    /// an `event_id`, its content or a template can make its id.
    ///
    /// # Errors
    /// As for [`map`](Self::map).
    pub fn map_line<'a>(&'a mut self, line: &'a Bytes, position: Option<u64>) -> Result<Mapped<'a>, EventError> {
        self.prepare_line(line, position)?;
        Ok(self.mapped_line(line))
    }

    /// All the work of [`map`](Self::map). Apart from it, so that a borrow of the message need not outlive a failure.
    pub(super) fn prepare(&mut self, record: &Record) -> Result<(), EventError> {
        self.prepare_line(&record.line, Some(record.position))
    }

    #[inline]
    fn prepare_line(&mut self, line: &Bytes, position: Option<u64>) -> Result<(), EventError> {
        let Self { rules, scanner, after, made } = self;
        (made.subject_known, made.id_known) = (false, false);
        let fields = match rules.format {
            Format::Lines => None,
            Format::Event | Format::Json => Some(scanner.scan(line)?),
        };
        (made.lines, made.body) = rules.map(fields.as_ref(), line, position, after, made)?;
        if rules.identity.is_content() {
            let payload = match &made.body {
                Body::Line | Body::Wrapped => &line[..],
                Body::Part(span) => &line[span.clone()],
                Body::Cut => made.cut.as_bytes(),
            };
            rules.identity.write_content(&made.subject, payload, &mut made.id);
            made.id_known = true;
        }
        if let Some(fields) = &fields {
            rules.wrap(fields, made)?;
        }
        Ok(())
    }

    /// The length of the payload that was prepared last, bytes.
    pub(super) fn payload_len(&self, record: &Record) -> usize {
        match &self.made.body {
            Body::Line => record.line.len(),
            Body::Part(span) => span.len(),
            Body::Cut => self.made.cut.len(),
            Body::Wrapped => self.made.wrapped.len(),
        }
    }

    /// The message of the record that was prepared last.
    pub(super) fn mapped<'a>(&'a self, record: &'a Record) -> Mapped<'a> {
        self.mapped_line(&record.line)
    }

    #[inline]
    fn mapped_line<'a>(&'a self, line: &'a Bytes) -> Mapped<'a> {
        let made = &self.made;
        let headers = match made.lines {
            Lines::Fixed => &self.rules.fixed_block,
            Lines::Made => &made.headers,
        };
        let is_large = |len| len >= SHARED_LEN_MIN;
        let payload = match &made.body {
            Body::Line if is_large(line.len()) => Payload::Shared(line.clone()),
            Body::Line => Payload::Slice(line),
            Body::Part(span) if is_large(span.len()) => Payload::Shared(line.slice(span.clone())),
            Body::Part(span) => Payload::Slice(&line[span.clone()]),
            Body::Cut => Payload::Slice(made.cut.as_bytes()),
            Body::Wrapped => Payload::Slice(made.wrapped.as_bytes()),
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
        line: &[u8],
        position: Option<u64>,
        after: &mut After,
        made: &mut Made,
    ) -> Result<(Lines, Body), EventError> {
        let id = self.identity.write(fields, position, &mut made.scratch, &mut made.id);
        made.id_known = id.is_ok() && !self.identity.is_content();
        let routing = match (&self.event, fields) {
            (Some(event), Some(fields)) => event.read(fields)?,
            _ => None,
        };
        self.write_subject(fields, routing.as_ref(), made)?;
        made.subject_known = true;
        id?;
        let lines = self.write_headers(fields, routing.as_ref(), made)?;
        let body = match (routing, fields) {
            (Some(routing), _) if routing.raw_payload => Body::Part(after.find(line)?),
            (Some(routing), Some(fields)) => {
                without_member(fields.line(), routing.span, &mut made.cut);
                Body::Cut
            }
            _ => Body::Line,
        };
        Ok((lines, body))
    }

    /// Puts the event that is to be sent into its envelope. An `after` alone is sent as it is.
    fn wrap(&self, fields: &Fields<'_>, made: &mut Made) -> Result<(), EventError> {
        let event = match made.body {
            Body::Part(_) | Body::Wrapped => return Ok(()),
            Body::Line => fields.line(),
            Body::Cut => &*made.cut,
        };
        if self.wrapping.write(fields, event, &made.id, &mut made.scratch, &mut made.wrapped)? {
            made.body = Body::Wrapped;
        }
        Ok(())
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

    /// The headers: the envelope's, the configured ones, then those of the event, which win by exact name, then the key.
    fn write_headers(
        &self,
        fields: Option<&Fields<'_>>,
        routing: Option<&Routing<'_>>,
        made: &mut Made,
    ) -> Result<Lines, EventError> {
        let Made { key, own_headers: own, scratch, headers, .. } = made;
        let own_key = routing.and_then(|routing| routing.key);
        self.write_key(fields, own_key, scratch, key)?;
        match routing.and_then(|routing| routing.headers) {
            Some(object) => own.read(object, scratch)?,
            None => own.clear(),
        }
        let is_bare = routing.is_some_and(|routing| routing.raw_payload);
        let content_type = self.content_type.filter(|_| !is_bare);
        if own.is_empty() && key.is_empty() && content_type.is_some() == self.content_type.is_some() {
            return Ok(Lines::Fixed);
        }
        if own_key.is_none() && own.has(KEY) {
            key.clear();
        }
        headers.clear();
        let names_its_form = || own.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE));
        if let Some(content_type) = content_type.filter(|_| !names_its_form()) {
            headers.push(CONTENT_TYPE, content_type)?;
        }
        for (name, value) in &self.fixed {
            if !own.has(name) && (name != KEY || key.is_empty()) {
                headers.push(name, value)?;
            }
        }
        for (name, value) in own.iter().filter(|(name, _)| *name != KEY || own_key.is_none()) {
            headers.push(name, value)?;
        }
        if !key.is_empty() {
            headers.push(KEY, key)?;
        }
        Ok(Lines::Made)
    }

    fn write_key(
        &self,
        fields: Option<&Fields<'_>>,
        own: Option<Value<'_>>,
        scratch: &mut String,
        key: &mut String,
    ) -> Result<(), EventError> {
        key.clear();
        let written = match (own, &self.key) {
            (Some(own), _) => {
                let path = "routing.key";
                plain(own, path, scratch)
                    .and_then(|own| header(own.unwrap_or_default(), path))
                    .map(|own| key.push_str(own))
            }
            (None, Some(template)) => template.write(fields, scratch, key),
            (None, None) => Ok(()),
        };
        written.map_err(EventError::Key)
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
    fn find(&mut self, line: &[u8]) -> Result<Range<usize>, EventError> {
        let span = self.scanner.scan(line)?.span(self.slot);
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
