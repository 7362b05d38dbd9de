//! Why a dead-letter file cannot be used.

use core::fmt;
use std::io;
use std::path::PathBuf;
use std::prelude::v1::*;

/// Why a dead letter cannot be kept, or read.
#[derive(Debug)]
pub struct DeadLetterError {
    /// What was to be done.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The system's reason.
    pub error: io::Error,
}

impl fmt::Display for DeadLetterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} the dead-letter file {}: {}", self.action, self.path.display(), self.error)
    }
}

impl core::error::Error for DeadLetterError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}
