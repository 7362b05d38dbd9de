//! JSON values kept as the text that they came in.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use core::fmt;

use serde_core::Deserializer as _;
use serde_core::de::IgnoredAny;

use super::error::EventError;
use super::json_text::push_json_str;
use super::scan::not_json;

/// A JSON value as text: numbers keep every digit, objects the order of their members. It is one line, since in JSON a
/// line feed outside a string means no more than a blank.
///
/// ```
/// use natsink::sink::Json;
///
/// let price = Json::parse("{\"price\": 149.90}\n")?;
/// assert_eq!(price.as_str(), r#"{"price": 149.90}"#);
/// assert_eq!(Json::string("a \"b\"").as_str(), r#""a \"b\"""#);
/// assert_eq!(Json::from(7_u64).as_str(), "7");
/// assert!(Json::parse("{").is_err());
/// # Ok::<(), natsink::sink::EventError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Json(Box<str>);

impl Json {
    /// A value from its text.
    ///
    /// # Errors
    /// When the text is not one JSON value.
    pub fn parse(text: &str) -> Result<Self, EventError> {
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_ignored_any(IgnoredAny).and_then(|_| json.end()).map_err(not_json)?;
        Ok(Self::checked(text))
    }

    /// A string.
    pub fn string(text: &str) -> Self {
        let mut json = String::with_capacity(text.len() + 2);
        json.push('"');
        push_json_str(text, &mut json);
        json.push('"');
        Self(json.into())
    }

    /// The text of a value that is known to be one.
    pub(super) fn checked(text: &str) -> Self {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if text.contains(['\r', '\n']) {
            return Self(text.replace(['\r', '\n'], " ").into());
        }
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        *self.0 == *"null"
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self(value.to_string().into())
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self(value.to_string().into())
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
