//! Variables of the environment in a scalar: `${NAME}` and `${NAME:-default}` filled in, event templates left alone.

use std::ffi::OsString;
use std::prelude::v1::*;

/// The environment as the configuration sees it: a name to its value. Tests bring their own.
pub type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// Fills in every `${NAME}` and `${NAME:-default}` whose whole name is `[A-Z_][A-Z0-9_]*`. What it fills in is not looked
/// at again. As in a shell, the default stands for an empty variable too.
///
/// # Errors
/// The reason, naming the variable and never a value: unset and without default, or not UTF-8.
pub(super) fn expand(text: &str, environment: &Environment<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((name, default, tail)) = variable(after) else {
            expanded.push_str("${");
            rest = after;
            continue;
        };
        expanded.push_str(&value(name, default, environment)?);
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Splits what follows `${` into name, default and the text after the closing brace; `None` where it is no variable.
fn variable(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let (body, tail) = text.split_once('}')?;
    let (name, default) = match body.split_once(":-") {
        None => (body, None),
        Some((name, default)) => (name, Some(default)),
    };
    let mut bytes = name.bytes();
    let is_name = bytes.next().is_some_and(|first| first.is_ascii_uppercase() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    is_name.then_some((name, default, tail))
}

fn value(name: &str, default: Option<&str>, environment: &Environment<'_>) -> Result<String, String> {
    match (environment(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.into()),
        (Some(value), _) => value.into_string().map_err(|_| format!("the variable {name} is not UTF-8")),
        (None, Some(default)) => Ok(default.into()),
        (None, None) => Err(format!("the variable {name} is not set; set it, or write ${{{name}:-default}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, &|name| match name {
            "A" => Some("1".into()),
            "B_2" => Some("two".into()),
            "_C" => Some("${A}".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        })
    }

    #[test]
    fn fills_in_whole_names_and_defaults() {
        let cases = [
            ("", ""),
            ("plain $A {A} $", "plain $A {A} $"),
            ("${A}", "1"),
            ("x${A}y${B_2}z", "x1ytwoz"),
            ("${A:-9}", "1"),
            ("${D:-9}", "9"),
            ("${D:-}", ""),
            ("${D:-a:-b c}", "a:-b c"),
            ("${EMPTY}", ""),
            ("${EMPTY:-full}", "full"),
            ("${_C}", "${A}"),
        ];
        for (text, expected) in cases {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn leaves_event_templates_alone() {
        for text in
            ["${source.table}", "${after.ID}", "${a}", "${A.B}", "${1A}", "${}", "${A-B}", "${A", "$${", "${a:-b}"]
        {
            assert_eq!(expanded(text).as_deref(), Ok(text));
        }
        assert_eq!(expanded("${op}.${A}.${after.id}").as_deref(), Ok("${op}.1.${after.id}"));
        assert_eq!(expanded("${x${A}").as_deref(), Ok("${x1"));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let reason = "the variable D is not set; set it, or write ${D:-default}";
        assert_eq!(expanded("${A}${D}"), Err(reason.into()));
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_utf8_is_named_and_not_shown() {
        use std::os::unix::ffi::OsStringExt;

        let result = expand("${A}", &|_| Some(OsString::from_vec(vec![b'k', 0xff])));
        assert_eq!(result, Err("the variable A is not UTF-8".into()));
    }
}
