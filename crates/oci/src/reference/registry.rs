//! Names of images in registries, with Docker's rules for short names.
//!
//! ```text
//! [host[:port]/]part[/part]…[:tag][@algorithm:hex]
//! ```
//! What stands before the first slash is a host if it holds a dot, a colon or upper case or is `localhost`;
//! otherwise the name is on `docker.io`, where names of one part are in `library/`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::text::excerpt;

use super::error::{NameFault, ReferenceError};

/// Host and repository together, in bytes: the bound of the reference implementation of registries.
const MAX_NAME: usize = 255;
/// A tag in bytes: the distribution specification.
const MAX_TAG: usize = 128;
/// The host that short names are on.
const DEFAULT_HOST: &str = "docker.io";

/// An image in a registry, all defaults filled in: there is a tag or a digest, perhaps both; then the digest
/// counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistryName {
    /// Host name or address, with the port if one was given. `docker.io` is a name, not where its registry
    /// answers.
    pub host: String,
    /// The repository: `library/busybox`.
    pub repository: String,
    /// The tag; `latest` where neither tag nor digest was given.
    pub tag: Option<String>,
    /// The digest that pins the image.
    pub digest: Option<Digest>,
}

impl RegistryName {
    /// The repository with its host, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }
}

impl FromStr for RegistryName {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty { text: String::new() });
        }
        let bad = |reason| ReferenceError::BadName { text: excerpt(text), reason };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let name_starts = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest.get(name_starts..).and_then(|last| last.rfind(':')) {
            Some(colon) => (rest.get(..name_starts + colon), rest.get(name_starts + colon + 1..)),
            None => (Some(rest), None),
        };
        let name = name.unwrap_or_default();
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad(NameFault::Tag));
        }
        let (host, repository) = split_host(name);
        check(&host, &repository, name).map_err(bad)?;
        let tag = match (tag, digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { host, repository, tag, digest })
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

fn split_host(name: &str) -> (String, String) {
    let is_host = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
    };
    let (host, repository) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        _ => (DEFAULT_HOST, name),
    };
    let host = if host == "index.docker.io" { DEFAULT_HOST } else { host };
    if host == DEFAULT_HOST && !repository.contains('/') {
        return (host.to_owned(), format!("library/{repository}"));
    }
    (host.to_owned(), repository.to_owned())
}

fn check(host: &str, repository: &str, typed: &str) -> Result<(), NameFault> {
    if !is_host(host) {
        return Err(NameFault::Host);
    }
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(NameFault::UpperCase);
    }
    if !repository.split('/').all(is_repository_part) {
        return Err(NameFault::Repository);
    }
    if typed.len() == 64 && typed.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(NameFault::ImageId);
    }
    if host.len() + 1 + repository.len() > MAX_NAME {
        return Err(NameFault::TooLong);
    }
    Ok(())
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let is_label = |label: &str| {
        let dash_outside = label.starts_with('-') || label.ends_with('-');
        !label.is_empty() && !dash_outside && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_v6 = |text: &str| {
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    port.is_none_or(is_port) && (is_v6(host) || host.split('.').all(is_label))
}

/// Words of lower-case letters and digits, joined by `.`, `_`, `__` or any number of dashes.
fn is_repository_part(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_joint = |joint: &[u8]| matches!(joint, b"." | b"_" | b"__") || joint.iter().all(|&b| b == b'-');
    let bytes = part.as_bytes();
    let ends_are_words =
        bytes.first().is_some_and(|&b| is_word(b)) && bytes.last().is_some_and(|&b| is_word(b));
    ends_are_words
        && bytes
            .chunk_by(|&a, &b| is_word(a) == is_word(b))
            .all(|run| run.iter().all(|&b| is_word(b)) || is_joint(run))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}
