//! Names of objects.

use std::fmt;

use nydus_convert_rafs::BlobId;

/// What kind of thing an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A data blob; its name is the SHA-256 of its bytes.
    Blob,
    /// What the store knows of a blob's chunks; has the blob's name.
    Description,
    /// What merging needs of a layer; named by a [`super::LayerKey`].
    Layer,
    /// What a result is made of; named by the result's digest.
    Image,
}

impl ObjectKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Blob, Self::Description, Self::Layer, Self::Image];

    /// The word for several of them.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Blob => "blobs",
            Self::Description => "descriptions",
            Self::Layer => "layers",
            Self::Image => "images",
        }
    }
}

/// The name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The kind, which is the directory in a store on disk.
    pub kind: ObjectKind,
    /// A SHA-256, of what [`ObjectKind`] says.
    pub id: [u8; 32],
}

impl ObjectName {
    /// The name of a blob.
    pub const fn blob(id: BlobId) -> Self {
        Self { kind: ObjectKind::Blob, id: id.0 }
    }

    /// The name of a blob's description.
    pub const fn description(id: BlobId) -> Self {
        Self { kind: ObjectKind::Description, id: id.0 }
    }
}

/// `blobs/0123…`
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.plural(), BlobId(self.id))
    }
}
