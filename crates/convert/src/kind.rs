//! What sorts of failures there are: the ground that all errors stand on, and what exit codes are made of.

use nydus_convert_chunk::store::StoreError;
use nydus_convert_oci::ErrorKind;

/// What sort of failure an error is; exit codes follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Anything that has no kind of its own.
    Failed,
    /// The target cannot hold the source, or content is not what its digest says.
    NotFaithful,
    /// What was named does not exist, or is of a kind that cannot be used.
    Source,
    /// Permissions and credentials.
    Access,
    /// The network or its other end.
    Network,
    /// A limit or a full disk.
    Resources,
    /// Asked to stop, by this signal.
    Interrupted(i32),
}

impl From<ErrorKind> for Kind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound | ErrorKind::Unsupported => Self::Source,
            ErrorKind::Access => Self::Access,
            ErrorKind::Verification => Self::NotFaithful,
            ErrorKind::Network => Self::Network,
            ErrorKind::ResourceLimit | ErrorKind::NoSpace => Self::Resources,
            ErrorKind::Other => Self::Failed,
        }
    }
}

impl From<&StoreError> for Kind {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::NoStore { .. } => Self::Source,
            error => error.io().map_or(Self::Failed, |error| ErrorKind::of_io(error).into()),
        }
    }
}
