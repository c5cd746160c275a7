//! Why text is no reference.

use thiserror::Error;

use crate::digest::{Digest, DigestError};
use crate::kind::ErrorKind;

/// Why text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// Nothing at all, or nothing behind the transport.
    #[error("\"{text}\" names nothing: a name or path is missing")]
    Empty {
        /// What was given, escaped.
        text: String,
    },
    /// A transport that other tools know.
    #[error(
        "transport \"{transport}:\" is not supported (docker://, oci:, oci-archive:, docker-archive:, dir:, rootfs: and tar: are)"
    )]
    UnknownTransport {
        /// The transport.
        transport: String,
    },
    /// A host, repository or tag that registries do not allow.
    #[error("\"{text}\" is not an image name: {reason}")]
    BadName {
        /// What was given, escaped.
        text: String,
        /// What is wrong with it.
        reason: NameFault,
    },
    /// A name of an image in a layout that does not follow the specification.
    #[error(
        "\"{name}\" is not a name of an image in a layout (letters and digits, joined by single - . _ : @ + or /)"
    )]
    BadRefName {
        /// The name, escaped.
        name: String,
    },
    /// A digest that is not one.
    #[error(transparent)]
    BadDigest(#[from] DigestError),
    /// A digest where none can be checked.
    #[error("{transport}: has no manifest whose digest could be checked: leave out \"@{digest}\"")]
    DigestNotPossible {
        /// The transport.
        transport: &'static str,
        /// The digest.
        digest: Digest,
    },
    /// Two digests for one image.
    #[error("\"{text}\" names two digests")]
    TwoDigests {
        /// What was given, escaped.
        text: String,
    },
    /// A path with a NUL byte.
    #[error("a path cannot hold a NUL byte")]
    NulInPath,
}

/// What is wrong with a registry name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameFault {
    /// The part before the first slash.
    #[error("the host is not a host name, address or host:port")]
    Host,
    /// Upper case in the repository.
    #[error("a repository is lower case")]
    UpperCase,
    /// Anything else in the repository.
    #[error(
        "a repository is lower-case letters and digits, joined by . _ __ or dashes, in parts divided by slashes"
    )]
    Repository,
    /// A name that Docker takes for an image id.
    #[error("64 hexadecimal digits alone are an image id, not a repository")]
    ImageId,
    /// The tag is too long, or has a character that tags cannot have.
    #[error(
        "a tag is at most 128 letters, digits, dots, dashes and underscores, and does not begin with a dot or dash"
    )]
    Tag,
    /// Host and repository together.
    #[error("host and repository are longer than 255 bytes")]
    TooLong,
}

impl ReferenceError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownTransport { .. } => ErrorKind::Unsupported,
            Self::BadDigest(DigestError::UnsupportedAlgorithm { .. }) => ErrorKind::Unsupported,
            _ => ErrorKind::Other,
        }
    }
}
