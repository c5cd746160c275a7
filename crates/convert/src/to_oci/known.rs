//! What an image remembers of the one that it was made from.

use nydus_convert_oci::{self as oci, Config, Digest, Hasher, Manifest, ManifestKind, nydus};

use crate::error::Error;
use crate::image::NydusError;
use crate::remembered::Origin;

/// What an image remembers, parsed.
pub struct Known {
    /// As it was kept.
    pub origin: Origin,
    /// The original manifest.
    pub manifest: Manifest,
    /// The original config.
    pub config: Config,
}

impl Known {
    /// Reads the record; the digests that the Nydus manifest and the original one name must be those of its parts.
    pub fn parse(bytes: &[u8], nydus: &Manifest) -> Result<Self, Error> {
        let origin = Origin::parse(bytes).map_err(Error::Record)?;
        let same = |expected: Digest, bytes: &[u8]| {
            let mut hasher = Hasher::new(expected.algorithm());
            hasher.update(bytes);
            let actual = hasher.finish();
            if actual == expected { Ok(()) } else { Err(NydusError::Origin { expected, actual }) }
        };
        let named = nydus.annotations.get(nydus::SOURCE_DIGEST).and_then(|digest| digest.parse().ok());
        if let Some(named) = named {
            same(named, &origin.manifest)?;
        }
        let in_origin = oci::Error::from;
        let manifest = match ManifestKind::parse(&origin.media_type, &origin.manifest).map_err(in_origin)? {
            ManifestKind::Image(manifest) => manifest,
            _ => return Err(NydusError::OriginIsNoImage.into()),
        };
        same(manifest.config.digest, &origin.config)?;
        let config = Config::parse(&origin.config).map_err(in_origin)?;
        oci::image::check_layers(&manifest, &config).map_err(in_origin)?;
        Ok(Self { origin, manifest, config })
    }
}
