//! References: what users type to name an image. Parsing never looks at the disk.
//!
//! ```text
//! [docker://]host/repo[:tag][@digest]    a bare name is a registry name
//! oci:DIR[:ref][@digest]                 oci-archive:FILE[:ref][@digest]     split at the first colon
//! docker-archive:FILE[:name]
//! dir:DIR[@digest]     rootfs:DIR     tar:FILE     tar:-                      the rest is the path
//! ```
//! A `ref` that is a full digest is a digest. Every reference that parses prints (`Display`) as text that
//! parses to the same reference.

mod error;
mod registry;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

pub use error::{NameFault, ReferenceError};
pub use registry::RegistryName;

use crate::digest::Digest;
use crate::text::excerpt;

/// Where an image is, in one of the forms that users type.
///
/// Paths come from text in which a colon ends the path of `oci:`, `oci-archive:` and `docker-archive:`; who
/// builds such a value by hand with a colon in the path cannot parse it back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A repository of a registry.
    Registry(RegistryName),
    /// An image of an OCI layout directory.
    Oci {
        /// The layout.
        dir: PathBuf,
        /// Name of the image in the layout (`org.opencontainers.image.ref.name`).
        name: Option<String>,
        /// The digest the manifest must have.
        digest: Option<Digest>,
    },
    /// An image of an OCI layout in a tar.
    OciArchive {
        /// The archive.
        file: PathBuf,
        /// Name of the image in the layout.
        name: Option<String>,
        /// The digest the manifest must have.
        digest: Option<Digest>,
    },
    /// An image of a tar as `docker save` writes it.
    DockerArchive {
        /// The archive.
        file: PathBuf,
        /// Name of the image, as it stands in the archive (`busybox:1.0`).
        name: Option<String>,
    },
    /// A directory as skopeo's `dir:` writes it.
    Dir {
        /// The directory.
        dir: PathBuf,
        /// The digest the manifest must have.
        digest: Option<Digest>,
    },
    /// A directory tree that becomes one layer.
    Rootfs {
        /// The root of the tree.
        dir: PathBuf,
    },
    /// A tar that becomes one layer.
    Tar {
        /// The file, or none for standard input (`-`).
        file: Option<PathBuf>,
    },
}

/// Transports of skopeo and friends that we do not have. Without this list they would be taken for names on
/// Docker Hub.
const FOREIGN_TRANSPORTS: [&str; 6] =
    ["containers-storage", "docker-daemon", "ostree", "sif", "tarball", "atomic"];

impl Reference {
    /// The same with the digest that it led to.
    pub fn pinned(&self, pin: Digest) -> String {
        let mut pinned = self.clone();
        match &mut pinned {
            Self::Oci { digest, .. } | Self::OciArchive { digest, .. } | Self::Dir { digest, .. } => {
                *digest = Some(pin);
            }
            // The others have no place for a digest of their own.
            other => return format!("{other}@{pin}"),
        }
        pinned.to_string()
    }

