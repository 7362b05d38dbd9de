//! What makes sense and is not in this version: each refusal by itself. It goes when what it refuses is there.

use std::prelude::v1::*;

use super::error::ConfigError;
use super::field::Field;

pub(super) fn second_sink(kind: &Field) -> Result<(), ConfigError> {
    Err(kind.not_yet("a second sink"))
}

pub(super) fn lines_sink(kind: &Field) -> Result<(), ConfigError> {
    Err(kind.not_yet(&format!("a sink of type {}", kind.text)))
}

pub(super) fn optional_sink(required: &Field) -> Result<(), ConfigError> {
    Err(required.not_yet("an optional sink"))
}

pub(super) fn core(place: &Field) -> Result<(), ConfigError> {
    Err(place.not_yet("publishing without a stream (core NATS, at most once)"))
}

pub(super) fn envelope(field: &Field, name: &str) -> Result<(), ConfigError> {
    Err(field.not_yet(&format!("the envelope {name}")))
}

pub(super) fn follow(field: &Field) -> Result<(), ConfigError> {
    Err(field.not_yet("following a file"))
}

pub(super) fn http(field: &Field) -> Result<(), ConfigError> {
    Err(field.not_yet("an HTTP status page"))
}
