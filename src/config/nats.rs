//! The NATS sink's part of the check: where to connect, what to publish, how long to wait.

use std::prelude::v1::*;
use std::time::Duration;

use super::auth;
use super::context::Context;
use super::error::ConfigError;
use super::field::{Desk, Field, MILLIS_MAX};
use super::flags::Flags;
use super::plan::{AuthPlan, NatsPlan, RetryPlan};
use super::tls;
use super::written::{Choice, SinkWritten, Text};
use crate::connection::{Secret, ServerAddr, ServerList};
use crate::proto::{HeaderBlock, Subject, SubjectBuf, is_token};
use crate::sink::{Format, IdRule, Template, TemplateKind};

/// The longest time in seconds: a year.
const SECS_MAX: u64 = 365 * 24 * 3600;
/// The longest prefix of inboxes and of JetStream's API, bytes: a reply subject must leave room in the control line.
const PREFIX_LEN_MAX: usize = 256;
/// The longest name of a stream, bytes, as servers have it.
const STREAM_LEN_MAX: usize = 255;
/// The header that the template `key` fills.
const KEY_HEADER: &str = "df-key";

/// What is written of the one sink.
pub(super) struct Sink<'a> {
    pub(super) desk: &'a Desk<'a>,
    pub(super) flags: &'a Flags,
    pub(super) written: &'a SinkWritten,
    pub(super) line: u64,
    pub(super) format: Format,
}

