//! One scalar on its way from text to meaning: what it says, where it stands, and how to complain about it.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::prelude::v1::*;
use std::time::Duration;

use serde_saphyr::Spanned;

use super::error::{ConfigError, ConfigErrorKind, Origin};
use super::expand::{Environment, expand};
use super::written::Text;

/// The longest time in milliseconds: a day.
pub(super) const MILLIS_MAX: u64 = 24 * 3600 * 1000;

/// Where configuration is written: the file, if there is one, and the environment.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) file: Option<&'a Path>,
    pub(super) environment: &'a Environment<'a>,
    /// The sink of the file that is looked at.
    pub(super) sink: usize,
}

/// A scalar that was written somewhere, variables filled in.
#[derive(Clone)]
pub(super) struct Field {
    pub(super) text: String,
    key: String,
    origin: Origin,
}

impl Desk<'_> {
    /// The whole name of a key of the sink.
    pub(super) fn key(&self, name: &str) -> String {
        format!("sinks[{}].config.{name}", self.sink)
    }

    /// The flag if it was given, else the key of the file. A key that a flag overrides is not looked at: its variables
    /// need not be set.
    pub(super) fn pick(
        &self,
        flag: (&'static str, Option<&str>),
        key: &str,
        written: &Text,
    ) -> Result<Option<Field>, ConfigError> {
        match flag {
            (name, Some(text)) => Ok(Some(Field::flag(name, text))),
            (_, None) => self.file(key, written),
        }
    }

    /// A key of the file.
    pub(super) fn file(&self, key: &str, written: &Text) -> Result<Option<Field>, ConfigError> {
        written.as_ref().map(|text| self.field(key, text)).transpose()
    }

    pub(super) fn field(&self, key: &str, text: &Spanned<String>) -> Result<Field, ConfigError> {
        self.scalar(key, text.referenced.line(), &text.value)
    }

    pub(super) fn scalar(&self, key: &str, line: u64, text: &str) -> Result<Field, ConfigError> {
        let mut field = Field { text: String::new(), key: key.into(), origin: self.line(line) };
        field.text = expand(text, self.environment).map_err(|reason| field.invalid(reason))?;
        Ok(field)
    }

    /// A variable that stands for a flag, if it is set. An empty one counts as not set.
    pub(super) fn variable(&self, name: &str) -> Result<Option<Field>, ConfigError> {
        let Some(value) = (self.environment)(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        let mut field = Field { text: String::new(), key: format!("${name}"), origin: Origin::Variable };
        field.text = value.into_string().map_err(|_| field.invalid("not UTF-8"))?;
        Ok(Some(field))
    }

    /// A path: relative to the folder of the file where it stands in one.
    pub(super) fn path(
        &self,
        flag: (&'static str, Option<&Path>),
        key: &str,
        written: &Text,
    ) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.path_field(flag, key, written)?.map(|(_, path)| path))
    }

    /// The same, with the place where it stands.
    pub(super) fn path_field(
        &self,
        flag: (&'static str, Option<&Path>),
        key: &str,
        written: &Text,
    ) -> Result<Option<(Field, PathBuf)>, ConfigError> {
        if let (name, Some(path)) = flag {
            let field = Field::flag(name, &path.to_string_lossy());
            field.path()?;
            return Ok(Some((field, path.into())));
        }
        let Some(field) = self.file(key, written)? else { return Ok(None) };
        let field = field.literal()?;
        let folder = self.file.and_then(Path::parent).unwrap_or(Path::new(""));
        let path = folder.join(field.path()?);
        Ok(Some((field, path)))
    }

    /// Something that is not there: the user's mistake at the command line, or the file's.
    pub(super) fn missing(&self, key: &str, line: u64, reason: &str) -> ConfigError {
        match self.file {
            None => ConfigError::new(ConfigErrorKind::Usage, Origin::Flag, "", reason),
            Some(_) => ConfigError::new(ConfigErrorKind::Invalid, self.line(line), key, reason),
        }
    }

    /// A key or section of the file, for a complaint about it.
    pub(super) fn section(&self, key: &str, line: u64) -> Field {
        Field { text: String::new(), key: key.into(), origin: self.line(line) }
    }

    fn line(&self, line: u64) -> Origin {
        self.file.map_or(Origin::Flag, |path| Origin::File { path: path.into(), line })
    }
}

impl Field {
    pub(super) fn flag(name: &str, text: &str) -> Self {
        Self { text: text.into(), key: name.into(), origin: Origin::Flag }
    }

    /// A value of the context in the file at `path`.
    pub(super) fn context(path: &Path, key: &str, text: &str) -> Self {
        Self { text: text.into(), key: key.into(), origin: Origin::Context { path: path.into() } }
    }

    /// Says what makes no sense.
    pub(super) fn invalid(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError::new(ConfigErrorKind::Invalid, self.origin.clone(), self.key.clone(), reason)
    }

    /// Says what cannot even be read: at the command line that is a mistake of usage.
    pub(super) fn mistyped(&self, reason: impl Into<String>) -> ConfigError {
        let kind = if self.is_flag() { ConfigErrorKind::Usage } else { ConfigErrorKind::Invalid };
        ConfigError::new(kind, self.origin.clone(), self.key.clone(), reason)
    }

    /// Says that the arguments do not suffice, wherever they stand.
    pub(super) fn usage(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError::new(ConfigErrorKind::Usage, self.origin.clone(), self.key.clone(), reason)
    }

    /// Says what this version does not have.
    pub(super) fn not_yet(&self, what: &str) -> ConfigError {
        let reason = format!("{what} is not in this version");
        ConfigError::new(ConfigErrorKind::NotInThisVersion, self.origin.clone(), self.key.clone(), reason)
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn is_flag(&self) -> bool {
        self.origin == Origin::Flag
    }

    pub(super) fn is_context(&self) -> bool {
        matches!(self.origin, Origin::Context { .. })
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.origin, Origin::File { .. })
    }

    pub(super) fn is_variable(&self) -> bool {
        self.origin == Origin::Variable
    }

    /// How high the place stands where this was written: the higher overrides the lower.
    pub(super) fn rank(&self) -> u32 {
        match self.origin {
            Origin::Flag => 3,
            Origin::Context { .. } => 2,
            Origin::File { .. } => 1,
            Origin::Variable => 0,
        }
    }

    /// This field, where event templates have no meaning.
    pub(super) fn literal(self) -> Result<Self, ConfigError> {
        if self.text.contains("${") {
            return Err(self.invalid(
                "${…} is neither a variable ([A-Z_][A-Z0-9_]*) nor in a place where an event template has a meaning",
            ));
        }
        Ok(self)
    }

    /// Another text for the same place.
    pub(super) fn with_text(self, text: String) -> Self {
        Self { text, ..self }
    }

    /// This field, unless it is empty.
    pub(super) fn not_empty(self, reason: &str) -> Result<Self, ConfigError> {
        if self.text.is_empty() { Err(self.invalid(reason)) } else { Ok(self) }
    }

    /// A whole number in `range`.
    pub(super) fn number(&self, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
        let is_number = !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number {
            return Err(self.mistyped(format!("{:?} is not a whole number", self.text)));
        }
        let (low, high) = (*range.start(), *range.end());
        match self.text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(self.invalid(format!("{} is not between {low} and {high}", self.text))),
        }
    }

    /// A number that counts things in memory.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Result<usize, ConfigError> {
        let number = self.number(range)?;
        usize::try_from(number).map_err(|_| self.invalid("larger than this machine can address"))
    }

    pub(super) fn seconds(&self, range: RangeInclusive<u64>) -> Result<Duration, ConfigError> {
        self.number(range).map(Duration::from_secs)
    }

    pub(super) fn millis(&self, range: RangeInclusive<u64>) -> Result<Duration, ConfigError> {
        self.number(range).map(Duration::from_millis)
    }

    pub(super) fn truth(&self) -> Result<bool, ConfigError> {
        match self.text.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(self.mistyped(format!("{other:?} is neither true nor false"))),
        }
    }

    /// A name that stands in ids, files and logs: 1 to 128 bytes, no white space, no control character, no `|`.
    pub(super) fn name(self) -> Result<String, ConfigError> {
        let field = self.literal()?;
        let forbidden = field.text.chars().find(|char| char.is_whitespace() || char.is_control() || *char == '|');
        match forbidden {
            Some(char) => Err(field.invalid(format!("{char:?} has no place in a name"))),
            None if field.text.is_empty() => Err(field.invalid("an empty name")),
            None if field.text.len() > NAME_LEN_MAX => {
                Err(field.invalid(format!("a name of {} bytes; at most {NAME_LEN_MAX}", field.text.len())))
            }
            None => Ok(field.text),
        }
    }

    fn path(&self) -> Result<&Path, ConfigError> {
        if self.text.is_empty() || self.text.contains('\0') {
            return Err(self.invalid("an empty path, or one with a NUL in it"));
        }
        Ok(Path::new(&self.text))
    }
}

/// The longest name of a pipeline, a sink, an input or a connection, bytes.
pub(super) const NAME_LEN_MAX: usize = 128;
