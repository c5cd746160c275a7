//! What is wrong with a layout.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::digest::Digest;
use crate::kind::ErrorKind;
use crate::verify::VerifyError;

/// The one version of the layout there is (image-spec, `image-layout.md`).
pub const LAYOUT_VERSION: &str = "1.0.0";

/// What is wrong with a layout.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// There is no such directory.
    #[error("there is no OCI layout at {}", path.display())]
    NotFound {
        /// The directory that was named.
        path: PathBuf,
    },
    /// There is something, but no layout.
    #[error("{} is not an OCI layout: {reason}", path.display())]
    NotALayout {
        /// What was named.
        path: PathBuf,
        /// How one can tell.
        reason: NoLayout,
    },
    /// A layout of another version.
    #[error("{} is an OCI layout of version \"{version}\"; only {LAYOUT_VERSION} is supported", path.display())]
    UnsupportedVersion {
        /// The layout.
        path: PathBuf,
        /// Its version, escaped.
        version: String,
    },
    /// `oci-layout` or `index.json` cannot be understood.
    #[error("{} is damaged", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// `oci-layout` or `index.json` is too large.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// No image of this name.
    #[error("{} has no image \"{reference}\"; it has: {}", path.display(), list(available))]
    RefMissing {
        /// The layout.
        path: PathBuf,
        /// Name or digest that was asked for.
        reference: String,
        /// Names (or digests of the unnamed) of the images there are, escaped.
        available: Vec<String>,
    },
    /// Several images and no name to choose by, or several of that name.
    #[error("{} has several images; name one of: {}", path.display(), list(available))]
    Ambiguous {
        /// The layout.
        path: PathBuf,
        /// Names (or digests) of the images, escaped.
        available: Vec<String>,
    },
    /// A layout without images.
    #[error("{} has no images", path.display())]
    Empty {
        /// The layout.
        path: PathBuf,
    },
    /// The name leads to another digest than the reference pins.
    #[error("\"{reference}\" in {} is not the image that is asked for", path.display())]
    PinMismatch {
        /// The layout.
        path: PathBuf,
        /// The name, escaped.
        reference: String,
        /// The pinned digest and the one the name has.
        source: Box<VerifyError>,
    },
    /// A blob that something names is not there.
    #[error("blob {digest} is missing: there is no {}", path.display())]
    MissingBlob {
        /// The blob.
        digest: Digest,
        /// Where it should be.
        path: PathBuf,
    },
    /// A blob is a directory, a device, …
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The blob's path.
        path: PathBuf,
    },
    /// A file is not what its descriptor says.
    #[error(transparent)]
    Verify(Box<VerifyError>),
    /// A blob was written to a sink that is committed or dropped.
    #[error("the image was already committed or given up")]
    Closed,
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// How one can tell that something is no layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoLayout {
    /// A file, a device, …
    #[error("it is not a directory")]
    NotADirectory,
    /// A directory with something else in it.
    #[error("it is a directory without a file oci-layout{}", looks_like(.0))]
    NoMarker(Option<Instead>),
    /// An archive of something else.
    #[error("it is an archive without a file oci-layout{}", looks_like(.0))]
    NoMarkerInArchive(Option<Instead>),
    /// The index is not there.
    #[error("it has no file index.json")]
    NoIndex,
}

/// What a place seems to be that is no layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// A layout whose marker got lost.
    Layout,
    /// What `docker save` writes, or skopeo to `dir:`.
    Manifest,
    /// A repository of ostree.
    Ostree,
    /// A tree of files.
    Tree,
}

impl Instead {
    /// By what there is, each a file or a directory.
    pub(crate) fn of(has: impl Fn(&str) -> bool) -> Option<Self> {
        [
            (["index.json", "blobs"], Self::Layout),
            (["manifest.json", "manifest.json"], Self::Manifest),
            (["config", "objects"], Self::Ostree),
            (["etc", "usr"], Self::Tree),
        ]
        .into_iter()
        .find_map(|(names, what)| names.into_iter().all(&has).then_some(what))
    }
}

fn looks_like(instead: &Option<Instead>) -> &'static str {
    match instead {
        None => "",
        Some(Instead::Layout) => {
            r#"; if it is a layout, that file with {"imageLayoutVersion":"1.0.0"} is missing"#
        }
        Some(Instead::Manifest) => "; it may be a docker-archive: (docker save) or dir: (skopeo)",
        Some(Instead::Ostree) => {
            "; it looks like an ostree repository, of which `ostree container encapsulate` makes an image"
        }
        Some(Instead::Tree) => "; it looks like the files of an image: a directory is rootfs:, a tar is tar:",
    }
}

impl From<VerifyError> for LayoutError {
    fn from(error: VerifyError) -> Self {
        Self::Verify(Box::new(error))
    }
}

impl LayoutError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. }
            | Self::RefMissing { .. }
            | Self::Empty { .. }
            | Self::MissingBlob { .. } => ErrorKind::NotFound,
            Self::NotALayout { .. } | Self::UnsupportedVersion { .. } | Self::Ambiguous { .. } => {
                ErrorKind::Unsupported
            }
            Self::Malformed { .. } | Self::PinMismatch { .. } | Self::NotAFile { .. } => {
                ErrorKind::Verification
            }
            Self::TooLarge { .. } => ErrorKind::ResourceLimit,
            Self::Verify(error) => error.kind(),
            Self::Closed => ErrorKind::Other,
            Self::Io { source, .. } => ErrorKind::of_io(source),
        }
    }
}

/// Names for a message; a layout can have thousands.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        text.push_str("none");
    }
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// Puts an action and a path around an I/O error.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    move |source| LayoutError::Io { action, path: path.to_owned(), source }
}
