//! What sort of failure an error is: the ground that all errors stand on.

use std::io;

/// What sort of failure an error is. Exit codes are a function of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// What was named does not exist.
    NotFound,
    /// It exists and is understood well enough to say that it cannot be used.
    Unsupported,
    /// Permissions, read-only file systems, credentials.
    Access,
    /// Content is not what its descriptor, media type or format says.
    Verification,
    /// The network or its other end.
    Network,
    /// A bound that protects this machine was hit.
    ResourceLimit,
    /// A disk or quota is full.
    NoSpace,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// The kind of an error of the operating system.
    pub(crate) fn of_system(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Access,
            // EDQUOT and EFBIG are other ways of a disk to have no room for us.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::NoSpace
            }
            io::ErrorKind::OutOfMemory => Self::ResourceLimit,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut => Self::Network,
            _ => Self::Other,
        }
    }
}
