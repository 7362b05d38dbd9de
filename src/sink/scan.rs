//! One pass over a JSON line: all of it is checked, the values that are wanted are remembered by where they stand.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use serde_core::Deserializer as _;
use serde_core::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::EventError;

/// The values that shall be found, as a tree of member names; node 0 is the line itself.
#[derive(Debug)]
pub(crate) struct Paths {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    name: Box<str>,
    /// The value itself is wanted, not only members of it.
    wanted: bool,
    parent: usize,
    children: Vec<usize>,
}

/// Names a wanted value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Slot(usize);

/// The compiled paths and the memory of the last pass.
#[derive(Debug)]
pub(crate) struct Scanner {
    paths: Paths,
    captures: Vec<Capture>,
}

/// What was found at a node.
#[derive(Clone, Copy, Debug, Default)]
enum Capture {
    #[default]
    Absent,
    /// An object of which only members are wanted.
    Object,
    /// Members are wanted, but it is no object.
    Other,
    /// The bytes from here to there.
    Value(usize, usize),
}

/// What the pass found in one line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    line: &'a str,
    captures: &'a [Capture],
}

/// A value as it stands in the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Value<'a> {
    /// Not there, or null.
    Missing,
    /// The text of a number, `true` or `false`.
    Plain(&'a str),
    /// A string without escapes.
    Text(&'a str),
    /// A string with escapes, its quotes included.
    Escaped(&'a str),
    /// An object or an array, with its brackets.
    Compound(&'a str),
}

impl Paths {
    pub(crate) fn new() -> Self {
        Self { nodes: alloc::vec![Node::default()] }
    }

    /// Wants the value at the end of `segments`, of which there is at least one.
    pub(crate) fn want<'s>(&mut self, segments: impl IntoIterator<Item = &'s str>) -> Slot {
        let slot = self.node(segments);
        self.nodes[slot.0].wanted = true;
        slot
    }

    /// Wants to know what is at the end of `segments`, of which members are wanted.
    pub(crate) fn node<'s>(&mut self, segments: impl IntoIterator<Item = &'s str>) -> Slot {
        let mut at = 0;
        for segment in segments {
            at = match self.child(at, segment) {
                Some(child) => child,
                None => {
                    self.nodes.push(Node { name: segment.into(), parent: at, ..Node::default() });
                    let child = self.nodes.len() - 1;
                    self.nodes[at].children.push(child);
                    child
                }
            };
        }
        Slot(at)
    }

    fn child(&self, at: usize, name: &str) -> Option<usize> {
        self.nodes[at].children.iter().copied().find(|&child| *self.nodes[child].name == *name)
    }

    fn name(&self, mut at: usize) -> String {
        let mut name = self.nodes[at].name.to_string();
        while self.nodes[at].parent != 0 {
            at = self.nodes[at].parent;
            name.insert(0, '.');
            name.insert_str(0, &self.nodes[at].name);
        }
        name
    }
}

impl Scanner {
    pub(crate) fn new(paths: Paths) -> Self {
        let captures = alloc::vec![Capture::Absent; paths.nodes.len()];
        Self { paths, captures }
    }

    /// Checks that `line` is one JSON object and finds what is wanted in it. Takes memory only where an object in a
    /// part that nobody wants has an object in it, or a name has escapes.
    pub(crate) fn scan<'a>(&'a mut self, line: &'a [u8]) -> Result<Fields<'a>, EventError> {
        let line = core::str::from_utf8(line).map_err(|error| EventError::NotUtf8 { at: error.valid_up_to() })?;
        self.captures.fill(Capture::Absent);
        let mut json = serde_json::Deserializer::from_str(line);
        if !line.trim_start().starts_with('{') {
            let whole = json.deserialize_ignored_any(IgnoredAny).and_then(|_| json.end());
            return Err(whole.map_or_else(not_json, |()| EventError::NotAnObject));
        }
        let mut pass =
            Pass { paths: &self.paths, base: line.as_ptr() as usize, captures: &mut self.captures, twice: None };
        let object = json.deserialize_map(Members { pass: &mut pass, node: 0 }).and_then(|()| json.end());
        if let Some(node) = pass.twice {
            return Err(EventError::Repeated { member: self.paths.name(node) });
        }
        object.map_err(not_json)?;
        Ok(Fields { line, captures: &self.captures })
    }
}

/// The reader's words, without the number of the line: there is but one.
pub(crate) fn not_json(error: serde_json::Error) -> EventError {
    let text = error.to_string();
    let words = text.rsplit_once(" at line ").map_or(&*text, |(words, _)| words);
    EventError::NotJson { reason: alloc::format!("{words} in column {}", error.column()) }
}

impl<'a> Fields<'a> {
    /// Where the value stands in the line, null included.
    pub(crate) fn span(&self, slot: Slot) -> Option<Range<usize>> {
        match self.captures[slot.0] {
            Capture::Value(start, end) => Some(start..end),
            _ => None,
        }
    }

    /// The whole line.
    pub(crate) const fn line(&self) -> &'a str {
        self.line
    }

    /// The value as it stands in the line, unless it is missing or null.
    pub(crate) fn raw(&self, slot: Slot) -> Option<&'a str> {
        let raw = &self.line[self.span(slot)?];
        (raw != "null").then_some(raw)
    }

    /// Whether there is an object.
    pub(crate) fn is_object(&self, slot: Slot) -> bool {
        matches!(self.captures[slot.0], Capture::Object)
            || matches!(self.value(slot), Value::Compound(raw) if raw.starts_with('{'))
    }

    pub(crate) fn value(&self, slot: Slot) -> Value<'a> {
        self.span(slot).map_or(Value::Missing, |span| Value::of(&self.line[span]))
    }
}

