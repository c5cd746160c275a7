//! Files with credentials, as podman and docker write them (containers-auth.json(5), docker login).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::login::Login;
use crate::reference::RegistryName;

/// Name of Docker's registry in files with credentials.
const DOCKER_HUB: &str = "docker.io";
/// What docker login calls it.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// Base64 whose padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The parts of such a file that say who we are.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthFile {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl AuthFile {
    /// The helper for single registries that is to be asked first.
    pub fn helper(&self, name: &RegistryName) -> Option<&str> {
        let helpers = self.cred_helpers.as_ref()?;
        best(helpers, name, |helper| !helper.is_empty()).map(|(_, helper)| helper.as_str())
    }

    /// The helper for all registries, which is asked last.
    pub fn store(&self) -> Option<&str> {
        self.creds_store.as_deref().filter(|store| !store.is_empty())
    }

    /// What the entry for a repository says. The most specific one counts: of the repository, of a part of its path, of
    /// the host.
    pub fn login(&self, name: &RegistryName) -> Result<Option<Login>, String> {
        let Some(auths) = &self.auths else { return Ok(None) };
        match best(auths, name, Entry::says_something) {
            Some((key, entry)) => entry.login().map_err(|problem| format!("{key}: {problem}")),
            None => Ok(None),
        }
    }
}

/// How a helper is asked for a host.
pub(super) fn helper_key(host: &str) -> &str {
    if host == DOCKER_HUB { DOCKER_HUB_KEY } else { host }
}

/// The value with the longest key for a name; keys as docker login wrote them once come last.
fn best<'a, V>(
    map: &'a BTreeMap<String, V>,
    name: &RegistryName,
    counts: impl Fn(&V) -> bool,
) -> Option<(&'a str, &'a V)> {
    let full = name.name();
    let mut key = full.as_str();
    loop {
        if let Some((key, value)) = map.get_key_value(key).filter(|(_, value)| counts(value)) {
            return Some((key, value));
        }
        match key.rsplit_once('/') {
            Some((shorter, _)) => key = shorter,
            None => break,
        }
    }
    let found = map.iter().find(|(key, value)| host_of_key(key) == name.host && counts(value));
    found.map(|(key, value)| (key.as_str(), value))
}

/// The host that an old-style key names: `https://host/v1/`.
fn host_of_key(key: &str) -> String {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    match (host.to_ascii_lowercase(), path.trim_end_matches('/')) {
        (host, _) if host == "index.docker.io" || host == "registry-1.docker.io" => DOCKER_HUB.to_owned(),
        // A path that is no API version is a repository.
        (host, "" | "v1" | "v2") => host,
        _ => String::new(),
    }
}

impl Entry {
    fn says_something(&self) -> bool {
        [&self.auth, &self.username, &self.identitytoken, &self.registrytoken]
            .into_iter()
            .any(|field| field.as_deref().is_some_and(|text| !text.trim().is_empty()))
    }

    /// As docker does: a registry's own token goes before an identity token, and both before a password; `auth` goes
    /// before `username` and `password`.
    fn login(&self) -> Result<Option<Login>, &'static str> {
        let given = |field: &Option<String>| field.clone().filter(|text| !text.trim().is_empty());
        if let Some(token) = given(&self.registrytoken) {
            let sound = token.bytes().all(|byte| byte.is_ascii_graphic());
            return if sound {
                Ok(Some(Login::RegistryToken(token)))
            } else {
                Err("registrytoken is no token")
            };
        }
        if let Some(token) = given(&self.identitytoken) {
            return Ok(Some(Login::IdentityToken(token)));
        }
        if let Some(auth) = given(&self.auth) {
            return decode(&auth).map(Some);
        }
        let password = self.password.clone().unwrap_or_default();
        Ok(given(&self.username).map(|name| Login::User { name, password }))
    }
}

