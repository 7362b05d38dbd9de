//! Records in, watermark out: what becomes of each line of an input, from its bytes to the position that a restart may
//! begin at.

mod cloud_event;
mod commit;
mod counts;
mod dead_letter;
mod envelope;
mod error;
mod escape;
mod event;
mod event_text;
mod fan_out;
mod fan_out_commit;
mod fingerprint;
mod gap;
mod histogram;
mod identity;
mod input;
mod json;
mod json_text;
mod ledger;
mod mapper;
mod mapper_options;
mod passed;
mod pipeline;
mod policy;
mod record;
mod render;
mod replay;
mod rfc3339;
mod ring;
mod routing;
mod scan;
mod template;
mod verdict;
mod watermark;

pub use commit::Commit;
pub use counts::Counts;
pub use dead_letter::{DeadLetter, Reason, Unsent, Whole};
pub use envelope::{Envelope, TYPE_PREFIX_DEFAULT};
pub use error::{EventError, RouteError, ValueError};
pub use event::{Event, EventRouting, Op, Source, Transaction};
pub use fan_out::{FanOut, FanOutSink};
pub use fan_out_commit::FanOutCommit;
pub use fingerprint::{Fingerprint, LineHash, PrefixHash};
pub use gap::Gap;
pub use histogram::Histogram;
pub use identity::{ID_LEN_MAX, IdRule, pipeline_id_prefix, position_id_prefix};
pub use input::Input;
pub use json::Json;
pub use mapper::{Mapped, Mapper};
pub use mapper_options::{MapperError, MapperOptions};
pub use pipeline::{Pipeline, PipelineOptions};
pub use policy::CommitPolicy;
pub use record::{Format, Oversize, Record};
pub use template::{PATH_SEGMENTS_MAX, Template, TemplateError, TemplateKind};

#[cfg(feature = "cli")]
pub(crate) use rfc3339::push_rfc3339;
pub use watermark::{Later, Start};
