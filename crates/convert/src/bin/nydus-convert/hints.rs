//! What a user can do about an error: the library knows no options.

use nydus_convert::Error;
use nydus_convert::oci;
use nydus_convert::oci::registry::{RegistryError, Unusual};

/// Which options to change, where that may help.
pub fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Oci(oci::Error::Registry(error)) => match **error {
            RegistryError::Manifest { unusual: Unusual::Subject, .. } => Some("leave out --referrer"),
            RegistryError::Manifest { .. } => Some("leave out --index with-oci"),
            _ => None,
        },
        Error::Platform { source, .. } => hint(source),
        _ => None,
    }
}
