//! The member `routing` of a native event: what it asks for, and the event without it.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::error::EventError;
use super::render::plain;
use super::scan::{Fields, Paths, Slot, Value, each_member};
use crate::proto::HEADERS_LEN_MAX;

/// The header that carries the key.
pub(super) const KEY: &str = "df-key";

/// What a header has besides its name and its value, bytes: `: ` and the end of its line.
const SEPARATORS_LEN: usize = 4;
/// So many headers are held against each other one by one.
const FEW: usize = 16;

/// Where `routing` and its members are.
#[derive(Debug)]
pub(super) struct RoutingSlots {
    whole: Slot,
    topic: Slot,
    key: Slot,
    headers: Slot,
    raw_payload: Slot,
}

/// What one event asks for.
#[derive(Debug)]
pub(super) struct Routing<'a> {
    /// Where its value stands in the line.
    pub(super) span: Range<usize>,
    /// The subject in place of the configured one.
    pub(super) topic: Option<Value<'a>>,
    /// The key in place of the configured one.
    pub(super) key: Option<Value<'a>>,
    /// The headers, an object.
    pub(super) headers: Option<&'a str>,
    /// Whether `after` alone is sent.
    pub(super) raw_payload: bool,
}

impl RoutingSlots {
    pub(super) fn new(paths: &mut Paths) -> Self {
        let mut member = |name| paths.want(["routing", name]);
        Self {
            topic: member("topic"),
            key: member("key"),
            headers: member("headers"),
            raw_payload: member("raw_payload"),
            whole: paths.want(["routing"]),
        }
    }

    /// What the event asks for; `None` where it has no such member. Members that mean nothing here are not sent either.
    pub(super) fn read<'a>(&self, fields: &Fields<'a>) -> Result<Option<Routing<'a>>, EventError> {
        let Some(span) = fields.span(self.whole) else { return Ok(None) };
        match fields.value(self.whole) {
            Value::Missing => {}
            Value::Compound(raw) if raw.starts_with('{') => {}
            _ => return Err(EventError::Routing { member: "routing", expected: "an object" }),
        }
        let topic = match fields.value(self.topic) {
            Value::Missing => None,
            topic @ (Value::Text(_) | Value::Escaped(_)) => Some(topic),
            _ => return Err(EventError::Routing { member: "routing.topic", expected: "a string" }),
        };
        let headers = match fields.value(self.headers) {
            Value::Missing => None,
            Value::Compound(raw) if raw.starts_with('{') => Some(raw),
            _ => return Err(EventError::Routing { member: "routing.headers", expected: "an object of strings" }),
        };
        let raw_payload = match fields.value(self.raw_payload) {
            Value::Missing | Value::Plain("false") => false,
            Value::Plain("true") => true,
            _ => return Err(EventError::Routing { member: "routing.raw_payload", expected: "true or false" }),
        };
        let key = match fields.value(self.key) {
            Value::Missing => None,
            key => Some(key),
        };
        Ok(Some(Routing { span, topic, key, headers, raw_payload }))
    }
}

/// Whether a header steers the server. Names are compared without case: the server reads exact names only, but there
/// are clients that rewrite them.
pub(super) fn is_control(name: &str) -> bool {
    name.as_bytes().get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"nats-"))
}

/// The headers that an event asks for. Reading others keeps the memory.
#[derive(Debug, Default)]
pub(super) struct OwnHeaders {
    /// Names and values, one behind the other.
    text: String,
    /// Where each name and each value ends.
    ends: Vec<(usize, usize)>,
    name: String,
}

impl OwnHeaders {
    /// Forgets what was read.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Reads the JSON object that tells of them.
    pub(super) fn read(&mut self, object: &str, scratch: &mut String) -> Result<(), EventError> {
        self.clear();
        let Self { text, ends, name } = self;
        each_member(object, name, |name, raw| {
            if is_control(name) {
                return Err(EventError::ControlHeader { name: name.into() });
            }
            let not_a_string = EventError::Routing { member: "routing.headers", expected: "an object of strings" };
            let Ok(Some(value)) = plain(Value::of(raw), name, scratch) else { return Err(not_a_string) };
            text.push_str(name);
            let name_end = text.len();
            text.push_str(value);
            ends.push((name_end, text.len()));
            // A line is longer than headers may be.
            if text.len() + ends.len() * SEPARATORS_LEN > HEADERS_LEN_MAX {
                return Err(EventError::Routing { member: "routing.headers", expected: "64 KiB at most" });
            }
            Ok(())
        })?;
        match self.repeated() {
            Some(name) => Err(EventError::Repeated { member: alloc::format!("routing.headers.{name}") }),
            None => Ok(()),
        }
    }

    /// A name that stands twice.
    fn repeated(&self) -> Option<&str> {
        if self.ends.len() <= FEW {
            let mut names = self.iter().enumerate();
            return names.find_map(|(at, (name, _))| self.iter().take(at).any(|it| it.0 == name).then_some(name));
        }
        let mut names: Vec<&str> = self.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }

    /// Names and values, in the order of the event.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(&self.text, &self.ends)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether there is a header of exactly this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.iter().any(|(other, _)| other == name)
    }
}

fn pairs<'t>(text: &'t str, ends: &'t [(usize, usize)]) -> impl Iterator<Item = (&'t str, &'t str)> {
    let mut start = 0;
    ends.iter().map(move |&(name, value)| {
        let pair = (&text[start..name], &text[name..value]);
        start = value;
        pair
    })
}

