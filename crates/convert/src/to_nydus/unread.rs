//! A layer before it is read: what is known of it, and what is not.

use std::io;

use nydus_convert_oci::{self as oci, Descriptor, DiffId};

use crate::error::LayerFailure;

/// A layer that is to be read.
pub enum Unread<'a> {
    /// A manifest and a config say what it is.
    Listed {
        /// Its entry in the manifest.
        layer: &'a Descriptor,
        /// Digest of its plain tar, by the config.
        diff_id: &'a DiffId,
    },
    /// Nobody says what it is.
    Stream {
        /// Stands for it as long as it is not read.
        placeholder: &'a Descriptor,
        /// What it was; asked when it is read to its end.
        read: &'a dyn Fn() -> Descriptor,
    },
}

impl Unread<'_> {
    /// What the source knows it by.
    pub fn descriptor(&self) -> &Descriptor {
        match self {
            Self::Listed { layer, .. } => layer,
            Self::Stream { placeholder, .. } => placeholder,
        }
    }

    /// Digest of its plain tar, if somebody says it.
    pub fn diff_id(&self) -> Option<&DiffId> {
        match self {
            Self::Listed { diff_id, .. } => Some(diff_id),
            Self::Stream { .. } => None,
        }
    }

    /// What it was, at its end.
    pub fn read(&self) -> Descriptor {
        match self {
            Self::Listed { layer, .. } => (*layer).clone(),
            Self::Stream { read, .. } => read(),
        }
    }

    /// An error of its bytes.
    pub fn reading(&self, error: io::Error) -> LayerFailure {
        match self {
            Self::Listed { layer, .. } => oci::Error::reading(layer.digest, error).into(),
            Self::Stream { .. } => LayerFailure::Input(error),
        }
    }
}
