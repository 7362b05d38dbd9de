//! What touches files: the input, the checkpoint, the dead letters.

mod checkpoint;
mod dead_letter;
mod file_input;
mod lines;
mod source;
mod text;

pub use checkpoint::{Checkpoint, CheckpointError, CheckpointFile, InputKind, SavedInput, SinkPosition};
pub use dead_letter::{DeadLetterError, DeadLetterFile};
pub use file_input::{Origin, Segment, plan};
pub use lines::Line;
pub use source::{Source, SourceError, SourceOptions, open};
pub use text::rfc3339;