impl<'a> Value<'a> {
    /// The value whose whole JSON text is `raw`.
    pub(crate) fn of(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            None | Some(b'n') => Self::Missing,
            Some(b'{' | b'[') => Self::Compound(raw),
            Some(b'"') => match memchr::memchr(b'\\', raw.as_bytes()) {
                None => Self::Text(&raw[1..raw.len() - 1]),
                Some(_) => Self::Escaped(raw),
            },
            Some(_) => Self::Plain(raw),
        }
    }
}

/// Adds the text of a string with escapes, given with its quotes, to `text`. `false` when it has half a character.
pub(crate) fn unescape(raw: &str, text: &mut String) -> bool {
    Append(text).deserialize(&mut serde_json::Deserializer::from_str(raw)).is_ok()
}

/// Tells of each member of a JSON object: its name, and its value as it stands. The names are kept in `name` meanwhile.
pub(crate) fn each_member<'a>(
    object: &'a str,
    name: &mut String,
    tell: impl FnMut(&str, &'a str) -> Result<(), EventError>,
) -> Result<(), EventError> {
    let mut failure = None;
    let mut json = serde_json::Deserializer::from_str(object);
    let each = Each { name, tell, failure: &mut failure };
    let told = json.deserialize_map(each).and_then(|()| json.end());
    failure.map_or_else(|| told.map_err(not_json), Err)
}

/// Adds a string to a text.
struct Append<'t>(&'t mut String);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: serde_core::Deserializer<'de>>(self, string: D) -> Result<(), D::Error> {
        string.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, part: &str) -> Result<(), E> {
        self.0.push_str(part);
        Ok(())
    }
}

/// The members of an object, one after the other.
struct Each<'n, F> {
    name: &'n mut String,
    tell: F,
    failure: &'n mut Option<EventError>,
}

