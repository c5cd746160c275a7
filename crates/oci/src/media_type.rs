//! Media types, each with its origin.

/// OCI image manifest (image-spec, `media-types.md`).
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index (image-spec).
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image config (image-spec).
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI layer, plain tar (image-spec).
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer, gzip (image-spec).
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI layer, zstd (image-spec 1.1).
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// OCI layer that must not be redistributed, and its compressed forms by suffix (image-spec, deprecated in
/// 1.1).
pub(crate) const OCI_LAYER_NONDISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
/// OCI artifact manifest (image-spec 1.1 release candidates; removed, still met).
pub(crate) const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

/// Docker image manifest, version 2, schema 2 (distribution, `manifest-v2-2.md`).
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list (distribution, `manifest-v2-2.md`).
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image config (distribution, `manifest-v2-2.md`).
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer, plain tar (written by old buildah; not in the specification).
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker layer, gzip (distribution, `manifest-v2-2.md`).
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker layer, zstd (containerd and containers/image read it; not in the specification).
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// Docker layer that must not be redistributed, and its compressed form by suffix (distribution).
pub(crate) const DOCKER_LAYER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
/// Docker image manifest, version 2, schema 1, unsigned (distribution, `manifest-v2-1.md`).
pub(crate) const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// Docker image manifest, version 2, schema 1, signed (distribution, `manifest-v2-1.md`).
pub(crate) const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// Suffix of layers that ocicrypt encrypted.
pub(crate) const ENCRYPTED_SUFFIX: &str = "+encrypted";

/// What a layer's media type says about it. The compression is never taken from here: magic bytes are right
/// more often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerForm {
    /// A tar, perhaps compressed.
    Tar,
    /// A tar that registries do not hold.
    Foreign,
    /// Encrypted by ocicrypt.
    Encrypted,
    /// A Nydus data blob.
    NydusBlob,
    /// Not a layer of an image.
    Unknown,
}

impl LayerForm {
    /// Reads a layer's media type.
    pub fn of(media_type: &str) -> Self {
        match media_type {
            crate::nydus::BLOB_MEDIA_TYPE => Self::NydusBlob,
            _ if media_type.ends_with(ENCRYPTED_SUFFIX) => Self::Encrypted,
            // Of any compression, also of those that the layer's content is then refused for.
            _ if media_type.starts_with(OCI_LAYER) || media_type.starts_with(DOCKER_LAYER) => Self::Tar,
            _ if is_generic(media_type) => Self::Tar,
            _ if media_type.starts_with(OCI_LAYER_NONDISTRIBUTABLE) => Self::Foreign,
            _ if media_type.starts_with(DOCKER_LAYER_FOREIGN) => Self::Foreign,
            _ => Self::Unknown,
        }
    }
}

/// Whether a media type says nothing of what something is: old pushes, static web servers and object stores use these for
/// anything.
pub(crate) fn is_generic(media_type: &str) -> bool {
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    matches!(
        media_type,
        "" | "application/octet-stream"
            | "binary/octet-stream"
            | "application/json"
            | "text/json"
            | "text/html"
            | "text/plain"
            | "application/gzip"
            | "application/x-gzip"
            | "application/zstd"
            | "application/x-bzip2"
            | "application/x-xz"
            | "application/x-zstd"
            | "application/x-tar"
            | "application/x-gtar"
            | "application/x-tgz"
            | "application/x-compressed-tar"
            | "application/x-tar+gzip"
            | "application/tar"
            | "application/tar+gzip"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_forms() {
        let table = [
            ("application/vnd.oci.image.layer.v1.tar+gzip", LayerForm::Tar),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", LayerForm::Tar),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar", LayerForm::Foreign),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", LayerForm::Foreign),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LayerForm::Foreign),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", LayerForm::Encrypted),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip+encrypted", LayerForm::Encrypted),
            ("application/vnd.oci.image.layer.nydus.blob.v1", LayerForm::NydusBlob),
            ("application/vnd.in-toto+json", LayerForm::Unknown),
            ("application/vnd.oci.image.layer.v1.tar+xz", LayerForm::Tar),
            ("application/x-gtar", LayerForm::Tar),
            ("", LayerForm::Tar),
            ("application/octet-stream", LayerForm::Tar),
        ];
        for (media_type, form) in table {
            assert_eq!(LayerForm::of(media_type), form, "{media_type}");
        }
    }
}
