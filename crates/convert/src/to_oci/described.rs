//! What the blobs of an image say of their layers, and which of them are layers: dictionaries are blobs of an image, too.

use std::collections::HashSet;
use std::sync::Arc;

use nydus_convert_oci::{Descriptor, Digest, Source};
use nydus_convert_rafs::{BlobId, BlobName, Image, LayerTree, OverlayError, Tree, TreeError, overlay};

use super::blob::OpenBlob;
use super::contents::Contents;
use super::difference::{self, Compared, Difference, settle_placeholders};
use super::guess::forget_guessed_directories;
use crate::image::referred;
use crate::layer::failure::LayerFailure;
use crate::layer::plain_tar::{self, Bounds};
use crate::layer::{Allowance, Meter, Spare, Stored};
use crate::run::Resources;

/// Selections of layers that are tried; real images need two.
const MAX_SELECTIONS: usize = 32;

/// A blob that may be a layer.
pub enum Described {
    /// With the file system of its layer, or none in a blob of chunks and nothing else.
    Blob(Box<OpenBlob>),
    /// It is a plain tar: the file system in it.
    Tar(Box<Image>),
    /// A plain tar that cannot be understood, and why.
    Unknown(String),
}

impl Described {
    /// Opens what a layer of the image became. `merged` is the whole file system.
    pub fn open(
        source: &dyn Source,
        (blob, all): (&Descriptor, &[Descriptor]),
        merged: &Image,
        (resources, proceed): (&Resources, &dyn Fn() -> Result<(), LayerFailure>),
    ) -> Result<Self, LayerFailure> {
        proceed()?;
        let mut described = if merged.tarfs {
            Self::tar(source, blob, merged, (resources, proceed))?
        } else {
            let mut opened = OpenBlob::open(source, blob)?;
            opened.open_foreign(source, all)?;
            Self::Blob(Box::new(opened))
        };
        if let Some(image) = described.image_mut() {
            forget_guessed_directories(&mut image.tree, &merged.tree);
        }
        Ok(described)
    }

    fn tar(
        source: &dyn Source,
        blob: &Descriptor,
        merged: &Image,
        how: (&Resources, &dyn Fn() -> Result<(), LayerFailure>),
    ) -> Result<Self, LayerFailure> {
        let read = source.open_file(blob).map_err(LayerFailure::from);
        let image = read.and_then(|file| image_of_tar((file.reader(), blob), merged, how));
        match image {
            Ok(image) => Ok(Self::Tar(Box::new(image))),
            Err(
                failure @ (LayerFailure::Interrupted { .. }
                | LayerFailure::GivenUp
                | LayerFailure::Source(_)
                | LayerFailure::Input(_)),
            ) => Err(failure),
            Err(failure) => Ok(Self::Unknown(failure.to_string())),
        }
    }

    /// The layer's own file system.
    pub fn image(&self) -> Option<&Image> {
        match self {
            Self::Blob(blob) => blob.image.as_ref(),
            Self::Tar(image) => Some(image),
            Self::Unknown(_) => None,
        }
    }

    /// The same, taken out.
    pub fn into_image(self) -> Option<Image> {
        match self {
            Self::Blob(blob) => blob.image,
            Self::Tar(image) => Some(*image),
            Self::Unknown(_) => None,
        }
    }

    /// The blob, if it is no tar.
    pub fn blob(&self) -> Option<&OpenBlob> {
        match self {
            Self::Blob(blob) => Some(blob),
            _ => None,
        }
    }

    fn image_mut(&mut self) -> Option<&mut Image> {
        match self {
            Self::Blob(blob) => blob.image.as_mut(),
            Self::Tar(image) => Some(image),
            Self::Unknown(_) => None,
        }
    }
}

/// The file system in a plain tar, whose files are ranges of it.
fn image_of_tar(
    (tar, blob): (impl std::io::Read, &Descriptor),
    merged: &Image,
    (resources, proceed): (&Resources, &dyn Fn() -> Result<(), LayerFailure>),
) -> Result<Image, LayerFailure> {
    let bounds = Bounds {
        chunk_size: merged.chunk_size,
        window_bytes: resources.window_bytes / resources.parallel_layers,
        max_content: resources.max_layer_size,
        meter: Meter::new(Allowance::new(Spare::new(resources.max_metadata), Stored::Plain)),
    };
    let mut read = plain_tar::read_tar(tar, bounds, proceed, || ())?;
    let id: BlobId =
        blob.digest.hex().parse().map_err(|_| LayerFailure::NoTarfs("its digest is no SHA-256"))?;
    let tar = plain_tar::blob(id, blob.size, &read.contents.offsets, &read.lengths)?;
    Ok(Image {
        tree: std::mem::take(read.contents.tree.tree_mut()),
        blobs: tar.into_iter().collect(),
        chunk_size: merged.chunk_size,
        compressor: merged.compressor,
        digester: merged.digester,
        tarfs: true,
        prefetch: Vec::new(),
    })
}

/// Lays a layer's tree over those below it, with the references of `contents`.
pub fn lay(laid: &mut Tree, (tree, layer): (Tree, &Image), contents: &Contents) -> Result<(), OverlayError> {
    overlay(laid, LayerTree::of_tree(tree), |at| contents.place(layer, at))
}

