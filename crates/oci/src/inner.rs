//! Errors of this crate that had to hide in an [`io::Error`].

use std::error::Error as StdError;
use std::io;

use crate::compression::DecompressError;
use crate::kind::ErrorKind;
#[cfg(feature = "registry")]
use crate::registry::RegistryError;
use crate::verify::VerifyError;

impl ErrorKind {
    /// The kind of an I/O error: that of the crate's own error where one is inside, at any depth.
    pub fn of_io(error: &io::Error) -> Self {
        if let Some(inner) = find_in::<VerifyError>(error) {
            return inner.kind();
        }
        if let Some(inner) = find_in::<DecompressError>(error) {
            return inner.kind();
        }
        #[cfg(feature = "registry")]
        if let Some(inner) = find_in::<RegistryError>(error) {
            return inner.kind();
        }
        Self::of_system(error)
    }
}

/// The first error of type `E` that hides in `error`: directly, in an [`io::Error`] inside, or among the
/// sources.
pub fn find_in<E: StdError + 'static>(error: &io::Error) -> Option<&E> {
    // An io::Error does not name its content as its source, but that content's source: both ways must be
    // looked at.
    let mut next: Option<&(dyn StdError + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        next = match current.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}
