//! What an embedded sink is told once, and why it cannot begin.

use core::fmt;
use std::string::String;

use crate::connection::CloseReason;
use crate::jetstream::{PublisherError, PublisherOptions};
use crate::proto::Pattern;
use crate::session::SessionError;
use crate::sink::{Format, Input, MapperError, MapperOptions, Template, TemplateError, TemplateKind};

/// What an embedded sink is told once.
///
/// ```
/// use natsink::SinkOptions;
/// use natsink::sink::{Envelope, Template, TemplateKind};
///
/// let mut options = SinkOptions::stream("shop", "orders.${source.table}.${op}", "ORDERS")?;
/// options.events.key = Some(Template::new("${after.id}", TemplateKind::Key)?);
/// options.events.envelope = Envelope::Debezium;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SinkOptions {
    /// The sink's name, for its owner.
    pub id: String,
    /// Whether its owner's checkpoint waits for it. The sink only keeps it.
    pub required: bool,
    /// How events become messages: pipeline, subject, key, ids, envelope and headers, by the rules of the command.
    pub events: MapperOptions,
    /// The stream that they go into, and how: in order, nothing lost and nothing twice. The subjects that the stream must
    /// capture are added. `None` is core NATS: at most once past the server's socket.
    pub stream: Option<PublisherOptions>,
}

/// Why an embedded sink cannot begin.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SinkOpenError {
    /// The options make no sense.
    Options(MapperError),
    /// The connection takes no further publisher.
    Session(SessionError),
    /// There is no connection.
    Connection(CloseReason),
    /// The stream cannot take its messages.
    Stream(PublisherError),
}

impl SinkOptions {
    /// A sink of native events into a stream, named `nats` and required. Ids begin with the name of the pipeline; events
    /// whose identity is their [`position`](crate::sink::Event::position) are those of an input named `embedded`, which
    /// [`MapperOptions::input`] changes: two inputs of one pipeline need two names.
    ///
    /// # Errors
    /// When `subject` is no template of a subject.
    pub fn stream(
        pipeline: impl Into<String>,
        subject: &str,
        stream: impl Into<String>,
    ) -> Result<Self, TemplateError> {
        Self::to(pipeline, subject, Some(PublisherOptions::stream(stream)))
    }

    /// As [`stream`](Self::stream), to core NATS.
    ///
    /// # Errors
    /// As for [`stream`](Self::stream).
    pub fn core(pipeline: impl Into<String>, subject: &str) -> Result<Self, TemplateError> {
        Self::to(pipeline, subject, None)
    }

    fn to(pipeline: impl Into<String>, subject: &str, stream: Option<PublisherOptions>) -> Result<Self, TemplateError> {
        let subject = Template::new(subject, TemplateKind::Subject)?;
        let events = MapperOptions::new(pipeline, Input::named("embedded"), Format::Event, subject);
        Ok(Self { id: "nats".into(), required: true, events, stream })
    }

    /// Tells each half what it has to know of the other.
    pub(super) fn completed(mut self) -> Self {
        if let Some(options) = &mut self.stream {
            options.subjects.extend(Pattern::new(self.events.subject.as_pattern()));
            self.events.reserved.push(options.api_prefix.clone());
        }
        self
    }
}

impl fmt::Display for SinkOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
            Self::Connection(reason) => reason.fmt(f),
            Self::Stream(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SinkOpenError {}