    /// The transport, as it is typed, without its colon.
    pub(crate) fn transport(&self) -> &'static str {
        match self {
            Self::Registry(_) => "docker",
            Self::Oci { .. } => "oci",
            Self::OciArchive { .. } => "oci-archive",
            Self::DockerArchive { .. } => "docker-archive",
            Self::Dir { .. } => "dir",
            Self::Rootfs { .. } => "rootfs",
            Self::Tar { .. } => "tar",
        }
    }

    /// The digest that the reference pins.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Registry(name) => name.digest.as_ref(),
            Self::Oci { digest, .. } | Self::OciArchive { digest, .. } | Self::Dir { digest, .. } => {
                digest.as_ref()
            }
            Self::DockerArchive { .. } | Self::Rootfs { .. } | Self::Tar { .. } => None,
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if let Some(name) = text.strip_prefix("docker://") {
            return name.parse().map(Self::Registry);
        }
        match text.split_once(':') {
            Some((transport, "")) if is_local(transport) => {
                Err(ReferenceError::Empty { text: excerpt(text) })
            }
            Some(("oci", rest)) => {
                let (dir, name, digest) = parse_layout(rest)?;
                Ok(Self::Oci { dir, name, digest })
            }
            Some(("oci-archive", rest)) => {
                let (file, name, digest) = parse_layout(rest)?;
                Ok(Self::OciArchive { file, name, digest })
            }
            Some(("docker-archive", rest)) => parse_docker_archive(rest),
            Some(("dir", rest)) => {
                let (dir, digest) = split_digest(rest)?;
                Ok(Self::Dir { dir: path(dir)?, digest })
            }
            Some(("rootfs", rest)) => Ok(Self::Rootfs { dir: path(unpinned("rootfs", rest)?)? }),
            Some(("tar", "-")) => Ok(Self::Tar { file: None }),
            Some(("tar", rest)) => Ok(Self::Tar { file: Some(path(unpinned("tar", rest)?)?) }),
            Some((transport, rest)) if FOREIGN_TRANSPORTS.contains(&transport) || rest.starts_with("//") => {
                Err(ReferenceError::UnknownTransport { transport: excerpt(transport) })
            }
            _ => text.parse().map(Self::Registry),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, name, digest) = match self {
            Self::Registry(name) => return write!(f, "docker://{name}"),
            Self::Oci { dir, name, digest } => (Some(dir), name.as_ref(), digest.as_ref()),
            Self::OciArchive { file, name, digest } => (Some(file), name.as_ref(), digest.as_ref()),
            Self::DockerArchive { file, name } => (Some(file), name.as_ref(), None),
            Self::Dir { dir, digest } => (Some(dir), None, digest.as_ref()),
            Self::Rootfs { dir } => (Some(dir), None, None),
            Self::Tar { file } => (file.as_ref(), None, None),
        };
        write!(f, "{}:", self.transport())?;
        match path {
            Some(path) => write!(f, "{}", path.display())?,
            None => f.write_str("-")?,
        }
        name.iter().try_for_each(|name| write!(f, ":{name}"))?;
        digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

fn is_local(transport: &str) -> bool {
    matches!(transport, "oci" | "oci-archive" | "docker-archive" | "dir" | "rootfs" | "tar")
}

/// `PATH[:name][@digest]`.
fn parse_layout(text: &str) -> Result<(PathBuf, Option<String>, Option<Digest>), ReferenceError> {
    let (rest, pin) = split_digest(text)?;
    let Some((dir, name)) = rest.split_once(':') else { return Ok((path(rest)?, None, pin)) };
    let dir = path(dir)?;
    if name.is_empty() {
        return Err(ReferenceError::Empty { text: excerpt(text) });
    }
    match (name.parse(), pin) {
        (Ok(digest), None) => Ok((dir, None, Some(digest))),
        (Ok(_), Some(_)) => Err(ReferenceError::TwoDigests { text: excerpt(text) }),
        (Err(_), pin) if is_ref_name(name) => Ok((dir, Some(name.to_owned()), pin)),
        _ => Err(ReferenceError::BadRefName { name: excerpt(name) }),
    }
}

fn parse_docker_archive(text: &str) -> Result<Reference, ReferenceError> {
    let rest = unpinned("docker-archive", text)?;
    let (file, name) = match rest.split_once(':') {
        Some((_, "")) => return Err(ReferenceError::Empty { text: excerpt(text) }),
        Some((file, name)) => (file, Some(name.to_owned())),
        None => (rest, None),
    };
    Ok(Reference::DockerArchive { file: path(file)?, name })
}

/// Takes `@sha256:…` off the end. What begins like a digest there must be one.
fn split_digest(text: &str) -> Result<(&str, Option<Digest>), ReferenceError> {
    match text.rsplit_once('@') {
        Some((rest, digest)) if digest.starts_with("sha256:") || digest.starts_with("sha512:") => {
            Ok((rest, Some(digest.parse()?)))
        }
        _ => Ok((text, None)),
    }
}

fn unpinned<'a>(transport: &'static str, text: &'a str) -> Result<&'a str, ReferenceError> {
    match split_digest(text)? {
        (_, Some(digest)) => Err(ReferenceError::DigestNotPossible { transport, digest }),
        (rest, None) => Ok(rest),
    }
}

fn path(text: &str) -> Result<PathBuf, ReferenceError> {
    match text {
        "" => Err(ReferenceError::Empty { text: String::new() }),
        _ if text.contains('\0') => Err(ReferenceError::NulInPath),
        _ => Ok(PathBuf::from(text)),
    }
}

/// The grammar of `org.opencontainers.image.ref.name` in the image specification: words of letters and
/// digits, joined by one of `-._:@+` or by `--`, in parts divided by slashes.
fn is_ref_name(name: &str) -> bool {
    name.split('/').all(|part| {
        let joined = part.replace("--", "-");
        joined
            .split(['-', '.', '_', ':', '@', '+'])
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()))
    })
}

#[cfg(test)]
mod tests;