/// Writes `line` without the member whose value stands at `value`: JSON stays JSON, every other byte stays as it is.
///
/// The member's name is known to have no quote in it, so that its opening quote is found from behind.
pub(super) fn without_member(text: &str, value: Range<usize>, rest: &mut String) {
    let line = text.as_bytes();
    let closing = line[..value.start].iter().rposition(|&byte| byte == b'"').unwrap_or_default();
    let opening = line[..closing].iter().rposition(|&byte| byte == b'"').unwrap_or_default();
    let (mut start, mut end) = (opening, value.end);
    match line[..opening].iter().rposition(|byte| !byte.is_ascii_whitespace()) {
        Some(comma) if line[comma] == b',' => start = comma,
        _ => {
            // The first member: what separates it from the next one goes with it.
            let next = line[end..].iter().position(|byte| !byte.is_ascii_whitespace());
            if let Some(comma) = next.map(|next| end + next).filter(|&next| line[next] == b',') {
                let blanks = line[comma + 1..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                end = comma + 1 + blanks;
            }
        }
    }
    rest.clear();
    rest.push_str(&text[..start]);
    rest.push_str(&text[end..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn cut(line: &str, value: &str) -> String {
        let start = line.find(value).unwrap();
        let mut rest = String::new();
        without_member(line, start..start + value.len(), &mut rest);
        rest
    }

    #[test]
    fn one_member_is_cut_and_nothing_else() {
        let value = r#"{"key":"k"}"#;
        for (line, rest) in [
            (r#"{"routing":{"key":"k"}}"#, "{}"),
            (r#"{ "routing" : {"key":"k"} }"#, "{  }"),
            (r#"{"routing":{"key":"k"},"a":1}"#, r#"{"a":1}"#),
            (r#"{ "routing": {"key":"k"} , "a":1}"#, r#"{ "a":1}"#),
            (r#"{"a":1,"routing":{"key":"k"}}"#, r#"{"a":1}"#),
            (r#"{"a":1 , "routing":{"key":"k"} }"#, r#"{"a":1  }"#),
            (r#"{"a":"x,","routing":{"key":"k"},"b":2}"#, r#"{"a":"x,","b":2}"#),
            (r#"{"\u0072outing":{"key":"k"},"b":2}"#, r#"{"b":2}"#),
        ] {
            assert_eq!(cut(line, value), rest, "{line}");
        }
    }

    #[test]
    fn headers_that_steer_the_server() {
        for name in ["Nats-Msg-Id", "Nats-", "nats-rollup", "NATS-TTL"] {
            assert!(is_control(name), "{name}");
        }
        for name in ["", "Nats", "Natsy", "x-Nats-Rollup", "ünats"] {
            assert!(!is_control(name), "{name}");
        }
    }

    #[test]
    fn headers_are_read_as_they_are() {
        let pair = |name: &str, value: &str| (String::from(name), String::from(value));
        let mut headers = OwnHeaders::default();
        let mut read = |raw| -> Result<Vec<_>, _> {
            headers.read(raw, &mut String::new())?;
            Ok(headers.iter().map(|(name, value)| pair(name, value)).collect())
        };
        let headers = read(r#"{"b":"x","a":1.50,"c":true,"d":"\u00e9"}"#).unwrap();
        assert_eq!(headers, [pair("b", "x"), pair("a", "1.50"), pair("c", "true"), pair("d", "é")]);
        assert_eq!(read("{}").unwrap(), [], "nothing is left of the last event");
        assert_eq!(read(r#"{"a":"1","a":"2"}"#), Err(EventError::Repeated { member: "routing.headers.a".into() }));
        assert_eq!(read(r#"{"Nats-TTL":"1s"}"#), Err(EventError::ControlHeader { name: "Nats-TTL".into() }));
        for raw in [r#"{"a":null}"#, r#"{"a":{}}"#, r#"{"a":["x"]}"#, r#"{"a":"\ud800"}"#] {
            assert!(matches!(read(raw), Err(EventError::Routing { .. })), "{raw}");
        }
    }

    #[test]
    fn many_headers_cost_no_more_than_there_may_be() {
        let object = |count: usize, more: &str| {
            let members: Vec<_> = (0..count).map(|i| format!(r#""{i:x}":"" "#)).collect();
            format!("{{{}{more}}}", members.join(","))
        };
        let mut headers = OwnHeaders::default();
        let mut read = |raw: String| headers.read(&raw, &mut String::new());
        assert_eq!(read(object(8000, "")), Ok(()));
        let repeated = EventError::Repeated { member: "routing.headers.7f".into() };
        assert_eq!(read(object(8000, r#","7f":"x""#)), Err(repeated));
        let too_long = EventError::Routing { member: "routing.headers", expected: "64 KiB at most" };
        assert_eq!(read(object(800_000, "")), Err(too_long));
    }

    fn blanks() -> impl Strategy<Value = String> {
        "[ \t\r]{0,2}"
    }

    proptest! {
        #[test]
        fn what_is_left_is_json_without_the_member(
            before in 0..3usize, after in 0..3usize, blanks in proptest::collection::vec(blanks(), 9)
        ) {
            let other = |name: String| format!(r#"{}"{name}"{}:{}"r,o"{}"#, blanks[0], blanks[1], blanks[2], blanks[3]);
            let routing = format!(r#"{}"routing"{}:{}{{"key":[]}}{}"#, blanks[4], blanks[5], blanks[6], blanks[7]);
            let mut members: Vec<String> = (0..before).map(|i| other(format!("b{i}"))).collect();
            members.push(routing);
            members.extend((0..after).map(|i| other(format!("a{i}"))));
            let line = format!("{{{}}}{}", members.join(","), blanks[8]);
            let rest: serde_json::Value = serde_json::from_str(&cut(&line, r#"{"key":[]}"#)).unwrap();
            let mut expected: serde_json::Value = serde_json::from_str(&line).unwrap();
            expected.as_object_mut().unwrap().remove("routing");
            prop_assert_eq!(rest, expected);
        }
    }
}
