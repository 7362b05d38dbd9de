//! What touches files: the input, the checkpoint, the dead letters, the outputs that are lines.

mod append;
mod checkpoint;
mod dead_letter;
mod dead_letter_error;
mod file_input;
mod file_reader;
mod letter;
mod letters;
mod lines;
mod notice;
mod output;
mod output_error;
mod remains;
mod rotation;
mod seen;
mod source;
mod text;
mod trail;

pub use checkpoint::{Checkpoint, CheckpointError, CheckpointFile, InputKind, SavedInput, SavedLater, SinkPosition};
pub use dead_letter::DeadLetterFile;
pub use dead_letter_error::DeadLetterError;
pub use file_input::{Origin, Segment};
pub use file_reader::FollowOptions;
pub use letter::{Gap, GapLine, Letter};
pub use letters::{Found, LetterLine, Letters};
pub use lines::Line;
pub use notice::Notice;
pub use output::LineOutput;
pub use output_error::OutputError;
pub use remains::Remains;
pub use source::{Source, SourceError, SourceOptions, open};
pub use text::rfc3339;
pub use trail::{Look, Trail};
