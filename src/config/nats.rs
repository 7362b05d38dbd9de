//! The NATS sink's part of the check: where to connect, and how long to wait.

use std::prelude::v1::*;
use std::time::Duration;

use super::auth;
use super::context::Context;
use super::error::ConfigError;
use super::field::{Desk, Field, MILLIS_MAX};
use super::flags::Flags;
use super::plan::{AuthPlan, NatsPlan, RetryPlan};
use super::tls;
use super::written::{ConfigWritten, Text};
use crate::connection::{Secret, ServerAddr, ServerList};
use crate::proto::{Subject, SubjectBuf, is_token};
use crate::sink::Format;

/// The longest time in seconds: a year.
const SECS_MAX: u64 = 365 * 24 * 3600;
/// The longest prefix of inboxes and of JetStream's API, bytes: a reply subject must leave room in the control line.
const PREFIX_LEN_MAX: usize = 256;

/// What is written of one sink.
pub(super) struct Sink<'a> {
    pub(super) desk: &'a Desk<'a>,
    pub(super) flags: &'a Flags,
    pub(super) config: &'a ConfigWritten,
    pub(super) line: u64,
    pub(super) format: Format,
}

impl Sink<'_> {
    pub(super) fn plan(&self, pipeline: &str) -> Result<NatsPlan, ConfigError> {
        let (flags, config) = (self.flags, self.config);
        let context = self.context()?;
        let context = context.as_ref();
        let (servers, auth) = self.servers(context)?;
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
            servers,
            auth,
            tls: tls::choose(self.desk, flags, context, config)?,
            subject: self.subject()?,
            key: self.key_template()?,
            delivery: self.delivery()?,
            envelope: self.envelope()?,
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

    /// The flag, else the key of the file.
    pub(super) fn pick(
        &self,
        flag: &'static str,
        typed: &Option<String>,
        name: &str,
        written: &Text,
    ) -> Result<Option<Field>, ConfigError> {
        self.desk.pick((flag, typed.as_deref()), &self.key(name), written)
    }

    /// The context that the command line names. The variable stands for it only where nothing else names a server, so that
    /// its credentials never go to another.
    fn context(&self) -> Result<Option<Context<'_>>, ConfigError> {
        let (desk, flags) = (self.desk, self.flags);
        let name = match &flags.context {
            Some(name) => Some(Field::flag("--context", name)),
            None if flags.url.is_some() || self.config.url.is_some() => None,
            None if desk.variable("NATS_URL")?.is_some() => None,
            None => desk.variable("NATS_CONTEXT")?,
        };
        name.map(|name| Context::open(desk, &name)).transpose()
    }

    /// The flag, else the value of the context, else the key of the file.
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
        self.desk.pick(flag, &self.key(name), written)
    }

    /// The servers and who asks to be let in. The command line goes before the context, that before the file, and the file
    /// before the environment.
    fn servers(&self, context: Option<&Context<'_>>) -> Result<(Vec<ServerAddr>, AuthPlan), ConfigError> {
        let (desk, flags, config) = (self.desk, self.flags, self.config);
        let typed = flags.url.as_ref().map(Secret::expose);
        let url = match self.over(("--url", typed), (context, "url"), "url", &config.url)? {
            Some(field) => Some(field),
            None => desk.variable("NATS_URL")?,
        };
        let Some(url) = url else {
            return Err(self.missing("url", &format!("no server: give --url, $NATS_URL or {}", self.key("url"))));
        };
        let list = ServerList::parse(&url.text).map_err(|error| url.mistyped(error.to_string()))?;
        let auth = auth::choose(desk, flags, context, config, &url, list.user_info)?;
        Ok((list.servers, auth))
    }

    fn retry(&self) -> Result<RetryPlan, ConfigError> {
        let (desk, retry) = (self.desk, &self.config.retry);
        let elapsed =
            self.pick("--max-elapsed", &self.flags.max_elapsed, "retry.max_elapsed_secs", &retry.max_elapsed_secs)?;
        let elapsed_max = elapsed.map_or(Ok(Duration::ZERO), |field| field.seconds(0..=SECS_MAX))?;
        let initial = desk.file(&self.key("retry.initial_ms"), &retry.initial_ms)?;
        let initial = initial.map_or(Ok(Duration::from_millis(100)), |field| field.millis(1..=MILLIS_MAX))?;
        let max = match desk.file(&self.key("retry.max_ms"), &retry.max_ms)? {
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
            auth_max: seconds(desk.file(&self.key("retry.auth_secs"), &retry.auth_secs)?, 300)?,
            initial,
            max,
        })
    }

    fn js_api_prefix(&self, context: Option<&Context<'_>>) -> Result<SubjectBuf, ConfigError> {
        let (flags, config) = (self.flags, self.config);
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

    pub(super) fn key(&self, name: &str) -> String {
        self.desk.key(name)
    }

    pub(super) fn missing(&self, name: &str, reason: &str) -> ConfigError {
        self.desk.missing(&self.key(name), self.line, reason)
    }
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
