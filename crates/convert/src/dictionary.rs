//! Chunk dictionaries: images whose chunks are used instead of chunks of one's own.
//!
//! Where a layer brings a chunk that the dictionary has, the image refers to the dictionary's blob, which so becomes one
//! of the image's. What a dictionary says of its chunks is believed: `check` compares every chunk with its digest.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nydus_convert_chunk::ChunkLookup;
use nydus_convert_oci::{self as oci, Descriptor, Digest, ErrorKind, Sink, Source};
use nydus_convert_rafs::{
    Blob, BlobFeatures, BlobId, BlobName, Chunk, ChunkDigest, ChunkRef, ChunkSize, ChunkTable, Cipher,
    Compressor, Digester, FsVersion, Image, InodeKind,
};
use thiserror::Error;

use crate::image::PlatformFilter;
use crate::image::find::{self as images, FoundKind};
use crate::image::locate::find_layer;
use crate::image::nydus::read_versioned_bootstrap;
use crate::image::{ImageError, NydusError};
use crate::kind::Kind;
use crate::layer::elsewhere::Used;
use crate::options::FsOptions;

/// Features of blobs whose chunks do not lie in the blob one by one or in batches.
const UNUSABLE: BlobFeatures =
    BlobFeatures::ZRAN.union(BlobFeatures::SEPARATE).union(BlobFeatures::TARFS).union(BlobFeatures::EXTERNAL);

/// Chunks of other images, by digest. Clones are handles to the same dictionary.
#[derive(Clone)]
pub struct ChunkDictionary(Arc<Inner>);

struct Inner {
    /// None as long as it is empty.
    format: Option<Format>,
    /// Without their chunks.
    blobs: Vec<Blob>,
    /// By blob and number.
    chunks: Vec<HashMap<u32, Chunk>>,
    places: HashMap<(ChunkDigest, u32), ChunkRef>,
    origin: Origin,
}

/// What an image must share with its dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format {
    version: FsVersion,
    chunk_size: ChunkSize,
    digester: Digester,
    /// Of the whole image in v5; in v6 every blob has its own.
    compressor: Option<Compressor>,
}

/// Where the blobs are.
enum Origin {
    /// Layers of images.
    Layers(Arc<dyn Source>, Vec<Descriptor>),
    /// Files of a directory, named by blob id.
    Directory(PathBuf),
}

/// Why a dictionary cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DictionaryError {
    /// Its image cannot be had.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Its blob cannot be copied.
    #[error(transparent)]
    Copy(#[from] oci::Error),
    /// The reference leads to no Nydus image.
    #[error("it has no Nydus image")]
    NoImage,
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bootstrap is of one layer.
    #[error("it is the bootstrap of a single layer, which does not name its blob; use the image's")]
    LayerBootstrap,
    /// A blob with chunks that cannot be referred to.
    #[error("the chunks of its blob {id} cannot be used: {why}")]
    Blob {
        /// The blob.
        id: BlobId,
        /// What is in the way.
        why: &'static str,
    },
    /// Something that images and their dictionaries must share.
    #[error("its {what} is {dictionary}, that of the image would be {image}")]
    Mismatch {
        /// What it is.
        what: &'static str,
        /// Of the dictionary.
        dictionary: String,
        /// Of the image.
        image: String,
    },
    /// The image is to be mounted by the kernel.
    #[error("images for the kernel cannot use one: its blobs are not laid out for the kernel")]
    Kernel,
    /// The image refers to its original layers.
    #[error("images that refer to their original layers (--oci-ref) store no chunks that it could spare")]
    Referred,
    /// A blob that is not there.
    #[error("its blob {id} is not where it should be")]
    Missing {
        /// The blob.
        id: BlobId,
        /// Why.
        source: io::Error,
    },
}

impl DictionaryError {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } | Self::Missing { source, .. } => ErrorKind::of_io(source).into(),
            Self::Image(error) => error.kind(),
            Self::Copy(error) => error.kind().into(),
            _ => Kind::Source,
        }
    }
}

