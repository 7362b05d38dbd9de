//! The one place where a connection's credentials go.

use alloc::string::String;

use super::{Secret, UserInfo};
use crate::proto::Connect;

/// How a connection shows who it is. Exactly one method; nothing of a secret ever shows in `Debug`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Auth {
    /// No credentials.
    #[default]
    None,
    /// A token.
    Token(Secret),
    /// User and password.
    UserPassword {
        /// The user's name.
        user: String,
        /// The password; it may be empty.
        password: Secret,
    },
}

impl Auth {
    /// Fills in the fields of CONNECT that this method answers with.
    pub(crate) fn apply<'a>(&'a self, connect: &mut Connect<'a>) {
        match self {
            Self::None => {}
            Self::Token(token) => connect.auth_token = Some(token.expose()),
            Self::UserPassword { user, password } => {
                connect.user = Some(user);
                connect.pass = Some(password.expose());
            }
        }
    }
}

impl From<UserInfo> for Auth {
    fn from(user_info: UserInfo) -> Self {
        match user_info {
            UserInfo::Token(token) => Self::Token(token),
            UserInfo::UserPassword { user, password } => Self::UserPassword { user, password },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn secrets_do_not_show() {
        let auths =
            [Auth::Token("canary".into()), Auth::UserPassword { user: "alice".into(), password: "canary".into() }];
        for auth in auths {
            assert!(!format!("{auth:?}").contains("canary"));
        }
    }
}
