//! What was written, as YAML or as flags, and the checked plan that it means.
//!
//! ```
//! use natsink::config::{Document, Flags, check};
//!
//! let text = "\
//! sinks:
//!   - type: nats
//!     config:
//!       url: ${NATS_URL:-nats://127.0.0.1:4222}
//!       subject: orders.events
//!       stream: ORDERS
//!       send_timeout_secs: 0
//! ";
//! let document = Document { path: "orders.yaml".into(), text: text.into() };
//! let error = check(Some(&document), &Flags::default(), &|_| None).unwrap_err();
//! assert_eq!(error.to_string(), "orders.yaml:7: sinks[0].config.send_timeout_secs: 0 is not between 1 and 31536000");
//! ```

mod auth;
mod check;
mod context;
mod error;
mod expand;
mod field;
mod flags;
mod limits;
mod message;
mod nats;
mod plan;
mod policy;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod properties;
mod read;
mod sinks;
mod source;
mod tls;
mod written;

pub use check::{HTTP_PORT_DEFAULT, check, log};
pub use error::{ConfigError, ConfigErrorKind, Origin};
pub use expand::Environment;
pub use flags::Flags;
pub use limits::{BYTES_MAX, EVENTS_MAX, LINE_LEN_MAX};
pub use plan::{
    AuthPlan, BatchPlan, Delivery, InFlightPlan, Input, LogFormat, LogLevel, LogPlan, NatsPlan, PIPELINE_DEFAULT, Plan,
    RetryPlan, SinkPlan, SourcePlan, Target,
};
pub use read::{Document, FILE_LEN_MAX};
pub use sinks::SINKS_MAX;
