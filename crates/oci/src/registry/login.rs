//! Who we are to a registry.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What is sent to a registry to be let in.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// Nothing: what everybody may read.
    Anonymous,
    /// A user with a password.
    User {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
    /// A token to get other tokens with.
    IdentityToken(String),
    /// A token that is sent to the registry as it is.
    RegistryToken(String),
}

/// Secrets stay out of logs.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::User { name, .. } => write!(f, "User({name})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
            Self::RegistryToken(_) => f.write_str("RegistryToken"),
        }
    }
}

/// `Authorization` of a user.
pub(super) fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{name}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let secret = || "secret".to_owned();
        for login in [
            Login::User { name: "name".to_owned(), password: secret() },
            Login::IdentityToken(secret()),
            Login::RegistryToken(secret()),
        ] {
            assert!(!format!("{login:?}").contains("secret"));
        }
    }
}
