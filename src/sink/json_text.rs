//! The notation of JSON strings.

use alloc::string::String;

/// Adds `text` as it stands between the quotes of a JSON string.
pub(super) fn push_json_str(text: &str, json: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        json.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            control => {
                json.push_str("\\u00");
                for digit in [control >> 4, control & 15] {
                    json.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
                }
            }
        }
        rest = &rest[at + 1..];
    }
    json.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_is_read_back(text in "[\\x00-\\x7f]{0,20}|.*") {
            let mut json = String::from("\"");
            push_json_str(&text, &mut json);
            json.push('"');
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            prop_assert!(!json.bytes().any(|byte| byte < 0x20));
        }
    }
}
