//! What was written in a configuration file: the YAML as typed, every scalar still text with its line.

use std::collections::BTreeMap;
use std::fmt;
use std::prelude::v1::*;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_saphyr::Spanned;

/// A scalar: absent or null, or its text before variables are filled in, and its line.
pub(super) type Text = Option<Spanned<String>>;

/// A whole file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    pub(super) pipeline: Text,
    pub(super) source: SourceWritten,
    pub(super) batch: BatchWritten,
    pub(super) in_flight: InFlightWritten,
    pub(super) commit_policy: Option<Spanned<Choice<QuorumWritten>>>,
    pub(super) checkpoint: PathWritten,
    pub(super) dead_letter: PathWritten,
    pub(super) http: Option<Spanned<HttpWritten>>,
    pub(super) sinks: Vec<Spanned<SinkWritten>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SourceWritten {
    pub(super) r#type: Text,
    pub(super) path: Text,
    pub(super) input_id: Text,
    pub(super) follow: Text,
    pub(super) format: Text,
    pub(super) max_line_bytes: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BatchWritten {
    pub(super) max_events: Text,
    pub(super) max_bytes: Text,
    pub(super) max_ms: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct InFlightWritten {
    pub(super) max_events: Text,
    pub(super) max_bytes: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct QuorumWritten {
    pub(super) quorum: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PathWritten {
    pub(super) path: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HttpWritten {
    pub(super) listen: Text,
}

/// One sink. `config` holds the keys of every type; the check knows which of them belong to which.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SinkWritten {
    pub(super) r#type: Text,
    pub(super) config: ConfigWritten,
}

/// The keys of a sink, of whatever type.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ConfigWritten {
    pub(super) id: Text,
    pub(super) path: Text,
    pub(super) url: Text,
    pub(super) subject: Text,
    pub(super) key: Text,
    pub(super) stream: Text,
    pub(super) required: Text,
    pub(super) send_timeout_secs: Text,
    pub(super) batch_timeout_secs: Text,
    pub(super) connect_timeout_secs: Text,
    pub(super) credentials_file: Text,
    pub(super) username: Text,
    pub(super) password: Text,
    pub(super) token: Text,
    pub(super) nkey_seed_file: Text,
    pub(super) jwt_file: Text,
    pub(super) tls: Option<Spanned<TlsWritten>>,
    pub(super) envelope: Option<Spanned<Choice<EnvelopeWritten>>>,
    pub(super) delivery: Text,
    pub(super) js_domain: Text,
    pub(super) js_api_prefix: Text,
    pub(super) inbox_prefix: Text,
    pub(super) connection_name: Text,
    pub(super) headers: BTreeMap<String, Text>,
    pub(super) retry: RetryWritten,
}

impl ConfigWritten {
    /// The first key, with its line, that only a sink of type `nats` has.
    pub(super) fn of_nats(&self) -> Option<(&'static str, u64)> {
        let Self { id: _, path: _, required: _, url, subject, key, stream, .. } = self;
        let Self { send_timeout_secs, batch_timeout_secs, connect_timeout_secs, .. } = self;
        let Self { credentials_file, username, password, token, nkey_seed_file, jwt_file, tls, .. } = self;
        let Self { envelope, delivery, js_domain, js_api_prefix, inbox_prefix, connection_name, .. } = self;
        let Self { headers, retry: RetryWritten { max_elapsed_secs, auth_secs, initial_ms, max_ms }, .. } = self;
        let scalars = [
            ("url", url),
            ("subject", subject),
            ("key", key),
            ("stream", stream),
            ("send_timeout_secs", send_timeout_secs),
            ("batch_timeout_secs", batch_timeout_secs),
            ("connect_timeout_secs", connect_timeout_secs),
            ("credentials_file", credentials_file),
            ("username", username),
            ("password", password),
            ("token", token),
            ("nkey_seed_file", nkey_seed_file),
            ("jwt_file", jwt_file),
            ("delivery", delivery),
            ("js_domain", js_domain),
            ("js_api_prefix", js_api_prefix),
            ("inbox_prefix", inbox_prefix),
            ("connection_name", connection_name),
            ("retry", max_elapsed_secs),
            ("retry", auth_secs),
            ("retry", initial_ms),
            ("retry", max_ms),
        ];
        let tls = tls.as_ref().map(|tls| ("tls", tls.referenced.line()));
        let envelope = envelope.as_ref().map(|envelope| ("envelope", envelope.referenced.line()));
        let header = headers.values().flatten().next().map(|value| ("headers", value.referenced.line()));
        let scalar = scalars.into_iter().find_map(|(name, text)| Some((name, text.as_ref()?.referenced.line())));
        scalar.or(tls).or(envelope).or(header)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsWritten {
    pub(super) ca_file: Text,
    pub(super) cert_file: Text,
    pub(super) key_file: Text,
    pub(super) first: Text,
    pub(super) server_name: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EnvelopeWritten {
    pub(super) r#type: Text,
    pub(super) type_prefix: Text,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RetryWritten {
    pub(super) max_elapsed_secs: Text,
    pub(super) auth_secs: Text,
    pub(super) initial_ms: Text,
    pub(super) max_ms: Text,
}

/// A word, or a section where the word needs more: `required` or `{ quorum: 2 }`.
pub(super) enum Choice<S> {
    Word(String),
    Section(S),
}

impl<'de, S: Deserialize<'de>> Deserialize<'de> for Choice<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChoiceVisitor(std::marker::PhantomData))
    }
}

struct ChoiceVisitor<S>(std::marker::PhantomData<S>);

impl<'de, S: Deserialize<'de>> Visitor<'de> for ChoiceVisitor<S> {
    type Value = Choice<S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or a section")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
        Ok(Choice::Word(word.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        S::deserialize(MapAccessDeserializer::new(map)).map(Choice::Section)
    }
}