impl<'de, F: FnMut(&str, &'de str) -> Result<(), EventError>> Visitor<'de> for Each<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        loop {
            self.name.clear();
            if members.next_key_seed(Append(self.name))?.is_none() {
                return Ok(());
            }
            let value = members.next_value::<&'de RawValue>()?.get();
            if let Err(error) = (self.tell)(self.name, value) {
                *self.failure = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
    }
}

/// What the pass knows while it goes on.
struct Pass<'p> {
    paths: &'p Paths,
    /// The address of the line's first byte: a slice of the line tells where it stands by its own address.
    base: usize,
    captures: &'p mut [Capture],
    /// The node that was met a second time.
    twice: Option<usize>,
}

/// The members of the object at `node`.
struct Members<'m, 'p> {
    pass: &'m mut Pass<'p>,
    node: usize,
}

/// The name of a member of the object at `node`: the child with this name, if it is a wanted one.
struct Name<'p> {
    paths: &'p Paths,
    node: usize,
}

/// The value at `node`, of which members are wanted.
struct Inner<'m, 'p> {
    pass: &'m mut Pass<'p>,
    node: usize,
}

impl<'de> Visitor<'de> for Members<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let pass = self.pass;
        while let Some(name) = members.next_key_seed(Name { paths: pass.paths, node: self.node })? {
            let Some(node) = name else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            if !matches!(pass.captures[node], Capture::Absent) {
                pass.twice = Some(node);
                return Err(A::Error::custom("a member stands twice"));
            }
            let Node { wanted, children, .. } = &pass.paths.nodes[node];
            if !wanted {
                members.next_value_seed(Inner { pass, node })?;
                continue;
            }
            let raw = members.next_value::<&'de RawValue>()?.get();
            let start = raw.as_ptr() as usize - pass.base;
            pass.captures[node] = Capture::Value(start, start + raw.len());
            if !children.is_empty() && raw.starts_with('{') {
                let again = serde_json::Deserializer::from_str(raw).deserialize_map(Members { pass, node });
                again.map_err(A::Error::custom)?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde_core::Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.paths.child(self.node, name))
    }
}

impl<'de> DeserializeSeed<'de> for Inner<'_, '_> {
    type Value = ();

    fn deserialize<D: serde_core::Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        self.pass.captures[self.node] = Capture::Other;
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inner<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        self.pass.captures[self.node] = Capture::Object;
        Members { pass: self.pass, node: self.node }.visit_map(members)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn scanner(paths: &[&str]) -> (Scanner, Vec<Slot>) {
        let mut wanted = Paths::new();
        let slots = paths.iter().map(|path| wanted.want(path.split('.'))).collect();
        (Scanner::new(wanted), slots)
    }

    fn found<'a>(scanner: &'a mut Scanner, slots: &[Slot], line: &'a str) -> Vec<Value<'a>> {
        let fields = scanner.scan(line.as_bytes()).unwrap();
        slots.iter().map(|slot| fields.value(*slot)).collect()
    }

