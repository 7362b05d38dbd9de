//! The envelope: the form that events are sent in.

use alloc::string::String;

/// The prefix of a CloudEvent's `type` where none is given.
pub const TYPE_PREFIX_DEFAULT: &str = "io.natsink.cdc";

/// The form that events are sent in.
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
    /// A CloudEvent, version 1.0, in structured JSON.
    CloudEvents {
        /// What `type` starts with: `com.example.cdc` makes `com.example.cdc.created`.
        type_prefix: String,
    },
}