impl From<NydusError> for DictionaryError {
    fn from(error: NydusError) -> Self {
        Self::Image(error.into())
    }
}

impl ChunkDictionary {
    /// Of all Nydus images behind the root of `source`.
    pub fn of_images(source: Arc<dyn Source>) -> Result<Self, DictionaryError> {
        let mut layers = Vec::new();
        let mut bootstraps = Vec::new();
        for found in images::survey(source.as_ref(), &PlatformFilter::All)?.found {
            let FoundKind::Nydus(manifest) = found.kind else { continue };
            let (version, image) = read_versioned_bootstrap(source.as_ref(), &manifest)?;
            for blob in &image.blobs {
                find_layer(&manifest.layers, blob.name)
                    .map_err(|unknown| NydusError::UnknownBlob { id: unknown.id })?;
            }
            bootstraps.push((version, image));
            layers.extend(manifest.layers);
        }
        let mut inner = Inner::new(Origin::Layers(source, layers));
        if bootstraps.is_empty() {
            return Err(DictionaryError::NoImage);
        }
        for (version, image) in bootstraps {
            inner.add(version, &image)?;
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Of a bootstrap file. The blobs are files named by their ids beside it.
    pub fn of_bootstrap(path: &Path) -> Result<Self, DictionaryError> {
        let bytes =
            std::fs::read(path).map_err(|source| DictionaryError::Read { path: path.to_owned(), source })?;
        Self::parse(&bytes, path.parent().unwrap_or(Path::new("")))
    }

    /// Of the bytes of a bootstrap. The blobs are files in `directory` named by their ids.
    pub fn parse(bytes: &[u8], directory: &Path) -> Result<Self, DictionaryError> {
        let (version, image) = nydus_convert_rafs::parse(bytes).map_err(NydusError::Bootstrap)?;
        let mut inner = Inner::new(Origin::Directory(directory.to_owned()));
        inner.add(version, &image)?;
        Ok(Self(Arc::new(inner)))
    }

    /// Whether an image of these options can use it.
    pub fn check(&self, fs: &FsOptions) -> Result<(), DictionaryError> {
        if fs.kernel_mountable {
            return Err(DictionaryError::Kernel);
        }
        let compressor = (fs.version == FsVersion::V5).then(|| fs.compression.compressor());
        let wanted =
            Format { version: fs.version, chunk_size: fs.chunk_size, digester: fs.digester, compressor };
        self.0.format.as_ref().map_or(Ok(()), |format| format.same(&wanted))
    }

    /// A chunk that was found.
    pub(crate) fn at(&self, hit: ChunkRef) -> Option<Used<'_>> {
        let blob = self.0.blobs.get(usize::from(hit.blob))?;
        Some(Used { blob, index: hit.index, chunk: *self.chunk(hit)? })
    }

    /// The record of a chunk, by the place that looking it up gives.
    pub fn chunk(&self, at: ChunkRef) -> Option<&Chunk> {
        self.0.chunks.get(usize::from(at.blob))?.get(&at.index)
    }

    /// Brings a blob into the sink, verified.
    pub(crate) fn copy_blob(&self, id: BlobId, sink: &dyn Sink) -> Result<oci::Blob, DictionaryError> {
        match &self.0.origin {
            Origin::Layers(source, layers) => {
                let layer = find_layer(layers, BlobName::Id(id))
                    .map_err(|unknown| NydusError::UnknownBlob { id: unknown.id })?;
                sink.copy(source.as_ref(), layer)?;
                Ok(oci::Blob { digest: layer.digest, size: layer.size })
            }
            Origin::Directory(directory) => {
                let missing = |source| DictionaryError::Missing { id, source };
                let mut file = File::open(directory.join(id.to_string())).map_err(missing)?;
                let size = file.metadata().map_err(missing)?.len();
                let blob = oci::Blob { digest: Digest::from_sha256(id.0), size };
                if !sink.has(&oci::nydus::blob_descriptor(blob))? {
                    let mut writer = sink.blob()?;
                    io::copy(&mut file, &mut writer).map_err(oci::Error::writing)?;
                    writer.finish_as(blob.digest, size)?;
                }
                Ok(blob)
            }
        }
    }
}

impl Format {
    fn same(&self, image: &Self) -> Result<(), DictionaryError> {
        let differs = |what, dictionary: String, image: String| {
            if dictionary == image {
                Ok(())
            } else {
                Err(DictionaryError::Mismatch { what, dictionary, image })
            }
        };
        differs("version of RAFS", self.version.to_string(), image.version.to_string())?;
        differs("chunk size", format!("{:?}", self.chunk_size), format!("{:?}", image.chunk_size))?;
        differs("digester", format!("{:?}", self.digester), format!("{:?}", image.digester))?;
        match (self.compressor, image.compressor) {
            (Some(own), Some(other)) => differs("compressor", format!("{own:?}"), format!("{other:?}")),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for ChunkDictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkDictionary")
            .field("format", &self.0.format)
            .field("blobs", &self.0.blobs.len())
            .field("chunks", &self.0.places.len())
            .finish_non_exhaustive()
    }
}

/// The same dictionary, not an equal one.
impl PartialEq for ChunkDictionary {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ChunkDictionary {}

/// A look into the dictionary.
impl ChunkLookup for &ChunkDictionary {
    fn find(&mut self, digest: &ChunkDigest, length: u32) -> Option<ChunkRef> {
        self.0.places.get(&(*digest, length)).copied()
    }
}

impl Inner {
    fn new(origin: Origin) -> Self {
        Self { format: None, blobs: Vec::new(), chunks: Vec::new(), places: HashMap::new(), origin }
    }