    #[test]
    fn values_are_found_as_they_stand() {
        let (mut scanner, slots) = scanner(&["a", "b.c", "b.d.e", "b", "x"]);
        let line = r#" {"z":[{}],"b" : {"c":1.50e+3, "q":{"c":2},"d":{"e":"\u00e9"}},"a":"t\\","x":null} "#;
        let values = found(&mut scanner, &slots, line);
        let whole = r#"{"c":1.50e+3, "q":{"c":2},"d":{"e":"\u00e9"}}"#;
        let expected = [
            Value::Escaped(r#""t\\""#),
            Value::Plain("1.50e+3"),
            Value::Escaped(r#""\u00e9""#),
            Value::Compound(whole),
            Value::Missing,
        ];
        assert_eq!(values, expected);
        assert_eq!(found(&mut scanner, &slots, "{}"), [Value::Missing; 5], "nothing is left of the last line");
        assert_eq!(found(&mut scanner, &slots, r#"{"b":7}"#)[3], Value::Plain("7"));
        assert_eq!(found(&mut scanner, &slots, r#"{"\u0061":"u"}"#)[0], Value::Text("u"));
    }

    #[test]
    fn an_inner_value_may_be_anything() {
        let (mut scanner, slots) = scanner(&["a.b"]);
        for other in ["null", "true", "-1", "1", "1.5", r#""x""#, "[1,[2]]", "{}", r#"{"c":1}"#] {
            assert_eq!(found(&mut scanner, &slots, &format!(r#"{{"a":{other}}}"#)), [Value::Missing], "{other}");
        }
    }

    #[test]
    fn what_is_not_one_object() {
        let (mut scanner, _) = scanner(&["a"]);
        let mut error = |line: &[u8]| scanner.scan(line).unwrap_err();
        for line in ["[]", "1", "null", r#" "{}""#] {
            assert_eq!(error(line.as_bytes()), EventError::NotAnObject, "{line}");
        }
        let broken = ["", "{", "{}{}", "{} x", "{'a':1}", r#"{"a":01}"#, r#"{"a":1,}"#, r#"{"b":"\q"}"#, "[1"];
        for line in broken.into_iter().chain(["{\"a\":\"\u{1}\"}", "\u{feff}{}"]) {
            assert!(matches!(error(line.as_bytes()), EventError::NotJson { .. }), "{line}");
        }
        assert_eq!(error(b"{\"a\":\"\xff\"}"), EventError::NotUtf8 { at: 6 });
    }

    #[test]
    fn a_wanted_member_stands_once() {
        let (mut scanner, _) = scanner(&["a.b", "c"]);
        for (line, member) in [
            (r#"{"c":1,"c":1}"#, "c"),
            (r#"{"c":null,"c":1}"#, "c"),
            (r#"{"a":{},"a":{"b":1}}"#, "a"),
            (r#"{"a":{"b":1,"x":0,"b":2}}"#, "a.b"),
        ] {
            let member = member.into();
            assert_eq!(scanner.scan(line.as_bytes()).unwrap_err(), EventError::Repeated { member }, "{line}");
        }
        assert!(scanner.scan(br#"{"x":1,"x":2,"a":{"y":1,"y":2}}"#).is_ok());
    }

    #[test]
    fn depth_costs_no_stack() {
        let (mut scanner, _) = scanner(&["a"]);
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(500_000), "]".repeat(500_000));
        assert!(scanner.scan(deep.as_bytes()).is_ok());
    }

    /// A JSON value and its text.
    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[a-c\\PC]{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            let object = proptest::collection::btree_map("[abc]", inner.clone(), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Into::into),
                object.prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_scanner_agrees_with_a_tree(value in json()) {
            let paths = ["a", "a.b", "a.b.c", "b", "c.c"];
            let (mut scanner, slots) = scanner(&paths);
            let line = format!(r#"{{"a":{value},"c":{{"c":{value}}}}}"#);
            let tree: serde_json::Value = serde_json::from_str(&line).unwrap();
            for (path, value) in paths.iter().zip(found(&mut scanner, &slots, &line)) {
                let expected = tree.pointer(&format!("/{}", path.replace('.', "/"))).filter(|value| !value.is_null());
                match (expected, value) {
                    (None, value) => prop_assert_eq!(value, Value::Missing),
                    (Some(expected), Value::Text(text)) => prop_assert_eq!(expected.as_str(), Some(text)),
                    (Some(expected), Value::Escaped(raw)) => {
                        let mut text = String::new();
                        prop_assert!(unescape(raw, &mut text));
                        prop_assert_eq!(expected.as_str(), Some(&*text));
                    }
                    (Some(expected), Value::Plain(raw) | Value::Compound(raw)) => {
                        prop_assert_eq!(expected, &serde_json::from_str::<serde_json::Value>(raw).unwrap());
                    }
                    (Some(expected), Value::Missing) => prop_assert!(false, "{} was not found", expected),
                }
            }
        }
    }
}
