//! Publishes that outlive links: the messages, the window they wait in, and what becomes of each.

mod ack;
mod acks;
mod answers;
mod byte_ring;
mod delivered;
mod error;
mod id_set;
mod in_flight;
mod message;
mod notice;
mod options;
mod ordered;
mod outcome;
mod publisher;
mod read_back;
mod recall;
mod recalling;
mod settling;
mod sifting;
mod silence;
mod stored_message;
mod stream_check;
mod stream_info;
#[cfg(feature = "tracing")]
mod telling;
mod token;
mod verdict;

pub use acks::AckSlot;
pub use error::{Anomaly, PublisherError, SubmitError};
pub use message::{Message, Payload};
pub use notice::{Notice, PublisherStatistics};
pub use options::PublisherOptions;
pub use outcome::{Outcome, Rejection};
pub use publisher::Publisher;
pub use stored_message::StoredMessage;
pub use stream_info::{StreamInfo, StreamProblem, StreamWarning};
