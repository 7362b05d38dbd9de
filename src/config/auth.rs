//! Which credentials count: one method, from the command line, else the file, else the environment.

use std::prelude::v1::*;

use super::error::ConfigError;
use super::field::{Desk, Field};
use super::flags::Flags;
use super::written::NatsWritten;
use crate::connection::{Secret, UserInfo};

/// All that one level, the command line or the file or the environment, says of credentials.
#[derive(Default)]
struct Level {
    url: Option<(Field, UserInfo)>,
    user: Option<Field>,
    password: Option<Field>,
    token: Option<Field>,
    creds: Option<Field>,
    seed: Option<Field>,
}

/// Decides who asks to be let in. `url` is the list of servers, `in_url` the credentials written into it.
///
/// The highest level that says anything says it all, but for one half of user and password, which may stand lower. What
/// is overridden is not looked at: its variables need not be set.
pub(super) fn choose(
    desk: &Desk<'_>,
    flags: &Flags,
    config: &NatsWritten,
    url: &Field,
    in_url: Option<UserInfo>,
) -> Result<Option<UserInfo>, ConfigError> {
    let in_url = in_url.map(|user_info| (url.clone(), user_info));
    let at = |is_level: bool| in_url.clone().filter(|_| is_level);
    let mut level = Level::of_flags(flags, at(url.is_flag()));
    if level.is_empty() {
        level = Level::of_file(desk, config, at(!url.is_flag() && !url.is_variable()))?;
    }
    if level.is_empty() {
        level = Level::of_environment(desk, at(url.is_variable()))?;
    }
    if level.password.is_some() && level.user.is_none() {
        level.user = desk.file("sinks[0].config.username", &config.username)?.or(desk.variable("NATS_USER")?);
    }
    if level.user.is_some() && level.password.is_none() {
        level.password = desk.file("sinks[0].config.password", &config.password)?.or(desk.variable("NATS_PASSWORD")?);
    }
    level.method()
}

impl Level {
    fn of_flags(flags: &Flags, url: Option<(Field, UserInfo)>) -> Self {
        let secret = |name, secret: &Option<Secret>| secret.as_ref().map(|text| Field::flag(name, text.expose()));
        Self {
            url,
            user: flags.user.as_ref().map(|user| Field::flag("--user", user)),
            password: secret("--password", &flags.password),
            token: secret("--token", &flags.token),
            ..Self::default()
        }
    }

    fn of_file(desk: &Desk<'_>, config: &NatsWritten, url: Option<(Field, UserInfo)>) -> Result<Self, ConfigError> {
        let field = |name: &str, text| desk.file(&format!("sinks[0].config.{name}"), text);
        let seed = match field("nkey_seed_file", &config.nkey_seed_file)? {
            None => field("jwt_file", &config.jwt_file)?,
            seed => seed,
        };
        Ok(Self {
            url,
            user: field("username", &config.username)?,
            password: field("password", &config.password)?,
            token: field("token", &config.token)?,
            creds: field("credentials_file", &config.credentials_file)?,
            seed,
        })
    }

    fn of_environment(desk: &Desk<'_>, url: Option<(Field, UserInfo)>) -> Result<Self, ConfigError> {
        let (user, password) = match url {
            Some(_) => (None, None),
            None => (desk.variable("NATS_USER")?, desk.variable("NATS_PASSWORD")?),
        };
        Ok(Self { url, user, password, ..Self::default() })
    }

    fn is_empty(&self) -> bool {
        let Self { url, user, password, token, creds, seed } = self;
        url.is_none() && [user, password, token, creds, seed].into_iter().all(Option::is_none)
    }

    /// The one method that this level names.
    fn method(self) -> Result<Option<UserInfo>, ConfigError> {
        self.refuse_a_second()?;
        let Self { url, user, password, token, creds, seed } = self;
        if let Some(creds) = creds {
            return Err(creds.not_yet("a credentials file"));
        }
        if let Some(seed) = seed {
            return Err(seed.not_yet("authentication by nkey or JWT"));
        }
        if let Some((_, user_info)) = url {
            return Ok(Some(user_info));
        }
        if let Some(token) = token {
            return Ok(Some(UserInfo::Token(token.not_empty("an empty token")?.text.into())));
        }
        match (user, password) {
            (None, None) => Ok(None),
            (Some(user), None) => Err(user.invalid("a user without a password")),
            (None, Some(password)) => Err(password.invalid("a password without a user")),
            (Some(user), Some(password)) => Ok(Some(UserInfo::UserPassword {
                user: user.not_empty("an empty user")?.text,
                password: password.not_empty("an empty password")?.text.into(),
            })),
        }
    }

    fn refuse_a_second(&self) -> Result<(), ConfigError> {
        let Self { url, user, password, token, creds, seed } = self;
        let url = url.as_ref().map(|(field, _)| field);
        let user = user.as_ref().or(password.as_ref());
        let mut methods = [url, user, token.as_ref(), creds.as_ref(), seed.as_ref()].into_iter().flatten();
        match (methods.next(), methods.next()) {
            (Some(first), Some(second)) => {
                Err(second.invalid(format!("a second method of authentication beside {}; give one", first.key())))
            }
            _ => Ok(()),
        }
    }
}
