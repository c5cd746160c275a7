//! What people call results and blobs.

use nydus_convert_oci::Reference;
use nydus_convert_rafs::BlobId;

use super::error::{MIN_PREFIX, StoreVerbError};
use super::text::{digest, printable, rfc3339};
use crate::store::StoredImage;

/// Something of the store.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named<'a> {
    Image(&'a StoredImage),
    Blob(BlobId),
}

/// The result of that name: the reference it was made as or from, with or without its digest, or the beginning of its
/// digest.
pub(super) fn find_image<'a>(
    images: &'a [StoredImage],
    name: &str,
) -> Result<&'a StoredImage, StoreVerbError> {
    match find(images, &[], name) {
        Ok(Named::Image(image)) => Ok(image),
        Ok(Named::Blob(_)) | Err(StoreVerbError::Unknown { .. }) => {
            Err(StoreVerbError::Unknown { what: "image", name: printable(name) })
        }
        Err(error) => Err(error),
    }
}

/// As [`find_image`], or the blob whose digest begins so.
pub(super) fn find<'a>(
    images: &'a [StoredImage],
    blobs: &[BlobId],
    name: &str,
) -> Result<Named<'a>, StoreVerbError> {
    // As conversions write it: with the transport, and the tag if none is told.
    let full = name.parse::<Reference>().map(|reference| reference.to_string()).unwrap_or_default();
    let is_called = |called: &str| {
        let bare = called.split_once("@sha256:").map_or(called, |(bare, _)| bare);
        [name, full.as_str()].iter().any(|name| *name == called || *name == bare)
    };
    let called = images.iter().filter(|image| is_called(&image.name) || is_called(&image.source));
    let mut found: Vec<Named<'a>> = called.map(Named::Image).collect();
    if found.is_empty() {
        let prefix = name.strip_prefix("sha256:").unwrap_or(name);
        let is_prefix =
            |id: [u8; 32]| prefix.len() >= MIN_PREFIX && BlobId(id).to_string().starts_with(prefix);
        found.extend(images.iter().filter(|image| is_prefix(image.id)).map(Named::Image));
        found.extend(blobs.iter().filter(|blob| is_prefix(blob.0)).map(|blob| Named::Blob(*blob)));
    }
    match found.as_slice() {
        [] => Err(StoreVerbError::Unknown { what: "image or blob", name: printable(name) }),
        [one] => Ok(*one),
        several => Err(StoreVerbError::Ambiguous {
            name: printable(name),
            matches: several.iter().map(|named| named.describe()).collect(),
        }),
    }
}

impl Named<'_> {
    fn describe(&self) -> String {
        match self {
            Self::Blob(blob) => format!("blob {}", digest(blob.0)),
            Self::Image(image) => {
                let (name, made) = (printable(&image.name), rfc3339(image.made));
                format!("image {} ({name}, made {made})", digest(image.id))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn image(id: u8, name: &str, source: &str) -> StoredImage {
        let mut bytes = [0xab; 32];
        bytes[2] = id;
        let name = format!("{name}@{}", digest(bytes));
        StoredImage { id: bytes, name, source: source.to_owned(), made: 0, blobs: Vec::new() }
    }

    #[test]
    fn names_and_digests() {
        let images = [
            image(0x10, "oci:a:latest", "docker://docker.io/library/busybox:latest"),
            image(0x11, "oci:b:latest", "oci:x:one"),
            image(0x12, "oci:b:latest", "oci:x:two"),
        ];
        let blobs = [BlobId([0xcd; 32]), BlobId(images[0].id)];
        let id = |name: &str| match find(&images, &blobs, name) {
            Ok(Named::Image(image)) => Some(image.id[2]),
            Ok(Named::Blob(blob)) => Some(blob.0[0]),
            Err(StoreVerbError::Ambiguous { matches, .. }) => Some(matches.len() as u8),
            Err(_) => None,
        };
        assert_eq!(id("oci:a:latest"), Some(0x10));
        assert_eq!(id(&images[0].name), Some(0x10));
        assert_eq!(id("docker://docker.io/library/busybox:latest"), Some(0x10));
        assert_eq!(id("busybox"), Some(0x10));
        assert_eq!(id("oci:x:two"), Some(0x12));
        assert_eq!(id(&digest(images[1].id)), Some(0x11));
        assert_eq!(id("abab11"), Some(0x11));
        assert_eq!(id("sha256:abab12ab"), Some(0x12));
        assert_eq!(id("cdcd"), Some(0xcd));
        // Two images, an image and a blob, all three images and that blob.
        assert_eq!(id("oci:b:latest"), Some(2));
        assert_eq!(id("abab10"), Some(2));
        assert_eq!(id("abab"), Some(4));
        for unknown in ["", "a", "aba", "sha256:", "ABAB", "oci:a", "oci:x", "dead", "abab1g"] {
            assert_eq!(id(unknown), None, "{unknown}");
        }
        assert!(find_image(&images, "cdcd").unwrap_err().to_string().contains("no image 'cdcd'"));
        assert_eq!(find_image(&images, "abab10").unwrap().id[2], 0x10);
    }
}
