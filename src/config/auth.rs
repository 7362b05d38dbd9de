//! Which credentials count: one method, from the command line, else the context, the file, the environment.

use std::path::PathBuf;
use std::prelude::v1::*;

use super::context::Context;
use super::error::ConfigError;
use super::field::{Desk, Field};
use super::flags::Flags;
use super::plan::AuthPlan;
use super::written::ConfigWritten;
use crate::connection::{Secret, UserInfo};
use crate::credentials::Held;

/// All that one level, the command line or the context or the file or the environment, says of credentials.
#[derive(Default)]
struct Level {
    url: Option<(Field, UserInfo)>,
    user: Option<Field>,
    password: Option<Field>,
    token: Option<Field>,
    creds: Option<(Field, PathBuf)>,
    jwt: Option<(Field, Held)>,
    seed: Option<(Field, Held)>,
}

/// Decides who asks to be let in. `url` is the list of servers, `in_url` the credentials written into it.
///
/// The highest level that says anything says it all, but for one half of user and password, which may stand lower. What
/// is overridden is not looked at: its variables need not be set.
pub(super) fn choose(
    desk: &Desk<'_>,
    flags: &Flags,
    context: Option<&Context<'_>>,
    config: &ConfigWritten,
    url: &Field,
    in_url: Option<UserInfo>,
) -> Result<AuthPlan, ConfigError> {
    let in_url = in_url.map(|user_info| (url.clone(), user_info));
    let at = |is_level: bool| in_url.clone().filter(|_| is_level);
    let mut level = Level::of_flags(desk, flags, at(url.is_flag()))?;
    if let (true, Some(context)) = (level.is_empty(), context) {
        level = Level::of_context(context, at(url.is_context()))?;
    }
    if level.is_empty() {
        level = Level::of_file(desk, config, at(url.is_file()))?;
    }
    if level.is_empty() {
        level = Level::of_environment(desk, at(url.is_variable()))?;
    }
    // The half that is missing stands lower; where the level says neither, there is nothing to complete.
    if level.password.is_some() && level.user.is_none() {
        let of_context = context.map(|context| context.text("user")).transpose()?.flatten();
        level.user = match of_context {
            None => desk.file(&desk.key("username"), &config.username)?.or(desk.variable("NATS_USER")?),
            user => user,
        };
    }
    if level.user.is_some() && level.password.is_none() {
        let of_context = context.map(|context| context.secret("password")).transpose()?.flatten();
        level.password = match of_context {
            None => desk.file(&desk.key("password"), &config.password)?.or(desk.variable("NATS_PASSWORD")?),
            password => password,
        };
    }
    level.method()
}

impl Level {
    fn of_flags(desk: &Desk<'_>, flags: &Flags, url: Option<(Field, UserInfo)>) -> Result<Self, ConfigError> {
        let secret = |name, secret: &Option<Secret>| secret.as_ref().map(|text| Field::flag(name, text.expose()));
        let seed = desk.path_field(("--nkey", flags.nkey.as_deref()), "", &None)?;
        Ok(Self {
            url,
            user: flags.user.as_ref().map(|user| Field::flag("--user", user)),
            password: secret("--password", &flags.password),
            token: secret("--token", &flags.token),
            creds: desk.path_field(("--creds", flags.creds.as_deref()), "", &None)?,
            jwt: None,
            seed: seed.map(|(field, path)| (field, Held::File(path))),
        })
    }

    fn of_context(context: &Context<'_>, url: Option<(Field, UserInfo)>) -> Result<Self, ConfigError> {
        context.refuse_nsc()?;
        let nkey = context.path("nkey")?;
        let jwt = context.held("user_jwt", "eyJ")?;
        let seed = context.held("user_seed", "SU")?;
        match (&nkey, &jwt, &seed) {
            (Some((nkey, _)), Some((other, _)), _) | (Some((nkey, _)), None, Some((other, _))) => {
                return Err(second(nkey, other));
            }
            (None, None, Some((seed, _))) => return Err(seed.invalid("a seed without user_jwt; a seed alone is nkey")),
            _ => {}
        }
        Ok(Self {
            url,
            user: context.text("user")?,
            password: context.secret("password")?,
            token: context.secret("token")?,
            creds: context.path("creds")?,
            jwt,
            seed: seed.or(nkey.map(|(field, path)| (field, Held::File(path)))),
        })
    }

    fn of_file(desk: &Desk<'_>, config: &ConfigWritten, url: Option<(Field, UserInfo)>) -> Result<Self, ConfigError> {
        let field = |name: &str, text| desk.file(&desk.key(name), text);
        let path = |name: &str, text| desk.path_field(("", None), &desk.key(name), text);
        let held =
            |name: &str, text| path(name, text).map(|found| found.map(|(field, path)| (field, Held::File(path))));
        let (jwt, seed) = (held("jwt_file", &config.jwt_file)?, held("nkey_seed_file", &config.nkey_seed_file)?);
        if let (Some((jwt, _)), None) = (&jwt, &seed) {
            return Err(jwt.invalid("a JWT without the seed of its key: name that in nkey_seed_file"));
        }
        Ok(Self {
            url,
            user: field("username", &config.username)?,
            password: field("password", &config.password)?,
            token: field("token", &config.token)?,
            creds: path("credentials_file", &config.credentials_file)?,
            jwt,
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

    /// The fields of this level, one for each method; JWT and seed are one.
    fn methods(&self) -> impl Iterator<Item = &Field> {
        let Self { url, user, password, token, creds, jwt, seed } = self;
        let url = url.as_ref().map(|(field, _)| field);
        let user = user.as_ref().or(password.as_ref());
        let creds = creds.as_ref().map(|(field, _)| field);
        let key = jwt.as_ref().or(seed.as_ref()).map(|(field, _)| field);
        [url, user, token.as_ref(), creds, key].into_iter().flatten()
    }

    fn is_empty(&self) -> bool {
        self.methods().next().is_none()
    }

    /// The one method that this level names.
    fn method(self) -> Result<AuthPlan, ConfigError> {
        let mut methods = self.methods();
        if let (Some(first), Some(other)) = (methods.next(), methods.next()) {
            return Err(second(first, other));
        }
        drop(methods);
        let Self { url, user, password, token, creds, jwt, seed } = self;
        if let Some((_, path)) = creds {
            return Ok(AuthPlan::CredsFile(path));
        }
        match (jwt, seed) {
            (Some((_, jwt)), seed) => return Ok(AuthPlan::Jwt { jwt, seed: seed.map(|(_, seed)| seed) }),
            (None, Some((_, seed))) => return Ok(AuthPlan::Nkey(seed)),
            (None, None) => {}
        }
        if let Some((_, user_info)) = url {
            return Ok(AuthPlan::UserInfo(user_info));
        }
        if let Some(token) = token {
            return Ok(AuthPlan::UserInfo(UserInfo::Token(token.not_empty("an empty token")?.text.into())));
        }
        match (user, password) {
            (None, None) => Ok(AuthPlan::None),
            (Some(user), None) => Err(user.invalid("a user without a password")),
            (None, Some(password)) => Err(password.invalid("a password without a user")),
            (Some(user), Some(password)) => Ok(AuthPlan::UserInfo(UserInfo::UserPassword {
                user: user.not_empty("an empty user")?.text,
                password: password.not_empty("an empty password")?.text.into(),
            })),
        }
    }
}

fn second(first: &Field, second: &Field) -> ConfigError {
    second.invalid(format!("a second method of authentication beside {}; give one", first.key()))
}
