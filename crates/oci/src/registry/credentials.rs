//! Who we are to a registry: looked up where podman and docker look (containers-auth.json(5), docker login).
//!
//! ```text
//! given on the command line
//! --authfile FILE, else $REGISTRY_AUTH_FILE, else the first that knows the registry of
//!     $XDG_RUNTIME_DIR/containers/auth.json          podman login
//!     $XDG_CONFIG_HOME/containers/auth.json          ($HOME/.config)
//!     $DOCKER_CONFIG/config.json                     ($HOME/.docker)    docker login
//! in each file   credHelpers[host], auths[host/repository … host], credsStore
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::environment::{config_home, home, variable};
use super::error::RegistryError;
use crate::error::excerpt;
use crate::reference::RegistryName;

/// Name of Docker's registry in files with credentials.
const DOCKER_HUB: &str = "docker.io";
/// What docker login calls it.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// User name that says that the secret is an identity token (docker credential helpers).
const TOKEN_USER: &str = "<token>";

/// Who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// Nobody in particular.
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
}

/// Secrets stay out of logs.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::User { name, .. } => write!(f, "User({name})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

/// Where credentials come from.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// The files that podman and docker read.
    #[default]
    Environment,
    /// This file alone.
    File(PathBuf),
    /// These.
    Given(Login),
}

impl Credentials {
    /// The credentials for a repository.
    pub(super) fn find(&self, name: &RegistryName) -> Result<Login, RegistryError> {
        match self {
            Self::Given(login) => Ok(login.clone()),
            Self::File(path) => Ok(look_in(path, name, true)?.unwrap_or(Login::Anonymous)),
            Self::Environment => {
                if let Some(path) = variable("REGISTRY_AUTH_FILE") {
                    return Ok(look_in(Path::new(&path), name, true)?.unwrap_or(Login::Anonymous));
                }
                for path in usual_files() {
                    if let Some(login) = look_in(&path, name, false)? {
                        return Ok(login);
                    }
                }
                Ok(Login::Anonymous)
            }
        }
    }
}

