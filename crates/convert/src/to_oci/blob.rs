//! A blob stream with the file system of its layer.

use std::fs::File;
use std::sync::Arc;

use nydus_convert_chunk::ordered::Pool;
use nydus_convert_chunk::{BlobError, BlobReader, ChunkSource, ReadAhead, Request, read_ahead};
use nydus_convert_oci::{Descriptor, Digest, Source};
use nydus_convert_rafs::meta::section;
use nydus_convert_rafs::{BlobName, ChunkTable, Image};

use crate::error::LayerFailure;
use crate::replay::{CHUNKS_SECTION, LAYER_SECTION, chunk_records};

/// An opened blob stream.
pub struct OpenBlob {
    /// Digest of the stream.
    pub digest: Digest,
    /// Its sections.
    pub reader: Arc<BlobReader<File>>,
    /// The layer's own bootstrap; none in a blob that holds chunks and nothing else.
    pub image: Option<Image>,
    own: Option<OwnChunks>,
}

/// The chunks of the blob itself.
struct OwnChunks {
    source: Arc<ChunkSource<File>>,
    records: ChunkTable,
}

/// Chunk by chunk, in the order of the requests.
pub type Chunks<'a> = ReadAhead<File, Box<dyn Iterator<Item = Request<File>> + 'a>>;

impl OpenBlob {
    /// Opens the blob that a layer of the image is.
    pub fn open(source: &dyn Source, layer: &Descriptor) -> Result<Self, LayerFailure> {
        let blob = layer.digest;
        let in_blob = |source| LayerFailure::Blob { blob, source };
        let file = source.open_file(layer)?;
        let reader = match BlobReader::open(file) {
            // Chunks and nothing else.
            Err(BlobError::NotABlob { .. }) => BlobReader::open_raw(source.open_file(layer)?),
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
        let mut opened = Self { digest: blob, reader, image, own: None };
        opened.own = opened.own_chunks().map_err(in_blob)?;
        Ok(opened)
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
            let own = self.own.as_ref()?;
            Some(Request { source: Arc::clone(&own.source), number, chunk: *own.records.get(number)? })
        });
        read_ahead(pool, window_bytes, Box::new(requests) as Box<dyn Iterator<Item = Request<File>> + 'a>)
    }
}
