//! A blob stream with the file system of its layer.

use std::collections::HashMap;
use std::sync::Arc;

use nydus_convert_chunk::ordered::Pool;
use nydus_convert_chunk::{BlobError, BlobReader, ChunkSource, Foreign, ReadAhead, Request, read_ahead};
use nydus_convert_oci::{Descriptor, Digest, Source};
use nydus_convert_rafs::meta::section;
use nydus_convert_rafs::{Blob, BlobName, ChunkTable, Image};

use crate::image::blob_file::BlobFile;
use crate::image::locate::find_layer;
use crate::layer::failure::LayerFailure;
use crate::remembered::foreign_chunks::{self, ForeignChunk};
use crate::remembered::{CHUNKS_SECTION, FOREIGN_SECTION, LAYER_SECTION, chunk_records};

/// An opened blob stream.
pub struct OpenBlob {
    /// Digest of the stream.
    pub digest: Digest,
    /// Its sections.
    pub reader: Arc<BlobReader<BlobFile>>,
    /// The layer's own bootstrap; none in a blob that holds chunks and nothing else.
    pub image: Option<Image>,
    own: Option<OwnChunks>,
    /// Those of other blobs that the record speaks of, in the order of their numbers.
    foreign: Vec<(Arc<ChunkSource<BlobFile>>, ForeignChunk)>,
}

/// The chunks of the blob itself.
struct OwnChunks {
    source: Arc<ChunkSource<BlobFile>>,
    records: ChunkTable,
}

/// Chunk by chunk, in the order of the requests.
pub type Chunks<'a> = ReadAhead<BlobFile, Box<dyn Iterator<Item = Request<BlobFile>> + 'a>>;

impl OpenBlob {
    /// Opens the blob that a layer of the image is.
    pub fn open(source: &dyn Source, layer: &Descriptor) -> Result<Self, LayerFailure> {
        let blob = layer.digest;
        let in_blob = |source| LayerFailure::Blob { blob, source };
        let file = BlobFile::open(source, layer)?;
        let reader = match BlobReader::open(file) {
            // Chunks and nothing else.
            Err(BlobError::NotABlob { .. }) => BlobReader::open_raw(BlobFile::open(source, layer)?),
            result => result,
        };
        let reader = Arc::new(reader.map_err(in_blob)?);
        let mut image = match reader.section(section::IMAGE_BOOT).map_err(in_blob)? {
            Some(bytes) => {
                let parsed = nydus_convert_rafs::parse(&bytes);
                Some(parsed.map_err(|source| LayerFailure::BlobBootstrap { blob, source })?.1)
            }
            None => None,
        };
        if let (Some(image), Some(list)) = (&mut image, reader.section(CHUNKS_SECTION).map_err(in_blob)?) {
            let own = image.blobs.iter_mut().find(|own| own.name == BlobName::ThisBlob);
            if let Some(own) = own {
                chunk_records::add(&list, own)?;
            }
        }
        let mut opened = Self { digest: blob, reader, image, own: None, foreign: Vec::new() };
        opened.own = opened.own_chunks().map_err(in_blob)?;
        Ok(opened)
    }

    /// Opens the other blobs that the record uses, each once; they are among `all`.
    pub fn open_foreign(&mut self, source: &dyn Source, all: &[Descriptor]) -> Result<(), LayerFailure> {
        let (Some(image), Some(list)) = (&self.image, self.section(FOREIGN_SECTION)?) else { return Ok(()) };
        let mut opened: HashMap<u16, Arc<ChunkSource<BlobFile>>> = HashMap::new();
        for chunk in foreign_chunks::parse(&list, image.blobs.len())? {
            let number = chunk.at.blob;
            let chunks = match opened.get(&number) {
                Some(chunks) => Arc::clone(chunks),
                None => {
                    let blob = image.blobs.get(usize::from(number)).ok_or(LayerFailure::NoBootstrap)?;
                    let chunks = Arc::new(open_chunks(source, find_layer(all, blob.name)?, blob)?);
                    opened.insert(number, Arc::clone(&chunks));
                    chunks
                }
            };
            self.foreign.push((chunks, chunk));
        }
        Ok(())
    }

    fn own_chunks(&self) -> Result<Option<OwnChunks>, BlobError> {
        let is_own = |name: BlobName| match name {
            BlobName::ThisBlob => true,
            BlobName::Id(id) => id.to_string() == self.digest.hex(),
        };
        let blobs = self.image.iter().flat_map(|image| &image.blobs);
        let Some(blob) = blobs.into_iter().find(|blob| is_own(blob.name)) else { return Ok(None) };
        let source = Arc::new(self.reader.chunks_of(blob)?);
        // A bootstrap lists the chunks of files. The record of a layer speaks of others too, which the blob lists.
        let has_record = self.reader.sections().iter().any(|section| section.name == LAYER_SECTION);
        let all = if has_record { self.reader.blob_meta()? } else { None };
        let records = match all.filter(|all| all.has_digests) {
            Some(all) => all.chunks.into_iter().collect(),
            None => blob.chunks.clone(),
        };
        Ok(Some(OwnChunks { source, records }))
    }

    /// The plain bytes of a section.
    pub fn section(&self, name: &str) -> Result<Option<Vec<u8>>, LayerFailure> {
        self.reader.section(name).map_err(|source| LayerFailure::Blob { blob: self.digest, source })
    }

    /// Reads chunks by their numbers, a window ahead; one that is wanted several times in a row comes once. Ends
    /// early at a number that no chunk has.
    pub fn read_ahead<'a>(
        &'a self,
        pool: &Pool,
        window_bytes: usize,
        numbers: impl Iterator<Item = u32> + 'a,
    ) -> Chunks<'a> {
        let mut last = None;
        let numbers = numbers.filter(move |number| last.replace(*number) != Some(*number));
        let requests = numbers.map_while(|number| {
            if let Some(nth) = number.checked_sub(Foreign::FIRST) {
                let (source, ForeignChunk { at, chunk }) = self.foreign.get(nth as usize)?;
                return Some(Request { source: Arc::clone(source), number: at.index, chunk: *chunk });
            }
            let own = self.own.as_ref()?;
            Some(Request { source: Arc::clone(&own.source), number, chunk: *own.records.get(number)? })
        });
        read_ahead(pool, window_bytes, Box::new(requests) as Box<dyn Iterator<Item = Request<BlobFile>> + 'a>)
    }
}

/// The chunks of a blob that is a layer.
pub fn open_chunks(
    source: &dyn Source,
    layer: &Descriptor,
    blob: &Blob,
) -> Result<ChunkSource<BlobFile>, LayerFailure> {
    let in_blob = |source| LayerFailure::Blob { blob: layer.digest, source };
    let reader = BlobReader::open_as(BlobFile::open(source, layer)?, blob).map_err(in_blob)?;
    Arc::new(reader).chunks_of(blob).map_err(in_blob)
}