/// `name:password` in base64.
fn decode(auth: &str) -> Result<Login, &'static str> {
    let packed: String = auth.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(packed).map_err(|_| "auth is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "auth is not text")?;
    let (name, password) = text.split_once(':').ok_or("auth is not name:password")?;
    if name.is_empty() {
        return Err("auth has no user name");
    }
    // docker fills up with NUL bytes; `echo name:password | base64` ends with a newline.
    let password = password.trim_end_matches(['\0', '\n', '\r']).to_owned();
    Ok(Login::User { name: name.to_owned(), password })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn user(name: &str, password: &str) -> Login {
        Login::User { name: name.to_owned(), password: password.to_owned() }
    }

    fn read(text: &str) -> AuthFile {
        serde_json::from_str(text).unwrap()
    }

    /// `name:p:w` in base64, padded.
    fn auth(name: &str) -> String {
        use base64::engine::general_purpose::STANDARD;
        STANDARD.encode(format!("{name}:p:w"))
    }

    #[test]
    fn entries() {
        let (token, own) = (Login::IdentityToken("t".to_owned()), Login::RegistryToken("t".to_owned()));
        for (entry, login) in [
            (r#"{"auth":"dTpwOnc="}"#, Ok(Some(user("u", "p:w")))),
            (r#"{"auth":"dTpwOnc"}"#, Ok(Some(user("u", "p:w")))),
            (r#"{"auth":" dTpw\nOnc=\n"}"#, Ok(Some(user("u", "p:w")))),
            // u:p and a newline; u:p and two NULs; u and no password.
            (r#"{"auth":"dTpwCg=="}"#, Ok(Some(user("u", "p")))),
            (r#"{"auth":"dTpwAAA="}"#, Ok(Some(user("u", "p")))),
            (r#"{"auth":"dTo="}"#, Ok(Some(user("u", "")))),
            (r#"{"username":"u","password":"p"}"#, Ok(Some(user("u", "p")))),
            (r#"{"username":"u","password":"p","auth":"","email":"e"}"#, Ok(Some(user("u", "p")))),
            (r#"{"username":"other","password":"other","auth":"dTpw"}"#, Ok(Some(user("u", "p")))),
            (r#"{"username":"u","password":"p","auth":null}"#, Ok(Some(user("u", "p")))),
            (r#"{"username":"u"}"#, Ok(Some(user("u", "")))),
            (r#"{"identitytoken":"t","auth":"dTpw"}"#, Ok(Some(token))),
            (r#"{"registrytoken":"t","auth":"dTpw"}"#, Ok(Some(own))),
            (r#"{"password":"p"}"#, Ok(None)),
            (r#"{"email":"e"}"#, Ok(None)),
            ("{}", Ok(None)),
            (r#"{"auth":"!"}"#, Err("r.example: auth is not base64")),
            (r#"{"auth":"eA=="}"#, Err("r.example: auth is not name:password")),
            (r#"{"auth":"OnA="}"#, Err("r.example: auth has no user name")),
            (r#"{"registrytoken":"a\nb"}"#, Err("r.example: registrytoken is no token")),
        ] {
            let file = read(&format!(r#"{{"auths":{{"r.example":{entry}}}}}"#));
            let found = file.login(&"r.example/x".parse().unwrap());
            assert_eq!(found, login.map_err(str::to_owned), "{entry}");
        }
    }

    #[test]
    fn keys() {
        for (key, name, found) in [
            ("https://index.docker.io/v1/", "busybox", true),
            ("https://index.docker.io/v1", "busybox", true),
            ("index.docker.io", "busybox", true),
            ("docker.io", "busybox", true),
            ("registry-1.docker.io", "busybox", true),
            ("https://registry-1.docker.io/v2/", "busybox", true),
            ("https://docker.io", "busybox", true),
            ("docker.io/library", "busybox", true),
            ("docker.io/other", "busybox", false),
            ("r.example", "r.example/a/b", true),
            ("R.Example", "r.example/a/b", true),
            ("r.example/", "r.example/a/b", true),
            ("http://r.example", "r.example/a/b", true),
            ("https://r.example/v1/", "r.example/a/b", true),
            ("https://r.example/v2/", "r.example/a/b", true),
            ("r.example/a", "r.example/a/b", true),
            ("r.example/a/b", "r.example/a/b", true),
            ("r.example/a/b/c", "r.example/a/b", false),
            ("r.example/aa", "r.example/a/b", false),
            ("r.example:5000", "r.example:5000/a", true),
            ("https://r.example:5000/v1/", "r.example:5000/a", true),
            ("r.example", "r.example:5000/a", false),
            ("r.example:5000", "r.example/a", false),
            ("ample", "r.example/a", false),
        ] {
            let name = name.parse().unwrap();
            let file =
                read(&format!(r#"{{"auths":{{"{key}":{{"auth":"dTpw"}}}},"credHelpers":{{"{key}":"h"}}}}"#));
            assert_eq!(file.login(&name).unwrap().is_some(), found, "{key} {name}");
            assert_eq!(file.helper(&name).is_some(), found, "{key} {name}");
        }
    }

    #[test]
    fn the_most_specific_entry_counts() {
        let entry = |key: &str, name: &str| format!(r#""{key}":{{"auth":"{}"}}"#, auth(name));
        let file = read(&format!(
            r#"{{"auths":{{{},{},{},"r.example/empty":{{}},"http://r.example":{{}}}},"HttpHeaders":{{}}}}"#,
            entry("r.example", "host"),
            entry("r.example/team", "team"),
            entry("r.example/team/app", "app"),
        ));
        for (name, login) in [
            ("r.example/x", "host"),
            ("r.example/empty/x", "host"),
            ("r.example/teams/x", "host"),
            ("r.example/team/x/y", "team"),
            ("r.example/team/app", "app"),
        ] {
            assert_eq!(file.login(&name.parse().unwrap()), Ok(Some(user(login, "p:w"))), "{name}");
        }
    }
}