impl Sink<'_> {
    pub(super) fn plan(&self, pipeline: &str) -> Result<NatsPlan, ConfigError> {
        self.refuse_what_is_not_yet()?;
        let (flags, config) = (self.flags, &self.written.config);
        let context = self.context()?;
        let context = context.as_ref();
        let (servers, auth) = self.servers(context)?;
        let id = match self.desk.file(&key("id"), &config.id)? {
            None => "nats".into(),
            Some(field) => field.name()?,
        };
        let connection_name =
            match self.pick("--connection-name", &flags.connection_name, "connection_name", &config.connection_name)? {
                None => pipeline.into(),
                Some(field) => field.name()?,
            };
        let inbox_prefix = match self.over(
            ("--inbox-prefix", flags.inbox_prefix.as_deref()),
            (context, "inbox_prefix"),
            "inbox_prefix",
            &config.inbox_prefix,
        )? {
            None => Subject::new("_INBOX").expect("a subject").to_buf(),
            Some(field) => prefix(field)?,
        };
        let send = self.pick("--send-timeout", &flags.send_timeout, "send_timeout_secs", &config.send_timeout_secs)?;
        let batch =
            self.pick("--batch-timeout", &flags.batch_timeout, "batch_timeout_secs", &config.batch_timeout_secs)?;
        let connect = self.pick(
            "--connect-timeout",
            &flags.connect_timeout,
            "connect_timeout_secs",
            &config.connect_timeout_secs,
        )?;
        Ok(NatsPlan {
            id,
            servers,
            auth,
            tls: tls::choose(self.desk, flags, context, config)?,
            subject: self.subject()?,
            key: self.key()?,
            stream: self.stream()?,
            id_rule: self.id_rule()?,
            headers: self.headers()?,
            send_timeout: seconds(send, 5)?,
            batch_timeout: seconds(batch, 30)?,
            connect_timeout: seconds(connect, 10)?,
            retry: self.retry()?,
            js_api_prefix: self.js_api_prefix(context)?,
            inbox_prefix,
            connection_name,
        })
    }

    /// The flag, else the key of `sinks[0].config`.
    fn pick(
        &self,
        flag: &'static str,
        typed: &Option<String>,
        name: &str,
        written: &Text,
    ) -> Result<Option<Field>, ConfigError> {
        self.desk.pick((flag, typed.as_deref()), &key(name), written)
    }

    fn refuse_what_is_not_yet(&self) -> Result<(), ConfigError> {
        let (desk, config) = (self.desk, &self.written.config);
        if let Some(path) = desk.file(&key("path"), &config.path)? {
            return Err(path.invalid("unknown key: a sink of type nats has no path"));
        }
        if let Some(required) = desk.file(&key("required"), &config.required)?
            && !required.truth()?
        {
            return Err(required.not_yet("an optional sink"));
        }
        self.delivery()?;
        self.envelope()
    }

    fn delivery(&self) -> Result<(), ConfigError> {
        let written = &self.written.config.delivery;
        let Some(field) = self.pick("--delivery", &self.flags.delivery, "delivery", written)? else { return Ok(()) };
        match field.text.as_str() {
            "ordered" => Ok(()),
            "strict" | "fast" | "atomic" | "unordered" | "core" => {
                Err(field.not_yet(&format!("the delivery {}", field.text)))
            }
            other => Err(field.invalid(format!("unknown delivery {other:?}; this version has ordered"))),
        }
    }

    fn envelope(&self) -> Result<(), ConfigError> {
        let desk = self.desk;
        let field = match (&self.flags.envelope, &self.written.config.envelope) {
            (Some(typed), _) => Field::flag("--envelope", typed),
            (None, None) => return Ok(()),
            (None, Some(written)) => match &written.value {
                Choice::Word(word) => desk.scalar(&key("envelope"), written.referenced.line(), word)?,
                Choice::Section(section) => match desk.file(&key("envelope.type"), &section.r#type)? {
                    Some(field) => field,
                    None => {
                        let line = written.referenced.line();
                        return Err(desk.missing(&key("envelope.type"), line, "missing; write { type: native }"));
                    }
                },
            },
        };
        match field.text.split(':').next().unwrap_or_default() {
            "native" if field.text == "native" => Ok(()),
            name @ ("debezium" | "cloudevents") => Err(field.not_yet(&format!("the envelope {name}"))),
            _ => Err(field.invalid(format!("unknown envelope {:?}; this version has native", field.text))),
        }
    }

    /// The context that the command line names. The variable stands for it only where nothing else names a server, so that
    /// its credentials never go to another.
    fn context(&self) -> Result<Option<Context<'_>>, ConfigError> {
        let (desk, flags) = (self.desk, self.flags);
        let name = match &flags.context {
            Some(name) => Some(Field::flag("--context", name)),
            None if flags.url.is_some() || self.written.config.url.is_some() => None,
            None if desk.variable("NATS_URL")?.is_some() => None,
            None => desk.variable("NATS_CONTEXT")?,
        };
        name.map(|name| Context::open(desk, &name)).transpose()
    }

    /// The flag, else the value of the context, else the key of `sinks[0].config`.
    fn over(
        &self,
        flag: (&'static str, Option<&str>),
        context: (Option<&Context<'_>>, &str),
        name: &str,
        written: &Text,
    ) -> Result<Option<Field>, ConfigError> {
        if let (None, (Some(context), theirs)) = (flag.1, context)
            && let Some(field) = context.text(theirs)?
        {
            return Ok(Some(field));
        }
        self.desk.pick(flag, &key(name), written)
    }

    /// The servers and who asks to be let in. The command line goes before the context, that before the file, and the file
    /// before the environment.
    fn servers(&self, context: Option<&Context<'_>>) -> Result<(Vec<ServerAddr>, AuthPlan), ConfigError> {
        let (desk, flags, config) = (self.desk, self.flags, &self.written.config);
        let typed = flags.url.as_ref().map(Secret::expose);
        let url = match self.over(("--url", typed), (context, "url"), "url", &config.url)? {
            Some(field) => Some(field),
            None => desk.variable("NATS_URL")?,
        };
        let Some(url) = url else {
            return Err(self.missing("url", "no server: give --url, $NATS_URL or sinks[0].config.url"));
        };
        let list = ServerList::parse(&url.text).map_err(|error| url.mistyped(error.to_string()))?;
        let auth = auth::choose(desk, flags, context, config, &url, list.user_info)?;
        Ok((list.servers, auth))
    }

    fn subject(&self) -> Result<Template, ConfigError> {
        let written = &self.written.config.subject;
        let Some(field) = self.pick("--subject", &self.flags.subject, "subject", written)? else {
            return Err(self.missing("subject", "no subject: give --subject or sinks[0].config.subject"));
        };
        let template = self.template(&field, TemplateKind::Subject)?;
        let first = field.text.split('.').next().unwrap_or_default();
        if matches!(first, "$JS" | "$SYS" | "_INBOX") {
            return Err(field.invalid(format!("subjects that start with {first} belong to the server and to inboxes")));
        }
        Ok(template)
    }

    fn key(&self) -> Result<Option<Template>, ConfigError> {
        match self.pick("--key", &self.flags.key, "key", &self.written.config.key)? {
            Some(field) if !field.text.is_empty() => self.template(&field, TemplateKind::Key).map(Some),
            _ => Ok(None),
        }
    }

    fn id_rule(&self) -> Result<IdRule, ConfigError> {
        match self.flags.id.as_deref() {
            None => Ok(IdRule::Position),
            Some("content") => Ok(IdRule::Content),
            Some(text) => self.template(&Field::flag("--id", text), TemplateKind::Id).map(IdRule::Template),
        }
    }

    fn stream(&self) -> Result<String, ConfigError> {
        let written = &self.written.config.stream;
        let Some(field) = self.pick("--stream", &self.flags.stream, "stream", written)? else {
            let reason = "no stream: publishing without one (core NATS, at most once) is not in this version; \
                          give --stream or sinks[0].config.stream";
            return Err(self.missing("stream", reason).not_in_this_version());
        };
        let field = field.literal()?;
        if field.text.len() > STREAM_LEN_MAX {
            return Err(field.invalid(format!("a name of {} bytes; at most {STREAM_LEN_MAX}", field.text.len())));
        }
        if !is_token(&field.text) || field.text.contains(['/', '\\']) {
            return Err(field.invalid(format!(
                "{:?} is no name of a stream: not empty, and without white space, control characters, . * > / \\",
                field.text
            )));
        }
        Ok(field.text)
    }

    /// The headers of the file, then those of the flags; a flag's takes the place of the file's of the same name.
    fn headers(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut fields: Vec<(String, Field)> = Vec::new();
        for (name, value) in &self.written.config.headers {
            let key = key(&format!("headers.{name}"));
            let Some(value) = self.desk.file(&key, value)? else {
                return Err(self.desk.missing(&key, self.line, "a header without a value"));
            };
            fields.push((name.clone(), value.literal()?));
        }
        let mut flags: Vec<(String, Field)> = Vec::new();
        for typed in &self.flags.headers {
            let field = Field::flag("--header", typed);
            let Some((name, value)) = typed.split_once('=') else {
                return Err(field.mistyped(format!("{typed:?} is not NAME=VALUE")));
            };
            if flags.iter().any(|(other, _)| other == name) {
                return Err(field.mistyped(format!("{name:?} is given twice")));
            }
            fields.retain(|(other, _)| other != name);
            flags.push((name.into(), Field::flag("--header", value)));
        }
        let mut headers = Vec::new();
        for (name, field) in fields.into_iter().chain(flags) {
            let is_ours = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-"));
            if is_ours || name.eq_ignore_ascii_case(KEY_HEADER) {
                return Err(field.invalid(format!("the header {name:?} is not for configuration to set")));
            }
            HeaderBlock::new().push(&name, &field.text).map_err(|error| field.invalid(error.to_string()))?;
            headers.push((name, field.text));
        }
        Ok(headers)
    }

    fn retry(&self) -> Result<RetryPlan, ConfigError> {
        let (desk, retry) = (self.desk, &self.written.config.retry);
        let elapsed =
            self.pick("--max-elapsed", &self.flags.max_elapsed, "retry.max_elapsed_secs", &retry.max_elapsed_secs)?;
        let elapsed_max = elapsed.map_or(Ok(Duration::ZERO), |field| field.seconds(0..=SECS_MAX))?;
        let initial = desk.file(&key("retry.initial_ms"), &retry.initial_ms)?;
        let initial = initial.map_or(Ok(Duration::from_millis(100)), |field| field.millis(1..=MILLIS_MAX))?;
        let max = match desk.file(&key("retry.max_ms"), &retry.max_ms)? {
            None => Duration::from_secs(10).max(initial),
            Some(field) => {
                let max = field.millis(1..=MILLIS_MAX)?;
                if max < initial {
                    return Err(field.invalid("shorter than retry.initial_ms"));
                }
                max
            }
        };
        Ok(RetryPlan {
            elapsed_max: (!elapsed_max.is_zero()).then_some(elapsed_max),
            auth_max: seconds(desk.file(&key("retry.auth_secs"), &retry.auth_secs)?, 300)?,
            initial,
            max,
        })
    }

    fn js_api_prefix(&self, context: Option<&Context<'_>>) -> Result<SubjectBuf, ConfigError> {
        let (flags, config) = (self.flags, &self.written.config);
        let typed = ("--js-domain", flags.js_domain.as_deref());
        let mut domain = self.over(typed, (context, "jetstream_domain"), "js_domain", &config.js_domain)?;
        let typed = ("--js-api-prefix", flags.js_api_prefix.as_deref());
        let mut api = self.over(typed, (context, "jetstream_api_prefix"), "js_api_prefix", &config.js_api_prefix)?;
        // Each overrides the other, too, where that stands lower.
        match (&domain, &api) {
            (Some(domain), Some(lower)) if domain.rank() > lower.rank() => api = None,
            (Some(lower), Some(api)) if api.rank() > lower.rank() => domain = None,
            (Some(_), Some(api)) => return Err(api.invalid("a JetStream domain and an API prefix; give one of them")),
            _ => {}
        }
        match (domain, api) {
            (None, None) => Ok(Subject::new("$JS.API").expect("a subject").to_buf()),
            (None, Some(api)) => prefix(api),
            (Some(domain), _) => {
                let domain = domain.literal()?;
                if !is_token(&domain.text) {
                    return Err(domain.invalid(format!("{:?} is no name of a domain: it is one token", domain.text)));
                }
                let text = format!("$JS.{}.API", domain.text);
                prefix(domain.with_text(text))
            }
        }
    }

    fn template(&self, field: &Field, kind: TemplateKind) -> Result<Template, ConfigError> {
        let template = Template::new(&field.text, kind).map_err(|error| field.invalid(error.to_string()))?;
        if self.format == Format::Lines && !template.is_literal() {
            return Err(field.invalid("lines have no members for a template to name; the format must be event or json"));
        }
        Ok(template)
    }

    fn missing(&self, name: &str, reason: &str) -> ConfigError {
        self.desk.missing(&key(name), self.line, reason)
    }
}

fn key(name: &str) -> String {
    format!("sinks[0].config.{name}")
}

fn seconds(field: Option<Field>, default: u64) -> Result<Duration, ConfigError> {
    field.map_or(Ok(Duration::from_secs(default)), |field| field.seconds(1..=SECS_MAX))
}

/// The first tokens of subjects to come.
fn prefix(field: Field) -> Result<SubjectBuf, ConfigError> {
    let field = field.literal()?;
    if field.text.len() > PREFIX_LEN_MAX {
        return Err(field.invalid(format!("a prefix of {} bytes; at most {PREFIX_LEN_MAX}", field.text.len())));
    }
    Subject::new(&field.text).map(Subject::to_buf).map_err(|error| field.invalid(error.to_string()))
}
