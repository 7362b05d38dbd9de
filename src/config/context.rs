//! A context of the `nats` command: where a server is and how to log in, under one name (ADR-21).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::prelude::v1::*;

use serde_json::{Map, Value};

use super::error::{ConfigError, ConfigErrorKind, Origin};
use super::expand::Environment;
use super::field::{Desk, Field, NAME_LEN_MAX};
use super::read::FILE_LEN_MAX;
use crate::connection::Secret;
use crate::credentials::Held;

/// A context, read. What it does not know it ignores, as the `nats` command does.
pub(super) struct Context<'a> {
    path: PathBuf,
    values: Map<String, Value>,
    environment: &'a Environment<'a>,
}

/// What a value refers to.
enum Reference<'a> {
    /// Nothing but itself, or a path.
    Plain(&'a str),
    /// A variable of the environment.
    Variable(&'a str),
    /// Something that natsink does not fetch; what to do instead.
    Foreign(&'static str),
}

const OF_NSC: &str = "natsink does not run nsc; write the credentials to a file, nsc generate creds -a ACCOUNT -n USER -o \
                      FILE, and give that with --creds";
const OF_OP: &str = "natsink does not run op; write the credentials to a file, and give that with --creds or --nkey";
const INSIDE: &str = "credentials inside of the context are not read; keep them in a file, and give that with --creds or \
                      --nkey";

impl<'a> Context<'a> {
    /// Reads the context that `name` names: a file, where that ends in `.json`, else one of those that the `nats` command
    /// keeps.
    pub(super) fn open(desk: &Desk<'a>, name: &Field) -> Result<Self, ConfigError> {
        let path = locate(name, desk.environment)?;
        let mut bytes = Vec::new();
        let is_file = |path: &PathBuf| match fs::metadata(path)?.is_file() {
            true => Ok(()),
            // Opening a pipe that nobody writes to would wait for ever.
            false => Err(io::Error::other("not a file")),
        };
        is_file(&path)
            .and_then(|()| File::open(&path))
            .and_then(|file| file.take(FILE_LEN_MAX as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| name.invalid(format!("no context {}: {error}", path.display())))?;
        let refuse = |reason: String| {
            let origin = Origin::Context { path: path.clone() };
            ConfigError::new(ConfigErrorKind::Invalid, origin, "", reason)
        };
        if bytes.len() > FILE_LEN_MAX {
            return Err(refuse(format!("a context of more than {FILE_LEN_MAX} bytes")));
        }
        // The reader's own words may quote what it read.
        let values = serde_json::from_slice(&bytes).map_err(|error| match error.is_data() {
            true => refuse("a context is a JSON object".into()),
            false => refuse(format!("not JSON at line {}, column {}", error.line(), error.column())),
        })?;
        let context = Self { path, values, environment: desk.environment };
        for (key, what) in [("socks_proxy", "a SOCKS proxy"), ("windows_cert_store", "Windows' certificate store")] {
            if let Some(field) = context.text(key)? {
                return Err(field.not_yet(what));
            }
        }
        Ok(context)
    }

    /// A value, unless it is empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<Field>, ConfigError> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(self.field(key, text))),
            Some(_) => Err(self.field(key, "").invalid("must be a text")),
        }
    }

    pub(super) fn truth(&self, key: &str) -> Result<bool, ConfigError> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(_) => Err(self.field(key, "").invalid("must be true or false")),
        }
    }

    /// A value that stands for itself or, as `env://NAME`, for a variable.
    pub(super) fn secret(&self, key: &str) -> Result<Option<Field>, ConfigError> {
        self.text(key)?.map(|field| self.resolved(field)).transpose()
    }

    /// A path; as the `nats` command has it relative to the current folder, and with `~` and variables filled in.
    pub(super) fn path(&self, key: &str) -> Result<Option<(Field, PathBuf)>, ConfigError> {
        let Some(field) = self.text(key)? else { return Ok(None) };
        let text = match reference(&field.text) {
            Reference::Plain(text) => text,
            Reference::Variable(_) => return Err(field.not_yet("a file in a variable")),
            Reference::Foreign(help) => return Err(field.invalid(help)),
        };
        let path = self.expand(text).map_err(|reason| field.invalid(reason))?;
        Ok(Some((field, path)))
    }

    /// A value that starts with `start`, or else a path to a file that holds one.
    pub(super) fn held(&self, key: &str, start: &str) -> Result<Option<(Field, Held)>, ConfigError> {
        let Some(field) = self.text(key)? else { return Ok(None) };
        let held = match reference(&field.text) {
            Reference::Plain(text) if !text.starts_with(start) => {
                Held::File(self.expand(text).map_err(|reason| field.invalid(reason))?)
            }
            _ => Held::Text(Secret::from(self.resolved(field.clone())?.text)),
        };
        Ok(Some((field, held)))
    }

    /// Refuses credentials that another program would have to give.
    pub(super) fn refuse_nsc(&self) -> Result<(), ConfigError> {
        match self.text("nsc")? {
            Some(field) => Err(field.invalid(OF_NSC)),
            None => Ok(()),
        }
    }

    fn resolved(&self, field: Field) -> Result<Field, ConfigError> {
        let text = match reference(&field.text) {
            Reference::Plain(_) => return Ok(field),
            Reference::Foreign(help) => return Err(field.invalid(help)),
            Reference::Variable(name) => match (self.environment)(name).map(|value| value.into_string()) {
                Some(Ok(text)) if !text.is_empty() => text,
                _ => return Err(field.invalid(format!("the variable {name} is not set, empty or not UTF-8"))),
            },
        };
        Ok(field.with_text(text))
    }

    /// `~` at the start, and `$NAME` or `${NAME}` anywhere.
    fn expand(&self, text: &str) -> Result<PathBuf, String> {
        let value = |name: &str| (self.environment)(name).filter(|value| !value.is_empty());
        let mut path = std::ffi::OsString::new();
        let mut rest = text.strip_prefix("file://").unwrap_or(text);
        if let Some(tail) = rest.strip_prefix('~') {
            if !tail.is_empty() && !tail.starts_with('/') {
                return Err("~ stands for your own home folder only; write the path in full".into());
            }
            path.push(value("HOME").ok_or("~ in the path, and the variable HOME is not set")?);
            rest = tail;
        }
        while let Some((before, after)) = rest.split_once('$') {
            path.push(before);
            let (name, tail) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
                Some(found) => found,
                None => after.split_at(
                    after.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(after.len()),
                ),
            };
            path.push(value(name).ok_or_else(|| format!("the variable {name:?} in the path is not set"))?);
            rest = tail;
        }
        path.push(rest);
        if path.as_encoded_bytes().contains(&0) {
            return Err("a path with a NUL in it".into());
        }
        Ok(path.into())
    }

    fn field(&self, key: &str, text: &str) -> Field {
        Field::context(&self.path, key, text)
    }
}

