//! Records in, watermark out: what becomes of each line of an input, from its bytes to the position that a restart may
//! begin at.

mod counts;
mod dead_letter;
mod envelope;
mod error;
mod escape;
mod fingerprint;
mod histogram;
mod identity;
mod input;
mod mapper;
mod pipeline;
mod policy;
mod record;
mod render;
mod ring;
mod routing;
mod scan;
mod template;
mod verdict;

pub use counts::Counts;
pub use dead_letter::{DeadLetter, Reason, Unsent, Whole};
pub use envelope::{Envelope, TYPE_PREFIX_DEFAULT};
pub use error::{EventError, RouteError, ValueError};
pub use fingerprint::{Fingerprint, LineHash, PrefixHash};
pub use histogram::Histogram;
pub use identity::{ID_LEN_MAX, IdRule, position_id_prefix};
pub use input::Input;
pub use mapper::{Mapped, Mapper, MapperError, MapperOptions};
pub use pipeline::{Commit, Pipeline, PipelineOptions, Start};
pub use policy::CommitPolicy;
pub use record::{Format, Oversize, Record};
pub use template::{PATH_SEGMENTS_MAX, Template, TemplateError, TemplateKind};
