//! Credentials, looked up where podman and docker look (containers-auth.json(5), docker login).
//!
//! ```text
//! given by the caller
//! a file the caller names, else $REGISTRY_AUTH_FILE, else the first that knows the registry of
//!     $DOCKER_AUTH_CONFIG                            the text itself
//!     $XDG_RUNTIME_DIR/containers/auth.json          podman login
//!     $XDG_CONFIG_HOME/containers/auth.json          ($HOME/.config)
//!     $DOCKER_CONFIG/config.json                     ($HOME/.docker)    docker login
//! in each file   credHelpers[host], auths[host/repository … host], credsStore
//! ```
//! A helper that fails is passed over, as docker does: many images are public. Where the registry then refuses, its error
//! names the helper's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::authfile::{AuthFile, helper_key};
use super::environment::{config_home, home, variable};
use super::error::RegistryError;
use super::helper;
use super::login::Login;
use crate::reference::RegistryName;

/// Where credentials come from.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// The files that podman and docker read.
    #[default]
    Environment,
    /// This file alone.
    File(PathBuf),
    /// This login, for every repository.
    Given(Login),
}

/// What was found for a repository.
pub(super) struct Found {
    pub login: Login,
    /// Which these are, for messages.
    pub origin: String,
    /// The first helper that failed on the way.
    pub failure: Option<RegistryError>,
}

impl Credentials {
    /// The credentials for a repository.
    pub(super) fn find(&self, name: &RegistryName) -> Result<Found, RegistryError> {
        let mut search = Search { name, failure: None };
        let found = match self {
            Self::Given(login) => Some((login.clone(), "the given credentials".to_owned())),
            Self::File(path) => search.file(path, true)?,
            Self::Environment => match variable("REGISTRY_AUTH_FILE") {
                Some(path) => search.file(Path::new(&path), true)?,
                None => search.environment()?,
            },
        };
        let (login, origin) = found.unwrap_or((Login::Anonymous, String::new()));
        Ok(Found { login, origin, failure: search.failure })
    }
}

/// A login and where it was.
type Place = (Login, String);

struct Search<'a> {
    name: &'a RegistryName,
    failure: Option<RegistryError>,
}

impl Search<'_> {
    fn environment(&mut self) -> Result<Option<Place>, RegistryError> {
        if let Some(text) = variable("DOCKER_AUTH_CONFIG") {
            let text = text.to_string_lossy().into_owned().into_bytes();
            if let Some(found) = self.text(&text, Path::new("DOCKER_AUTH_CONFIG"))? {
                return Ok(Some(found));
            }
        }
        for path in usual_files() {
            if let Some(found) = self.file(&path, false)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What `path` says; nothing if it says nothing or, unless it `must_exist`, does not exist.
    fn file(&mut self, path: &Path, must_exist: bool) -> Result<Option<Place>, RegistryError> {
        match fs::read(path) {
            Ok(text) => self.text(&text, path),
            Err(error) if is_absent(&error) && !must_exist => Ok(None),
            Err(error) => Err(wrong(path, error.into())),
        }
    }

    fn text(&mut self, text: &[u8], path: &Path) -> Result<Option<Place>, RegistryError> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let file: AuthFile = serde_json::from_slice(text).map_err(|error| wrong(path, error.into()))?;
        if let Some(found) = file.helper(self.name).and_then(|helper| self.ask(helper)) {
            return Ok(Some(found));
        }
        if let Some(login) = file.login(self.name).map_err(|problem| wrong(path, problem.into()))? {
            return Ok(Some((login, format!("the credentials in {}", path.display()))));
        }
        Ok(file.store().and_then(|helper| self.ask(helper)))
    }

    fn ask(&mut self, helper: &str) -> Option<Place> {
        match helper::ask(helper, helper_key(&self.name.host)) {
            Ok(login) => Some((login?, format!("the credentials of docker-credential-{helper}"))),
            Err(error) => {
                tracing::info!("{error}; going on without it");
                self.failure.get_or_insert(error);
                None
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

/// Another user's home is as good as none.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

fn wrong(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> RegistryError {
    RegistryError::File { path: path.to_owned(), what: "credentials", source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_that_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        let name: RegistryName = "r.example/x".parse().unwrap();
        let look = |must_exist| {
            let found = Search { name: &name, failure: None }.file(&path, must_exist);
            found.map(|found| found.is_some()).map_err(|error| error.to_string())
        };
        assert_eq!(look(false), Ok(false));
        assert!(look(true).unwrap_err().contains("auth.json"));
        fs::write(&path, " \n").unwrap();
        assert_eq!(look(true), Ok(false));
        fs::write(&path, r#"{"auths":null,"credHelpers":null,"credsStore":null}"#).unwrap();
        assert_eq!(look(true), Ok(false));
        for text in ["[1]", "{", r#"{"auths":{"r.example":{"auth":"!"}}}"#] {
            fs::write(&path, text).unwrap();
            assert!(look(false).unwrap_err().contains("auth.json"), "{text}");
        }
    }

    #[test]
    fn a_helper_that_fails_is_passed_over() {
        let name: RegistryName = "r.example/x".parse().unwrap();
        for (text, login) in [
            (r#"{"credsStore":"not-installed"}"#, false),
            (r#"{"credHelpers":{"r.example":"not-installed"},"auths":{"r.example":{"auth":"dTpw"}}}"#, true),
        ] {
            let mut search = Search { name: &name, failure: None };
            let found = search.text(text.as_bytes(), Path::new("f")).unwrap();
            assert_eq!(
                found.map(|(_, origin)| origin),
                login.then(|| "the credentials in f".to_owned()),
                "{text}"
            );
            assert!(search.failure.unwrap().to_string().contains("docker-credential-not-installed"));
        }
    }
}
