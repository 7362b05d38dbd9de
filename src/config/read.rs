//! A configuration file into what was written, its mistakes told with file, line and key.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::prelude::v1::*;

use serde::Deserialize;
use serde_path_to_error::{Deserializer, Path as KeyPath, Segment, Track};
use serde_saphyr::Error;

use super::error::{ConfigError, ConfigErrorKind, Origin};
use super::written::Written;

/// The largest configuration file, bytes.
pub const FILE_LEN_MAX: usize = 1024 * 1024;

const NOT_YAML: &str = "not YAML";

/// A configuration file: its path, for messages and for the paths in it, and its text.
#[derive(Clone)]
pub struct Document {
    /// As it was named. Relative paths inside the file are relative to its folder.
    pub path: PathBuf,
    /// YAML, or JSON.
    pub text: String,
}

/// The path alone: a password may stand in the text.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Document {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, is larger than [`FILE_LEN_MAX`] or is not UTF-8.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        let refuse = |reason: String| {
            let origin = Origin::File { path: path.into(), line: 0 };
            ConfigError::new(ConfigErrorKind::Invalid, origin, "", reason)
        };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_LEN_MAX as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| refuse(format!("cannot read the configuration: {error}")))?;
        if bytes.len() > FILE_LEN_MAX {
            return Err(refuse(format!("a configuration of more than {FILE_LEN_MAX} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| refuse("the configuration is not UTF-8".into()))?;
        Ok(Self { path: path.into(), text })
    }

    pub(super) fn written(&self) -> Result<Written, ConfigError> {
        let mut key = String::new();
        let options = serde_saphyr::options! { with_snippet: false };
        let result = serde_saphyr::with_deserializer_from_str_with_options(&self.text, options, |deserializer| {
            let mut track = Track::new();
            let result = Written::deserialize(Deserializer::new(deserializer, &mut track));
            key = key_name(&track.path());
            result
        });
        result.map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            let origin = Origin::File { path: self.path.clone(), line };
            let (key, mut reason) = explain(&error, key);
            let at = usize::try_from(line).unwrap_or_default().saturating_sub(1);
            if reason.starts_with(NOT_YAML) && self.text.lines().nth(at).is_some_and(|line| line.contains("${")) {
                reason.push_str("; between { and } write \"${NAME}\" with its quotes");
            }
            ConfigError::new(ConfigErrorKind::Invalid, origin, key, reason)
        })
    }
}

/// `sinks[0].config.url` out of the path that the reader took, in which every located value is a step of its own.
fn key_name(path: &KeyPath) -> String {
    let mut name = String::new();
    let mut in_headers = false;
    for segment in path {
        match segment {
            Segment::Seq { index } => name.push_str(&format!("[{index}]")),
            Segment::Map { key } if key != "value" || in_headers => {
                in_headers = key == "headers";
                let dot = if name.is_empty() { "" } else { "." };
                name.push_str(&format!("{dot}{}", key.escape_debug()));
            }
            _ => {}
        }
    }
    name
}

/// The reason in words of the configuration, not of the reader; no value is repeated, since it may be a secret.
fn explain(error: &Error, key: String) -> (String, String) {
    let reason = match error {
        Error::SerdeUnknownField { expected, .. } => format!("unknown key; known here: {}", expected.join(", ")),
        Error::DuplicateMappingKey { key: repeated, .. } => {
            let repeated = repeated.as_deref().unwrap_or_default();
            let dot = if key.is_empty() { "" } else { "." };
            return (format!("{key}{dot}{}", repeated.escape_debug()), "repeated key".into());
        }
        Error::Unexpected { expected, .. } if expected.contains("mapping") => "must be a section of keys".into(),
        Error::Unexpected { expected, .. } if expected.contains("sequence") => "must be a list".into(),
        Error::Unexpected { expected, .. } if expected.contains("scalar") => "must be a single value".into(),
        Error::SerdeInvalidType { .. } => "must be a word or a section of keys".into(),
        Error::TaggedScalarCannotDeserializeIntoString { .. } => "a tag such as !!int has no place here".into(),
        Error::MultipleDocuments { .. } => "more than one document in the file".into(),
        Error::ExternalMessage { msg, .. } => format!("{NOT_YAML}: {msg}"),
        other => {
            let text = other.to_string();
            let place = other.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
            place.and_then(|place| text.strip_suffix(&place).map(String::from)).unwrap_or(text)
        }
    };
    (key, reason)
}