/// Where the context of that name lies.
fn locate(name: &Field, environment: &Environment<'_>) -> Result<PathBuf, ConfigError> {
    let text = name.text.as_str();
    if text.ends_with(".json") {
        return Ok(text.into());
    }
    if text.is_empty() || text.len() > NAME_LEN_MAX {
        return Err(name.invalid(format!("a context's name has 1 to {NAME_LEN_MAX} bytes")));
    }
    if text.contains(['/', '\\']) || text.contains("..") || text.contains(char::is_control) {
        return Err(name.invalid(
            "a context is given by its name, as nats context ls shows it, or by the path of a file that ends in .json",
        ));
    }
    let variable = |name| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = match variable("XDG_CONFIG_HOME") {
        Some(folder) => folder,
        None => match variable("HOME") {
            Some(home) => home.join(".config"),
            None => {
                return Err(name.invalid("neither XDG_CONFIG_HOME nor HOME is set: where are the contexts?"));
            }
        },
    };
    Ok(folder.join("nats").join("context").join(format!("{text}.json")))
}

/// The forms that the `nats` command lets values have.
fn reference(text: &str) -> Reference<'_> {
    let after = |scheme: &str| match text.get(..scheme.len()) {
        Some(start) if start.eq_ignore_ascii_case(scheme) => Some(&text[scheme.len()..]),
        _ => None,
    };
    match (after("env://"), after("nsc://"), after("op://"), after("data:")) {
        (Some(name), ..) => Reference::Variable(name),
        (_, Some(_), ..) => Reference::Foreign(OF_NSC),
        (_, _, Some(_), _) => Reference::Foreign(OF_OP),
        (_, _, _, Some(_)) => Reference::Foreign(INSIDE),
        _ => Reference::Plain(text),
    }
}
