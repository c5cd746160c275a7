//! Why the store could not do what it was asked.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::ObjectName;

/// Why the store could not do what it was asked. Damage to single objects is no error: see [`super::VerifyReport`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file or directory of the store.
    #[error("chunk store: cannot {action} {}", path.display())]
    Io {
        /// What was to be done with it.
        action: &'static str,
        /// What it is.
        path: PathBuf,
        /// Why it could not be done.
        source: io::Error,
    },
    /// An object could not be read or written.
    #[error("chunk store: cannot {action} {name}")]
    Object {
        /// What was to be done with it.
        action: &'static str,
        /// The object.
        name: ObjectName,
        /// Why it could not be done.
        source: io::Error,
    },
    /// A directory that is no store, where one is needed.
    #[error("there is no chunk store in {}; conversions make one there (to-nydus --store DIR)", path.display())]
    NoStore {
        /// The directory.
        path: PathBuf,
    },
    /// A directory that holds something else.
    #[error("{} is not a chunk store, and is not empty; use another directory", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// A store of another version of this program.
    #[error("the chunk store {} has version '{found}', this program knows '{known}'; use another directory, or remove it", path.display())]
    Version {
        /// The directory.
        path: PathBuf,
        /// What its marker says.
        found: String,
        /// What it should say.
        known: &'static str,
    },
    /// The index is not what it should be.
    #[error("the index of the chunk store failed; `store verify --rebuild` makes it anew")]
    Index(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The index is to be made anew, but others use it.
    #[error("the chunk store {} is in use by another process; make its index anew when that has ended", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

impl StoreError {
    /// The failure of the operating system behind it, if there is one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } | Self::Object { source, .. } => Some(source),
            _ => None,
        }
    }
}
