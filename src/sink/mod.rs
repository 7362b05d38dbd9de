//! Records in, watermark out: what becomes of each line of an input, from its bytes to the position that a restart may
//! begin at.

mod error;
mod escape;
mod identity;
mod input;
mod mapper;
mod record;
mod render;
mod routing;
mod scan;
mod template;

pub use error::{EventError, RouteError, ValueError};
pub use identity::{ID_LEN_MAX, IdRule};
pub use input::Input;
pub use mapper::{Mapped, Mapper, MapperError, MapperOptions};
pub use record::{Format, Oversize, Record};
pub use template::{PATH_SEGMENTS_MAX, Template, TemplateError, TemplateKind};
