//! JSON as peers write it: an object in which no member hides behind another of the same name.

use alloc::string::String;

use serde_json::{Map, Value};

/// Why a text is no such object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum JsonError {
    /// It is no JSON object.
    NotAnObject,
    /// A member of it, or of something in it, is there twice: readers differ in which one they take.
    Double,
}

/// Reads an object.
pub(crate) fn object(json: &[u8]) -> Result<Map<String, Value>, JsonError> {
    let Ok(Value::Object(members)) = serde_json::from_slice(json) else { return Err(JsonError::NotAnObject) };
    if members_read(&members) == members_written(json) { Ok(members) } else { Err(JsonError::Double) }
}

/// All members of this object and of what is in it. The reader bounds how deep that goes.
fn members_read(members: &Map<String, Value>) -> usize {
    members.len() + members.values().map(members_in).sum::<usize>()
}

fn members_in(value: &Value) -> usize {
    match value {
        Value::Object(members) => members_read(members),
        Value::Array(values) => values.iter().map(members_in).sum(),
        _ => 0,
    }
}

/// The members of a text that is known to be JSON, doubles counted: the colons outside strings.
fn members_written(json: &[u8]) -> usize {
    let (mut members, mut in_string, mut escaped) = (0, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b':' if !in_string => members += 1,
            _ => {}
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_seen_at_any_depth() {
        for good in [r"{}", r#"{"a":1,"b":{"a":1}}"#, r#"{"a:":":","b\"":[{"a":1},{"a":{"a":[]}}]}"#] {
            assert!(object(good.as_bytes()).is_ok(), "{good}");
        }
        for double in [r#"{"a":1,"a":1}"#, r#"{"b":{"a":1,"\u0061":2}}"#, r#"{"b":[1,{"a":1,"c":1,"a":1}]}"#] {
            assert_eq!(object(double.as_bytes()), Err(JsonError::Double), "{double}");
        }
        for none in ["", "[]", "{", "null", r#"{"a":1}x"#] {
            assert_eq!(object(none.as_bytes()), Err(JsonError::NotAnObject), "{none}");
        }
    }
}