fn usual_files() -> Vec<PathBuf> {
    let docker =
        variable("DOCKER_CONFIG").map(PathBuf::from).or_else(|| home().map(|home| home.join(".docker")));
    let runtime = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    [
        runtime.map(|dir| dir.join("containers/auth.json")),
        config_home().map(|dir| dir.join("containers/auth.json")),
        docker.map(|dir| dir.join("config.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A file as podman and docker write it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: String,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    identitytoken: String,
}

/// What `path` says about the repository; nothing if it says nothing or, unless it `must_exist`, does not exist.
fn look_in(path: &Path, name: &RegistryName, must_exist: bool) -> Result<Option<Login>, RegistryError> {
    let wrong = |source: Box<dyn std::error::Error + Send + Sync>| RegistryError::File {
        path: path.to_owned(),
        what: "credentials",
        source,
    };
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => return Ok(None),
        // Somebody else's home: as good as none.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !must_exist => return Ok(None),
        other => other.map_err(|error| wrong(error.into()))?,
    };
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let file: AuthFile = serde_json::from_slice(&text).map_err(|error| wrong(error.into()))?;
    file.find(name).map_err(|problem| match problem {
        Problem::Entry(text) => wrong(text.into()),
        Problem::Helper(error) => *error,
    })
}

enum Problem {
    Entry(String),
    Helper(Box<RegistryError>),
}

impl AuthFile {
    fn find(&self, name: &RegistryName) -> Result<Option<Login>, Problem> {
        if let Some(helper) = self.cred_helpers.get(&name.host) {
            return ask_helper(helper, &name.host).map_err(|error| Problem::Helper(Box::new(error)));
        }
        if let Some((key, entry)) = self.entry(name)
            && let Some(login) =
                entry.login().map_err(|problem| Problem::Entry(format!("{key}: {problem}")))?
        {
            return Ok(Some(login));
        }
        if self.creds_store.is_empty() {
            return Ok(None);
        }
        let key = if name.host == DOCKER_HUB { DOCKER_HUB_KEY } else { name.host.as_str() };
        ask_helper(&self.creds_store, key).map_err(|error| Problem::Helper(Box::new(error)))
    }

    /// The most specific entry: for the repository, a part of its path, the host.
    fn entry(&self, name: &RegistryName) -> Option<(&str, &Entry)> {
        let full = name.name();
        let mut key = full.as_str();
        loop {
            if let Some((key, entry)) = self.auths.get_key_value(key) {
                return Some((key.as_str(), entry));
            }
            match key.rsplit_once('/') {
                Some((shorter, _)) => key = shorter,
                None => break,
            }
        }
        // docker login wrote URLs once, and still does for its own registry.
        let found = self.auths.iter().find(|(key, _)| host_of_key(key) == name.host);
        found.map(|(key, entry)| (key.as_str(), entry))
    }
}

/// The host that an old-style key names: `https://host/v1/`.
fn host_of_key(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    match (host, path) {
        ("index.docker.io" | "registry-1.docker.io", _) => DOCKER_HUB,
        // A path that is no API version is a repository.
        (host, "" | "v1" | "v1/" | "v2" | "v2/") => host,
        _ => "",
    }
}

impl Entry {
    fn login(&self) -> Result<Option<Login>, &'static str> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Login::IdentityToken(self.identitytoken.clone())));
        }
        if self.auth.is_empty() {
            return Ok(None);
        }
        let bytes = BASE64.decode(self.auth.trim()).map_err(|_| "auth is not base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "auth is not text")?;
        let (name, password) = text.split_once(':').ok_or("auth is not name:password")?;
        // docker fills up with NUL bytes.
        let password = password.trim_end_matches('\0').to_owned();
        Ok(Some(Login::User { name: name.to_owned(), password }))
    }
}

/// Asks `docker-credential-NAME get`; nothing if it knows nothing.
fn ask_helper(name: &str, host: &str) -> Result<Option<Login>, RegistryError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Found {
        username: String,
        secret: String,
    }
    let failed = |message: &str| RegistryError::Helper {
        name: excerpt(name),
        host: host.to_owned(),
        message: excerpt(message.trim()),
    };
    if name.contains('/') {
        return Err(failed("a helper is a name, not a path"));
    }
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that does not listen will say so in its own words.
        let _ = input.write_all(host.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(&error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        if said.contains("credentials not found") {
            return Ok(None);
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(failed(if said.trim().is_empty() { &errors } else { &said }));
    }
    let found: Found = serde_json::from_slice(&output.stdout).map_err(|_| failed("its answer is no JSON"))?;
    Ok(match found {
        Found { username, secret } if username == TOKEN_USER => Some(Login::IdentityToken(secret)),
        Found { username, secret } if username.is_empty() && secret.is_empty() => None,
        Found { username, secret } => Some(Login::User { name: username, password: secret }),
    })
}

/// `Authorization` of a user.
pub(super) fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{name}:{password}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn user(name: &str) -> Login {
        Login::User { name: name.to_owned(), password: "p:w".to_owned() }
    }

    #[test]
    fn the_most_specific_entry_counts() {
        let entry = |name: &str| format!(r#"{{"auth":"{}"}}"#, BASE64.encode(format!("{name}:p:w\0")));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        let text = format!(
            r#"{{"auths":{{"r.example":{},"r.example/team":{},"r.example/team/app":{},
                "https://index.docker.io/v1/":{},"http://old.example":{},"empty.example":{{}},
                "token.example":{{"identitytoken":"t"}}}},"HttpHeaders":{{}}}}"#,
            entry("host"),
            entry("team"),
            entry("app"),
            entry("hub"),
            entry("old"),
        );
        fs::write(&path, text).unwrap();
        for (name, login) in [
            ("r.example/x", Some(user("host"))),
            ("r.example/teams/x", Some(user("host"))),
            ("r.example/team/x/y", Some(user("team"))),
            ("r.example/team/app", Some(user("app"))),
            ("busybox", Some(user("hub"))),
            ("old.example/x", Some(user("old"))),
            ("empty.example/x", None),
            ("other.example/x", None),
            ("token.example/x", Some(Login::IdentityToken("t".to_owned()))),
        ] {
            assert_eq!(look_in(&path, &name.parse().unwrap(), true).unwrap(), login, "{name}");
        }
    }

    #[test]
    fn files_that_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        let name: RegistryName = "r.example/x".parse().unwrap();
        assert_eq!(look_in(&path, &name, false).unwrap(), None);
        assert!(matches!(look_in(&path, &name, true), Err(RegistryError::File { .. })));
        fs::write(&path, " \n").unwrap();
        assert_eq!(look_in(&path, &name, true).unwrap(), None);
        for text in [
            "[1]",
            "{",
            r#"{"auths":{"r.example":{"auth":"!"}}}"#,
            r#"{"auths":{"r.example":{"auth":"eA=="}}}"#,
        ] {
            fs::write(&path, text).unwrap();
            assert!(matches!(look_in(&path, &name, false), Err(RegistryError::File { .. })), "{text}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let login = Login::User { name: "name".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{login:?} {:?}", Login::IdentityToken("secret".to_owned())).contains("secret"));
    }
}
