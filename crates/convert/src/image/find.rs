//! Finding the images behind a reference: one, or those of an index, however nested.

use nydus_convert_oci::image::{EntryKind, UnreadableEntry, check_layers};
use nydus_convert_oci::{
    self as oci, Config, Descriptor, ErrorKind, Manifest, ManifestKind, Platform, Source,
};

use super::error::{ImageError, MAX_IMAGES};
use super::platform_filter::PlatformFilter;

/// Indexes inside indexes that are followed. Real images have one level.
pub const MAX_DEPTH: usize = 4;

/// Bytes of an index that are as much work as an image.
const BYTES_OF_AN_IMAGE: u64 = 16 << 10;

/// Images of an index that are looked at to tell what it is.
const LOOKED_AT: usize = 8;

/// Entries that are left out which an error names.
const SHOWN: usize = 10;

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
        Some(platform) if platform.is_complete() => Ok(Some(platform.clone())),
        _ => Ok(read_config(source, manifest)?.platform()),
    }
}

/// The config of an image, which must know as many layers as the manifest.
pub fn read_config(source: &dyn Source, manifest: &Manifest) -> Result<Config, ImageError> {
    let (_, config) = Config::read(source, &manifest.config)?;
    check_layers(manifest, &config).map_err(oci::Error::from)?;
    Ok(config)
}

/// What an entry of an index turns out to be.
pub enum Entry {
    /// An image that is wanted, or something that belongs to images.
    One(Box<Found>),
    /// An index.
    Index(Box<oci::Index>),
    /// An image for another platform.
    Unwanted,
    /// Something that cannot be used. It spoils itself alone.
    LeftOut(Box<LeftOut>),
}

/// An entry that cannot be used.
pub struct LeftOut {
    /// Its platform, where it says one.
    platform: Option<Platform>,
    /// What it is, and why it cannot be used.
    pub why: String,
}

/// Looks at an entry of an index; of one for another platform nothing is read.
pub fn look(
    source: &dyn Source,
    entry: &Descriptor,
    platforms: &PlatformFilter,
) -> Result<Entry, ImageError> {
    let says = entry.platform.as_ref().filter(|platform| platform.is_complete());
    let is_image = matches!(EntryKind::of(entry), EntryKind::Image | EntryKind::Nydus);
    if is_image && says.is_some() && !platforms.wants(says) {
        return Ok(Entry::Unwanted);
    }
    match look_inside(source, entry, platforms) {
        Err(error) if spoils_itself(source, &error) => {
            Ok(Entry::LeftOut(Box::new(LeftOut::new(entry, &error))))
        }
        looked => looked,
    }
}

fn look_inside(
    source: &dyn Source,
    entry: &Descriptor,
    platforms: &PlatformFilter,
) -> Result<Entry, ImageError> {
    let found = match read(source, entry, false)? {
        Content::Index(index) => return Ok(Entry::Index(index)),
        Content::One(found) if !platforms.wants(found.platform.as_ref()) => return Ok(Entry::Unwanted),
        Content::One(found) => found,
    };
    match &found.kind {
        FoundKind::Oci(manifest) | FoundKind::Nydus(manifest) => {
            read_config(source, manifest)?;
            find_absent(source, &manifest.layers)?;
        }
        FoundKind::Other => find_absent(source, std::slice::from_ref(entry))?,
    }
    Ok(Entry::One(found))
}

/// An error for the first of these that a source lacks which may lack some.
fn find_absent(source: &dyn Source, descriptors: &[Descriptor]) -> Result<(), ImageError> {
    if source.is_whole() {
        return Ok(());
    }
    for descriptor in descriptors {
        match source.open_file(descriptor) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(error.into()),
            // Whatever else is wrong is better said when it is read.
            _ => {}
        }
    }
    Ok(())
}

/// Whether an error is about one entry of an index, and no reason to give up the others.
fn spoils_itself(source: &dyn Source, error: &ImageError) -> bool {
    match error {
        ImageError::Oci(oci::Error::Image(_)) => true,
        ImageError::Oci(error) => error.kind() == ErrorKind::NotFound && !source.is_whole(),
        _ => false,
    }
}

