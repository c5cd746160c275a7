//! Any bytes as a manifest, an index or a config: no panic, and what is read of them is what was written.

use super::oci::image::{Config, ManifestKind};
use super::oci::media_type;

/// What a descriptor or a server may say of the bytes.
const TYPES: [&str; 6] = [
    "",
    "text/html",
    media_type::OCI_MANIFEST,
    media_type::OCI_INDEX,
    media_type::DOCKER_MANIFEST,
    media_type::DOCKER_LIST,
];

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    for media_type in TYPES {
        match ManifestKind::parse(media_type, bytes) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(ManifestKind::Index(mut index)) => {
                // These are not written.
                index.unreadable.clear();
                // Without an entry or a type, fields that are not known may be those of a manifest.
                if !index.manifests.is_empty() {
                    let again = ManifestKind::parse(index.format.index(), &index.to_json());
                    assert_eq!(again.ok(), Some(ManifestKind::Index(index)));
                }
            }
            Ok(ManifestKind::Image(manifest)) => {
                let again = ManifestKind::parse(manifest.format.manifest(), &manifest.to_json());
                assert_eq!(again.ok(), Some(ManifestKind::Image(manifest)));
            }
            Ok(kind) => kind.refusal().into_iter().for_each(|why| assert!(!why.to_string().is_empty())),
        }
    }
    if let Ok(config) = Config::parse(bytes) {
        let again = Config::parse(&config.to_json());
        assert_eq!(again.map(|config| config.to_json()).ok(), Some(config.to_json()));
    }
}
