//! Certificates for single hosts: the directories `certs.d` of podman (containers-certs.d(5)) and docker.
//!
//! ```text
//! $XDG_CONFIG_HOME/containers/certs.d/HOST[:PORT]/      the first that exists counts, alone
//! /etc/containers/certs.d/HOST[:PORT]/
//! /etc/docker/certs.d/HOST[:PORT]/
//!     NAME.crt               authorities to trust, beside the system's
//!     NAME.cert, NAME.key    who we are to the host
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::environment::config_home;
use super::error::RegistryError;

/// Directories with directories of hosts, below the user's.
const SYSTEM: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// What is kept for one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostCerts {
    /// Files with authorities to trust.
    pub authorities: Vec<PathBuf>,
    /// Files with our certificate and its key; of several pairs the first by name.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl HostCerts {
    /// What this machine keeps for `host`, which is `name[:port]`.
    pub fn of(host: &str) -> Result<Self, RegistryError> {
        let user = config_home().map(|config| config.join("containers/certs.d"));
        Self::first(user.into_iter().chain(SYSTEM.map(PathBuf::from)), host)
    }

    fn first(dirs: impl Iterator<Item = PathBuf>, host: &str) -> Result<Self, RegistryError> {
        for dir in dirs {
            let dir = dir.join(host);
            match fs::read_dir(&dir) {
                Ok(entries) => {
                    let names: Result<Vec<_>, _> =
                        entries.map(|entry| entry.map(|entry| entry.path())).collect();
                    return names.map_err(|error| wrong(&dir, error.into())).and_then(|mut paths| {
                        paths.sort();
                        Self::among(&paths)
                    });
                }
                // Somebody else's directory is as good as none.
                Err(error) if is_none(&error) => {}
                Err(error) => return Err(wrong(&dir, error.into())),
            }
        }
        Ok(Self::default())
    }

    fn among(paths: &[PathBuf]) -> Result<Self, RegistryError> {
        let with = |wanted: &'static str| {
            paths.iter().filter(move |path| path.extension().is_some_and(|extension| extension == wanted))
        };
        let mut pairs = Vec::new();
        for certificate in with("cert") {
            let key = certificate.with_extension("key");
            if !paths.contains(&key) {
                let problem = "its key NAME.key is missing; authorities are called NAME.crt";
                return Err(wrong(certificate, problem.into()));
            }
            pairs.push((certificate.clone(), key));
        }
        if let Some(key) = with("key").find(|key| !paths.contains(&key.with_extension("cert"))) {
            return Err(wrong(key, "its certificate NAME.cert is missing".into()));
        }
        Ok(Self { authorities: with("crt").cloned().collect(), client: pairs.into_iter().next() })
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.client.is_none()
    }
}

fn is_none(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

fn wrong(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> RegistryError {
    RegistryError::File { path: path.to_owned(), what: "certificates of a host", source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_directory_counts() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().join("user"), dir.path().join("system")];
        let look = |host: &str| HostCerts::first(dirs.iter().cloned(), host);
        let put = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        assert!(look("r.example:5000").unwrap().is_empty());
        let other = put("system/r.example:5000/other.crt");
        assert_eq!(look("r.example:5000").unwrap().authorities, [other]);
        assert!(look("r.example").unwrap().is_empty(), "the port is part of the name");
        let (b, a) = (put("user/r.example:5000/b.crt"), put("user/r.example:5000/a.crt"));
        let (certificate, key) = (put("user/r.example:5000/me.cert"), put("user/r.example:5000/me.key"));
        put("user/r.example:5000/README");
        put("user/r.example:5000/you.cert");
        put("user/r.example:5000/you.key");
        assert_eq!(
            look("r.example:5000").unwrap(),
            HostCerts { authorities: vec![a, b], client: Some((certificate, key)) }
        );
    }

    #[test]
    fn halves_of_pairs() {
        let path = |name: &str| PathBuf::from(name);
        for (paths, at) in
            [([path("a.crt"), path("b.cert")], "b.cert"), ([path("a.cert"), path("b.key")], "a.cert")]
        {
            let error = HostCerts::among(&paths).unwrap_err();
            assert!(error.to_string().contains(at), "{error}");
        }
        let lonely = [path("a.cert"), path("a.key"), path("b.key")];
        assert!(HostCerts::among(&lonely).unwrap_err().to_string().contains("b.key"));
    }
}