impl LeftOut {
    fn new(entry: &Descriptor, error: &ImageError) -> Self {
        let platform = entry.platform.clone().filter(Platform::is_complete);
        let of = platform.as_ref().map(|platform| format!(" ({platform})")).unwrap_or_default();
        let mut why = format!("{}{of} is left out: {error}", entry.digest);
        let mut next = std::error::Error::source(error);
        while let Some(cause) = next {
            let words = cause.to_string();
            if !why.ends_with(&words) {
                why = format!("{why}: {words}");
            }
            next = cause.source();
        }
        Self { platform, why }
    }

    fn unreadable(entry: &UnreadableEntry) -> Self {
        let platform = entry.platform.clone().filter(Platform::is_complete);
        let of = platform.as_ref().map(|platform| format!(" ({platform})")).unwrap_or_default();
        let why = format!("entry {} of the index{of} is left out: {}", entry.number, entry.reason);
        Self { platform, why }
    }
}

/// The first of these, for an error.
fn list<'a>(entries: impl IntoIterator<Item = &'a LeftOut>) -> String {
    let mut entries = entries.into_iter().map(|entry| entry.why.as_str());
    let shown: Vec<&str> = entries.by_ref().take(SHOWN).collect();
    let more = match entries.count() {
        0 => String::new(),
        more => format!("; {more} more"),
    };
    shown.join("; ") + &more
}

/// The images behind a reference.
#[derive(Default)]
pub struct Survey {
    /// Those that are wanted, and what belongs to them, in order.
    pub found: Vec<Found>,
    /// What cannot be used.
    pub left_out: Vec<LeftOut>,
    /// The platforms of all that is listed.
    available: Vec<String>,
    /// Entries that were read, and large indexes for more than one.
    looked_at: usize,
}

impl Survey {
    fn see(&mut self, platform: Option<&Platform>) {
        let label = platform.filter(|platform| platform.is_complete()).map(Platform::to_string);
        self.available.extend(label.filter(|label| !self.available.contains(label)));
    }

    fn collect(
        &mut self,
        source: &dyn Source,
        index: &oci::Index,
        platforms: &PlatformFilter,
        depth: usize,
    ) -> Result<(), ImageError> {
        self.left_out.extend(index.unreadable.iter().map(LeftOut::unreadable));
        for entry in &index.manifests {
            self.looked_at += 1;
            if self.looked_at > MAX_IMAGES {
                return Err(ImageError::TooManyImages);
            }
            if EntryKind::of(entry) != EntryKind::Extra {
                self.see(entry.platform.as_ref());
            }
            match look(source, entry, platforms)? {
                Entry::One(found) => {
                    self.see(found.platform.as_ref());
                    self.found.push(*found);
                }
                Entry::Index(_) if depth == MAX_DEPTH => {
                    return Err(ImageError::NestedIndex { digest: entry.digest });
                }
                Entry::Index(index) => {
                    self.looked_at += (entry.size / BYTES_OF_AN_IMAGE) as usize;
                    self.collect(source, &index, platforms, depth + 1)?;
                }
                // Nothing of it was fetched.
                Entry::Unwanted if entry.platform.as_ref().is_some_and(Platform::is_complete) => {
                    self.looked_at -= 1;
                }
                Entry::Unwanted => {}
                Entry::LeftOut(entry) => self.left_out.push(*entry),
            }
        }
        Ok(())
    }

    /// The platforms of images for other systems than Linux.
    pub fn labels_not_for_linux(&self) -> impl Iterator<Item = String> {
        let images = self.found.iter().filter(|found| matches!(found.kind, FoundKind::Oci(_)));
        let platforms = images.filter_map(|found| found.platform.as_ref());
        let others =
            platforms.filter(|platform| platform.is_complete() && platform.normalized().os != "linux");
        others.map(Platform::to_string)
    }