    /// Adds the chunks that the files of an image use, in the order of its tree; of equal ones the first counts.
    fn add(&mut self, version: FsVersion, image: &Image) -> Result<(), DictionaryError> {
        let format = Format {
            version,
            chunk_size: image.chunk_size,
            digester: image.digester,
            compressor: (version == FsVersion::V5).then_some(image.compressor),
        };
        self.format.get_or_insert(format).same(&format)?;
        let numbers = image.blobs.iter().map(|blob| self.number(blob, &format));
        let numbers = numbers.collect::<Result<Vec<Option<u16>>, _>>()?;
        for entry in image.tree.walk() {
            let InodeKind::Regular { chunks, .. } = &entry.inode.kind else { continue };
            for at in chunks {
                let Some(blob) = numbers.get(usize::from(at.blob)).copied().flatten() else { continue };
                let (Some(chunk), Some(known)) = (image.chunk(*at), self.chunks.get_mut(usize::from(blob)))
                else {
                    continue;
                };
                known.insert(at.index, *chunk);
                let key = (chunk.digest, chunk.uncompressed_size);
                self.places.entry(key).or_insert(ChunkRef { blob, index: at.index });
            }
        }
        Ok(())
    }

    /// The number of a blob here; `None` for one that names its chunks in another way.
    fn number(&mut self, blob: &Blob, format: &Format) -> Result<Option<u16>, DictionaryError> {
        let BlobName::Id(id) = blob.name else { return Err(DictionaryError::LayerBootstrap) };
        if blob.digester != format.digester {
            return Ok(None);
        }
        let unusable = |why| DictionaryError::Blob { id, why };
        if blob.features.intersects(UNUSABLE) {
            return Err(unusable("they do not lie in the blob as chunks"));
        }
        if blob.cipher != Cipher::None {
            return Err(unusable("they are encrypted"));
        }
        let known = self.blobs.iter().position(|known| known.name == blob.name);
        let number = known.unwrap_or(self.blobs.len());
        let number = u16::try_from(number).map_err(|_| unusable("there are too many blobs before it"))?;
        if known.is_none() {
            self.blobs.push(Blob { chunks: ChunkTable::default(), ..blob.clone() });
            self.chunks.push(HashMap::new());
        }
        Ok(Some(number))
    }
}
