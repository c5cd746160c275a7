//! What is wrong with an archive.

use std::path::PathBuf;

use thiserror::Error;

use crate::digest::Digest;
use crate::kind::ErrorKind;
use crate::text::excerpt;

/// What is wrong with an archive.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// There is no such file.
    #[error("there is no archive at {}", path.display())]
    NotFound {
        /// What was named.
        path: PathBuf,
    },
    /// A directory, a device, a pipe: blobs are read where they are, so only files will do.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// Something else than a tar, from its beginning or from somewhere on.
    #[error("{} is not a tar: at byte {offset} there is no header", path.display())]
    NotATar {
        /// The archive.
        path: PathBuf,
        /// Where a header should be.
        offset: u64,
    },
    /// The file ends inside an entry.
    #[error("{} is truncated: it ends within the entry at byte {offset}", path.display())]
    Truncated {
        /// The archive.
        path: PathBuf,
        /// Where the entry begins.
        offset: u64,
    },
    /// More entries, or longer names, than any image has.
    #[error("{} has more than {limit} {what}", path.display())]
    TooMuch {
        /// The archive.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// How much is accepted.
        limit: u64,
    },
    /// Something that is named and not there.
    #[error("{} has no file \"{name}\"", path.display())]
    Missing {
        /// The archive.
        path: PathBuf,
        /// The name, escaped.
        name: String,
    },
    /// A blob that something names and that is not there.
    #[error("{} has no content for {digest}", path.display())]
    MissingBlob {
        /// The archive.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// Two files of one name: readers do not agree on which one counts.
    #[error("{} has two files \"{name}\" with different content", path.display())]
    Twice {
        /// The archive.
        path: PathBuf,
        /// The name, escaped.
        name: String,
    },
    /// Links that lead to links that lead to links …
    #[error("{}: the link \"{name}\" leads nowhere", path.display())]
    Links {
        /// The archive.
        path: PathBuf,
        /// Where it begins, escaped.
        name: String,
    },
    /// A file that is to be JSON and is not.
    #[error("\"{name}\" in {} is damaged", path.display())]
    Malformed {
        /// The archive.
        path: PathBuf,
        /// The file.
        name: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Not what `docker save` writes.
    #[error("{} is not an archive of docker save: it has no file manifest.json", path.display())]
    NotDocker {
        /// The archive.
        path: PathBuf,
    },
    /// There is no such directory.
    #[error("there is no directory {}", path.display())]
    NoDirectory {
        /// What was named.
        path: PathBuf,
    },
    /// Not a directory that skopeo wrote.
    #[error("{} is not an image in a directory (dir:): it has no file manifest.json", path.display())]
    NotADir {
        /// The directory.
        path: PathBuf,
    },
    /// No image of this name.
    #[error("{} has no image \"{wanted}\"; it has: {}", path.display(), available.join(", "))]
    NoImage {
        /// The archive.
        path: PathBuf,
        /// Name or `@number`, escaped.
        wanted: String,
        /// Names of those there are, escaped; numbers of those without names.
        available: Vec<String>,
    },
    /// Several images and no name.
    #[error("{} has several images; name one of: {}", path.display(), available.join(", "))]
    Ambiguous {
        /// The archive.
        path: PathBuf,
        /// Names of those there are, escaped; numbers of those without names.
        available: Vec<String>,
    },
}

impl ArchiveError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. }
            | Self::NoDirectory { .. }
            | Self::Missing { .. }
            | Self::MissingBlob { .. }
            | Self::NoImage { .. } => ErrorKind::NotFound,
            Self::NotAFile { .. }
            | Self::NotADir { .. }
            | Self::NotDocker { .. }
            | Self::Ambiguous { .. } => ErrorKind::Unsupported,
            Self::NotATar { .. }
            | Self::Truncated { .. }
            | Self::Twice { .. }
            | Self::Links { .. }
            | Self::Malformed { .. } => ErrorKind::Verification,
            Self::TooMuch { .. } => ErrorKind::ResourceLimit,
        }
    }
}

/// A name for a message.
pub(super) fn shown(name: &[u8]) -> String {
    excerpt(&String::from_utf8_lossy(name))
}