/// What an image is made of.
pub enum Choice {
    /// These blobs, by their positions, and what they lack.
    Layers(Vec<usize>, Compared),
    /// One layer of all files, and what the blobs lack that are most likely the layers.
    Whole(Compared),
    /// These blobs; one of them cannot be understood, for this reason.
    Unknown(Vec<usize>, String),
}

/// A blob of an image, and what it says of a layer.
pub type Candidate<'a> = (&'a Descriptor, &'a Arc<Described>);

/// Decides which of the blobs are layers: those that, laid over each other, make the image. `blobs` are all of them in
/// the order of the manifest.
pub fn choose(blobs: &[Candidate<'_>], merged: &mut Image) -> Result<Choice, TreeError> {
    let unknown = blobs.iter().find_map(|(_, described)| match &***described {
        Described::Unknown(why) => Some(why.clone()),
        _ => None,
    });
    if let Some(why) = unknown {
        return Ok(Choice::Unknown((0..blobs.len()).collect(), why));
    }
    let contents = Contents::of(merged);
    let mut best = None;
    let selections = Selections::of(blobs);
    for selection in &selections.all {
        let Ok(laid) = lay_all(blobs, selection, &contents) else { continue };
        if best.is_none() {
            settle_placeholders(&mut merged.tree, &laid)?;
        } else if !difference::is_same(&laid, merged, &contents) {
            continue;
        }
        let compared = difference::compare(&laid, merged, &contents)?;
        let is_equal = compared.difference.is_none();
        best = Some((selection, compared));
        if is_equal {
            break;
        }
    }
    if let Some((selection, compared)) = best {
        return if is_hopeless(&compared, merged, selections.some_are_bare) {
            settle_placeholders(&mut merged.tree, &Tree::new())?;
            Ok(Choice::Whole(compared))
        } else {
            Ok(Choice::Layers(selection.clone(), compared))
        };
    }
    settle_placeholders(&mut merged.tree, &Tree::new())?;
    Ok(Choice::Whole(difference::compare(&Tree::new(), merged, &contents)?))
}

/// Whether one layer of all files is better: there are blobs that do not say what they hold, or all that the others say
/// is wrong.
fn is_hopeless(compared: &Compared, merged: &Image, some_are_bare: bool) -> bool {
    let Some(Difference { written, .. }) = &compared.difference else { return false };
    // All names but that of the root, and those that no layer can have.
    some_are_bare || written + 1 + compared.unfit >= merged.tree.walk().count() as u64
}

fn lay_all(blobs: &[Candidate<'_>], selection: &[usize], contents: &Contents) -> Result<Tree, OverlayError> {
    let mut laid = Tree::new();
    let images = selection.iter().filter_map(|at| blobs.get(*at)?.1.image());
    for image in images {
        lay(&mut laid, (image.tree.clone(), image), contents)?;
    }
    Ok(laid)
}

/// Which blobs may be the layers, the most likely first.
struct Selections {
    all: Vec<Vec<usize>>,
    some_are_bare: bool,
}

impl Selections {
    /// A dictionary's blob is used by a layer before it, as blobs of other images come last. But a layer can be used like
    /// that as well, by what is below it or above it, so there are several answers.
    fn of(blobs: &[Candidate<'_>]) -> Self {
        let uses: Vec<HashSet<BlobName>> =
            blobs.iter().map(|(blob, described)| used(blob.digest, described)).collect();
        let name =
            |at: usize| blobs.get(at).and_then(|(blob, _)| blob.digest.hex().parse().ok()).map(BlobName::Id);
        let is_used_by = |users: &[HashSet<BlobName>], at| {
            name(at).is_some_and(|name| users.iter().any(|used| used.contains(&name)))
        };
        let described: Vec<usize> = (0..blobs.len())
            .filter(|at| blobs.get(*at).is_some_and(|(_, described)| described.image().is_some()))
            .collect();
        let is_late = |at: &usize| is_used_by(uses.get(..*at).unwrap_or_default(), *at);
        let late: Vec<usize> = described.iter().copied().filter(is_late).collect();
        let mut all = vec![described.iter().copied().filter(|at| !late.contains(at)).collect()];
        for last in late.iter().take(MAX_SELECTIONS) {
            all.push(described.iter().copied().filter(|at| at <= last).collect());
        }
        if !late.is_empty() {
            all.push(described.clone());
        }
        if uses.iter().any(|used| !used.is_empty()) {
            all.push(described.iter().copied().filter(|at| !is_used_by(&uses, *at)).collect());
        }
        Self { some_are_bare: described.len() < blobs.len(), all }
    }
}

/// The blobs that a layer uses beside its own.
fn used(own: Digest, described: &Described) -> HashSet<BlobName> {
    let own = own.hex().parse().ok().map(BlobName::Id);
    let blobs = described.image().into_iter().flat_map(|image| &image.blobs);
    let others = blobs.filter(|blob| blob.name != BlobName::ThisBlob && Some(blob.name) != own);
    others.filter(|blob| !referred::is_referred(blob)).map(|blob| blob.name).collect()
}
