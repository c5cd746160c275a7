//! A layer before it is read: what is known of it, and what is not.

use std::io;

use nydus_convert_oci::{self as oci, Descriptor, DiffId};

use crate::error::LayerFailure;
use crate::reuse::LayerIdentity;

/// A layer that is to be read.
pub enum Unread<'a> {
    /// A manifest and a config say what it is.
    Listed {
        /// Its entry in the manifest.
        layer: &'a Descriptor,
        /// What it is known by; the digest of its plain tar is the config's.
        key: &'a LayerIdentity,
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
            Self::Listed { key, .. } => Some(&key.diff_id),
            Self::Stream { .. } => None,
        }
    }

    /// What it is known by, when it was read to its end and its plain tar has this digest.
    pub fn key(&self, diff_id: DiffId) -> LayerIdentity {
        match self {
            Self::Listed { key, .. } => **key,
            Self::Stream { read, .. } => {
                let Descriptor { digest, size, .. } = read();
                LayerIdentity { digest, size, diff_id, below: None }
            }
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
