//! Finding the images behind a reference: one, or those of an index, however nested.

use nydus_convert_oci::image::{EntryKind, check_layers};
use nydus_convert_oci::{self as oci, Config, Descriptor, Manifest, ManifestKind, Platform, Source};

use super::error::ImageError;
use super::platform_filter::PlatformFilter;

/// Indexes inside indexes that are followed. Real images have one level.
pub const MAX_DEPTH: usize = 4;

/// One image, or whatever else an index lists.
pub struct Found {
    /// The entry.
    pub descriptor: Descriptor,
    /// Its platform, where anybody says it.
    pub platform: Option<Platform>,
    /// What it is.
    pub kind: FoundKind,
}

/// What an entry is.
pub enum FoundKind {
    /// An image of tar layers.
    Oci(Manifest),
    /// A Nydus image.
    Nydus(Manifest),
    /// Something that belongs to images and is none.
    Other,
}

impl Found {
    /// `os/arch[/variant]`, where known.
    pub fn label(&self) -> Option<String> {
        self.platform.as_ref().map(Platform::to_string)
    }
}

/// What the content of a descriptor is.
pub enum Content {
    /// An image, or something that belongs to images.
    One(Box<Found>),
    /// An index.
    Index(Box<oci::Index>),
}

/// Reads a manifest or index. What cannot be used is an error where it is the root, and `Other` inside an index.
pub fn read(source: &dyn Source, descriptor: &Descriptor, is_root: bool) -> Result<Content, ImageError> {
    let found =
        |platform, kind| Content::One(Box::new(Found { descriptor: descriptor.clone(), platform, kind }));
    if !is_root && EntryKind::of(descriptor) == EntryKind::Extra {
        return Ok(found(None, FoundKind::Other));
    }
    let (_, kind) = ManifestKind::read(source, descriptor)?;
    let refusal = kind.refusal();
    Ok(match kind {
        ManifestKind::Index(index) => Content::Index(Box::new(index)),
        ManifestKind::Image(manifest) => {
            found(platform(source, descriptor, &manifest)?, FoundKind::Oci(manifest))
        }
        ManifestKind::Nydus(manifest) => {
            found(platform(source, descriptor, &manifest)?, FoundKind::Nydus(manifest))
        }
        ManifestKind::Artifact { .. } if !is_root => found(None, FoundKind::Other),
        _ => match refusal {
            Some(refusal) => return Err(oci::Error::from(oci::ImageError::from(refusal)).into()),
            None => found(None, FoundKind::Other),
        },
    })
}

/// The platform of an image: its entry's word, else its config's.
fn platform(
    source: &dyn Source,
    descriptor: &Descriptor,
    manifest: &Manifest,
) -> Result<Option<Platform>, ImageError> {
    match &descriptor.platform {
        Some(platform) => Ok(Some(platform.clone())),
        None => Ok(read_config(source, manifest)?.platform()),
    }
}

/// The config of an image, which must know as many layers as the manifest.
pub fn read_config(source: &dyn Source, manifest: &Manifest) -> Result<Config, ImageError> {
    let (_, config) = Config::read(source, &manifest.config)?;
    check_layers(manifest, &config).map_err(oci::Error::from)?;
    Ok(config)
}

/// All images behind `root` that the filter accepts, in order.
pub fn find(
    source: &dyn Source,
    root: &Descriptor,
    platforms: &PlatformFilter,
) -> Result<Vec<Found>, ImageError> {
    let mut all = Vec::new();
    collect(source, root, 0, &mut all)?;
    let available: Vec<String> = all.iter().filter_map(Found::label).collect();
    all.retain(|found| platforms.wants(found.platform.as_ref()));
    if all.is_empty() {
        return Err(ImageError::NoSuchPlatform {
            wanted: platforms.to_string(),
            available: available.join(", "),
        });
    }
    Ok(all)
}

fn collect(
    source: &dyn Source,
    at: &Descriptor,
    depth: usize,
    all: &mut Vec<Found>,
) -> Result<(), ImageError> {
    match read(source, at, depth == 0)? {
        Content::One(found) => all.push(*found),
        Content::Index(_) if depth == MAX_DEPTH => return Err(ImageError::NestedIndex { digest: at.digest }),
        Content::Index(index) => {
            for entry in &index.manifests {
                collect(source, entry, depth + 1, all)?;
            }
        }
    }
    Ok(())
}

/// The one image that somebody means who looks into `root`: the only one, or the one for `platform`.
pub fn find_one(source: &dyn Source, platform: &Platform) -> Result<Found, ImageError> {
    let mut all = find(source, source.root(), &PlatformFilter::All)?;
    all.retain(|found| !matches!(found.kind, FoundKind::Other));
    if all.len() > 1 {
        let available: Vec<String> = all.iter().filter_map(Found::label).collect();
        let wanted = |found: &Found| found.platform.as_ref().is_some_and(|own| own.matches(platform));
        all.retain(wanted);
        if all.is_empty() {
            return Err(ImageError::NoSuchPlatform {
                wanted: platform.to_string(),
                available: available.join(", "),
            });
        }
    }
    // Beside its Nydus variant, the image is not what is looked into.
    if all.iter().any(|found| matches!(found.kind, FoundKind::Nydus(_))) {
        all.retain(|found| matches!(found.kind, FoundKind::Nydus(_)));
    }
    all.into_iter()
        .next()
        .ok_or(ImageError::NoSuchPlatform { wanted: platform.to_string(), available: String::new() })
}
