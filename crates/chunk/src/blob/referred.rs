//! Blobs that hold no chunks of their own: the chunks lie in a layer of the original image, which stays as it is.
//!
//! ```text
//!   metadata blob   CI, zran tables, digests, bootstrap     BlobReader, with sections
//!   original layer  gzip stream, or a plain tar             BlobReader::open_raw
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::ops::Range;
use std::sync::Arc;

use nydus_convert_rafs::meta::ci::{self, CiHeader};
use nydus_convert_rafs::meta::zran::{self, InContext, Zran};
use nydus_convert_rafs::meta::{MetaError, section};
use nydus_convert_rafs::{Blob, BlobFeatures, BlobId, Chunk};

use super::chunks::ChunkSource;
use super::error::BlobError;
use super::reader::BlobReader;
use super::source::ReadAt;
use super::verify::Verified;
use crate::Worker;
use crate::ordered::Pool;

/// Plain bytes that one hand-over to a thread is worth.
const PIECE: u64 = 1 << 20;

/// A metadata blob and the original layer that its chunks lie in.
#[derive(Debug)]
pub struct Referred<S> {
    meta: Arc<BlobReader<S>>,
    data: Arc<BlobReader<S>>,
}

impl<S: ReadAt> Referred<S> {
    /// Opens both: `meta` by its sections, `data` as it is.
    pub fn open(meta: S, data: S) -> Result<Self, BlobError> {
        let (meta, data) = (BlobReader::open(meta)?, BlobReader::open_raw(data)?);
        Ok(Self { meta: Arc::new(meta), data: Arc::new(data) })
    }

    /// The chunks of the layer as an image uses them; `blob` is its record in the bootstrap.
    pub fn chunks_of(&self, blob: &Blob) -> Result<ChunkSource<S>, BlobError> {
        let zran = match blob.features.contains(BlobFeatures::ZRAN) {
            true => Some(self.zran(blob)?.1),
            false => None,
        };
        Ok(self.source_of(blob, zran))
    }

    fn source_of(&self, blob: &Blob, zran: Option<Zran>) -> ChunkSource<S> {
        ChunkSource::of_zran(Arc::clone(&self.data), blob, zran)
    }

    /// The header of the chunk information and what it describes.
    fn zran(&self, blob: &Blob) -> Result<(CiHeader, Zran), BlobError> {
        let (header, payload) = self.payload(blob)?;
        let zran = zran::parse(&payload, &header).map_err(|source| structure(&header, source))?;
        let end = self.data.size();
        for context in &zran.contexts {
            let context_end = context.in_offset.saturating_add(context.in_len.into());
            if context_end > end {
                return Err(BlobError::Bounds {
                    section: "of the original layer".to_owned(),
                    offset: context.in_offset,
                    length: context.in_len.into(),
                    start: 0,
                    end,
                });
            }
        }
        Ok((header, zran))
    }

    fn payload(&self, blob: &Blob) -> Result<(CiHeader, Vec<u8>), BlobError> {
        let header = self.meta.information_header(blob, None)?;
        let payload = self.meta.plain_at(section::BLOB_META, &header.location, None)?;
        Ok((header, payload))
    }
}

fn structure(header: &CiHeader, source: MetaError) -> BlobError {
    BlobError::Structure { section: section::BLOB_META.to_owned(), offset: header.location.offset, source }
}

impl<S: ReadAt + Send + Sync + 'static> Referred<S> {
    /// Checks everything that can be checked of the metadata blob, and every chunk on the pool: as
    /// [`BlobReader::verify`]. `id` is that of the metadata blob; that the layer is the one that was referred to, its
    /// digest alone tells, and that is the caller's.
    pub fn verify(&self, pool: &Pool, id: BlobId, blob: &Blob) -> Result<Verified, BlobError> {
        let mut verified = self.meta.verify_stored(id)?;
        let disagrees = |field, expected, found| {
            let section = section::BLOB_META_HEADER;
            if expected == found {
                Ok(())
            } else {
                Err(BlobError::Disagrees { section, field, expected, found })
            }
        };
        disagrees("the size of the original layer", blob.compressed_size, self.data.size())?;
        let (zran, mut chunks) = if blob.features.contains(BlobFeatures::ZRAN) {
            let zran = self.zran(blob)?.1;
            let chunks = zran.chunks.clone();
            (Some(zran), chunks)
        } else {
            let (header, payload) = self.payload(blob)?;
            (None, ci::parse_entries(&payload, &header).map_err(|source| structure(&header, source))?)
        };
        let has_digests = self.meta.fill_digests(&mut chunks)?;
        for (number, record) in blob.chunks.iter() {
            let own = usize::try_from(number).ok().and_then(|number| chunks.get(number));
            if !own.is_some_and(|own| is_same(own, record, has_digests)) {
                return Err(BlobError::ChunkRecord { number });
            }
        }
        let chunks: Vec<(u32, Chunk)> = match has_digests {
            true => (0..).zip(chunks).collect(),
            false => blob.chunks.iter().map(|(number, chunk)| (number, *chunk)).collect(),
        };
        verified.chunks = chunks.len() as u64;
        let sizes = chunks.iter().map(|(_, chunk)| u64::from(chunk.uncompressed_size));
        verified.plain_bytes = sizes.fold(0, u64::saturating_add);
        self.check_chunks(pool, chunks, self.source_of(blob, zran))?;
        Ok(verified)
    }

    /// Context by context: each thread goes through one from its beginning to its end.
    fn check_chunks(
        &self,
        pool: &Pool,
        chunks: Vec<(u32, Chunk)>,
        source: ChunkSource<S>,
    ) -> Result<(), BlobError> {
        let context = |number: u32| source.in_context(number).map(|place: InContext| place.context);
        let mut groups: Vec<Range<usize>> = Vec::new();
        let (mut last, mut bytes) = (None, 0_u64);
        for (position, (number, chunk)) in chunks.iter().enumerate() {
            let own = context(*number);
            let end = position.saturating_add(1);
            match groups.last_mut() {
                Some(group) if own == last && (own.is_some() || bytes < PIECE) => group.end = end,
                _ => {
                    groups.push(position..end);
                    bytes = 0;
                }
            }
            bytes = bytes.saturating_add(chunk.uncompressed_size.into());
            last = own;
        }
        let window = std::num::NonZeroUsize::MIN.saturating_add(pool.threads().saturating_mul(2));
        let check = move |worker: &mut Worker, group: Range<usize>| {
            let mut plain = Vec::new();
            let group = chunks.get(group).unwrap_or_default();
            group.iter().try_for_each(|(number, chunk)| source.read_chunk(worker, *number, chunk, &mut plain))
        };
        pool.map(groups, window, check).collect()
    }
}

/// The CI cannot hold flags, and may not have digests.
fn is_same(own: &Chunk, record: &Chunk, with_digest: bool) -> bool {
    let place = |chunk: &Chunk| {
        let stored = (chunk.compressed_offset, chunk.compressed_size);
        (stored, chunk.uncompressed_offset, chunk.uncompressed_size)
    };
    place(own) == place(record) && (!with_digest || own.digest == record.digest)
}
