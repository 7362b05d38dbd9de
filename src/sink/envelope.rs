//! The envelope: the form that events are sent in.

use alloc::string::String;

use super::cloud_event::CloudEvents;
use super::error::EventError;
use super::scan::{Fields, Paths};

/// The prefix of a CloudEvent's `type` where none is given.
pub const TYPE_PREFIX_DEFAULT: &str = "io.natsink.cdc";

/// The form that events are sent in. Whatever it is, the values of an event are sent as the bytes that they came in, and
/// its `routing` is not sent. An event that asks for its `after` alone is sent without an envelope.
///
/// ```
/// use natsink::sink::Envelope;
///
/// assert_eq!(Envelope::default(), Envelope::Native);
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Envelope {
    /// The event itself, byte for byte as it came in.
    #[default]
    Native,
    /// `{"schema":null,"payload":event}`, as Debezium's JSON converter writes it.
    Debezium,
    /// A CloudEvent, version 1.0, in structured JSON, with the header `content-type: application/cloudevents+json`.
    CloudEvents {
        /// What `type` starts with: `com.example.cdc` makes `com.example.cdc.created`.
        type_prefix: String,
    },
}

/// An envelope, ready for use.
#[derive(Debug)]
pub(super) enum Wrapping {
    Native,
    Debezium,
    CloudEvents(CloudEvents),
}

impl Wrapping {
    pub(super) fn new(envelope: &Envelope, paths: &mut Paths) -> Self {
        match envelope {
            Envelope::Native => Self::Native,
            Envelope::Debezium => Self::Debezium,
            Envelope::CloudEvents { type_prefix } => Self::CloudEvents(CloudEvents::new(type_prefix, paths)),
        }
    }

    /// The value of the header `content-type`, where the envelope has one. The CloudEvents binding of NATS tells the
    /// structured mode by it; Debezium's and our own form are JSON without a media type of their own.
    pub(super) const fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::Native | Self::Debezium => None,
            Self::CloudEvents(_) => Some("application/cloudevents+json"),
        }
    }

    /// Puts an event into its envelope; `false` where there is none. `event` is its text without `routing`. `scratch` is
    /// overwritten, and so is `payload`.
    pub(super) fn write(
        &self,
        fields: &Fields<'_>,
        event: &str,
        id: &str,
        scratch: &mut String,
        payload: &mut String,
    ) -> Result<bool, EventError> {
        if matches!(self, Self::Native) {
            return Ok(false);
        }
        payload.clear();
        match self {
            Self::Native => {}
            Self::Debezium => {
                payload.push_str(r#"{"schema":null,"payload":"#);
                payload.push_str(event);
                payload.push('}');
            }
            Self::CloudEvents(cloud_events) => {
                cloud_events.write(fields, id, scratch, payload).map_err(EventError::Envelope)?;
            }
        }
        Ok(true)
    }
}