    /// An error if a platform that was asked for is not there, or if nothing is.
    fn check(&self, platforms: &PlatformFilter) -> Result<(), ImageError> {
        let is_there = |wanted: &&Platform| {
            self.found.iter().any(|found| found.platform.as_ref().is_some_and(|own| own.matches(wanted)))
        };
        let missing = match platforms {
            PlatformFilter::All => Vec::new(),
            PlatformFilter::Only(wanted) => {
                wanted.iter().filter(|wanted| !is_there(wanted)).cloned().collect()
            }
        };
        if missing.is_empty() && !self.found.is_empty() {
            return Ok(());
        }
        // Rather why it cannot be used than that it is not there.
        if missing.is_empty() {
            return Err(ImageError::NothingUsable { left_out: list(&self.left_out) });
        }
        let is_for = |entry: &&LeftOut| {
            entry.platform.as_ref().is_some_and(|own| missing.iter().any(|wanted| own.matches(wanted)))
        };
        let is_for_any = |entry: &&LeftOut| entry.platform.is_none();
        let of_these = self.left_out.iter().filter(is_for);
        if of_these.clone().next().is_some() {
            return Err(ImageError::NothingUsable { left_out: list(of_these) });
        }
        let left_out = list(self.left_out.iter().filter(is_for_any));
        let wanted = PlatformFilter::Only(missing).to_string();
        Err(ImageError::NoSuchPlatform { wanted, available: self.available.join(", "), left_out })
    }
}

/// All images behind the source's root that the filter accepts. Every platform that it names must be there.
pub fn survey(source: &dyn Source, platforms: &PlatformFilter) -> Result<Survey, ImageError> {
    let mut survey = Survey::default();
    match read(source, source.root(), true)? {
        Content::Index(index) => survey.collect(source, &index, platforms, 1)?,
        Content::One(found) => {
            survey.see(found.platform.as_ref());
            if platforms.wants(found.platform.as_ref()) {
                survey.found.push(*found);
            }
        }
    }
    survey.check(platforms)?;
    tracing::info!("source {}: {}", source.name(), source.root().digest);
    for found in &survey.found {
        let what = match found.kind {
            FoundKind::Oci(_) => "an image",
            FoundKind::Nydus(_) => "a Nydus image",
            FoundKind::Other => "what belongs to images",
        };
        let platform = found.label().unwrap_or_else(|| "no platform".to_owned());
        tracing::debug!("{}: {what}, {platform}", found.descriptor.digest);
    }
    Ok(survey)
}

/// The one image that somebody means who looks into the source: the only one, or the one for `platform`. If none is given
/// and there are several, that for this machine.
pub fn find_one(source: &dyn Source, platform: Option<&Platform>) -> Result<Found, ImageError> {
    let filter =
        platform.map_or(PlatformFilter::All, |platform| PlatformFilter::Only(vec![platform.clone()]));
    let Survey { found: mut all, available, left_out, .. } = survey(source, &filter)?;
    all.retain(|found| !matches!(found.kind, FoundKind::Other));
    let own = Platform::new("linux", std::env::consts::ARCH);
    if all.len() > 1 && platform.is_none() {
        all.retain(|found| found.platform.as_ref().is_some_and(|platform| platform.matches(&own)));
    }
    // Beside its Nydus variant, the image is not what is looked into.
    if all.iter().any(|found| matches!(found.kind, FoundKind::Nydus(_))) {
        all.retain(|found| matches!(found.kind, FoundKind::Nydus(_)));
    }
    let wanted = platform.unwrap_or(&own).to_string();
    let left_out = list(&left_out);
    all.into_iter().next().ok_or(ImageError::NoSuchPlatform {
        wanted,
        available: available.join(", "),
        left_out,
    })
}

/// Whether Nydus images are behind a source: `None` if there is no image at all. Of an index its entries say so, or its first images.
pub fn holds_nydus(source: &dyn Source) -> Result<Option<bool>, ImageError> {
    match read(source, source.root(), true)? {
        Content::One(found) => Ok(is_nydus(&found.kind)),
        Content::Index(index) => {
            if index.entries().any(|(kind, _)| kind == EntryKind::Nydus) {
                return Ok(Some(true));
            }
            let images = index.entries().filter(|(kind, _)| *kind != EntryKind::Extra);
            let mut answer = None;
            for (_, entry) in images.take(LOOKED_AT) {
                let found = match read(source, entry, false) {
                    Ok(Content::One(found)) => is_nydus(&found.kind),
                    _ => None,
                };
                answer = if found == Some(true) { found } else { answer.or(found) };
            }
            Ok(answer)
        }
    }
}

fn is_nydus(kind: &FoundKind) -> Option<bool> {
    match kind {
        FoundKind::Nydus(_) => Some(true),
        FoundKind::Oci(_) => Some(false),
        FoundKind::Other => None,
    }
}
