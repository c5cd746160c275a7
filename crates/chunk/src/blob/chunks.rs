//! Reading chunks, however they are stored.
//!
//! ```text
//!   record of the bootstrap ─► place ─► stored bytes ─► decrypt ─► decompress ─► CRC-32C, digest ─► plain bytes
//!                                │                                     │
//!                                └ in a batch: that of the batch ──────┴─► kept in the worker, for the neighbours
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::mem;
use std::sync::Arc;

use nydus_convert_rafs::meta::ci::ChunkInformation;
use nydus_convert_rafs::meta::zran::{InContext, Zran};
use nydus_convert_rafs::meta::{Batch, section};
use nydus_convert_rafs::{Blob, BlobFeatures, Chunk, ChunkFlags, Compressor, Digester, limits};

use super::error::{BlobError, ChunkError};
use super::inflate::{InflateError, Inflating};
use super::reader::BlobReader;
use super::source::ReadAt;
use crate::Worker;
use crate::cipher::{PADDED_SIZE, Xts};
use crate::worker::PlainBatch;

/// The chunks of one blob of an image. Serves any number of threads.
#[derive(Debug)]
pub struct ChunkSource<S> {
    reader: Arc<BlobReader<S>>,
    compressor: Compressor,
    /// `None` for ranges of a plain tar: only the tar as a whole has a digest.
    digester: Option<Digester>,
    cipher: Option<Xts>,
    /// Of blobs with batches: bootstraps do not tell where members of batches lie.
    information: Option<ChunkInformation>,
    /// Of chunks inside of a gzip layer.
    zran: Option<Zran>,
    /// Tells the batches and contexts of this source from those of others.
    identity: Arc<()>,
}

/// Where the stored form of a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// By itself.
    Alone { offset: u64, stored: usize },
    /// In the plain bytes of a batch, from `start` on.
    Member { number: u32, batch: Batch, start: usize, encrypted: bool },
    /// In what a zran context gives.
    Inflated { context: u32, offset: u64 },
}

impl<S: ReadAt> BlobReader<S> {
    /// The chunks of this blob as an image uses them; `blob` is its record in the bootstrap, which must not have
    /// been changed since. Of a blob with batches, reads the chunk information.
    pub fn chunks_of(self: &Arc<Self>, blob: &Blob) -> Result<ChunkSource<S>, BlobError> {
        let information = if blob.features.contains(BlobFeatures::BATCH) {
            let found = self.information(blob)?.ok_or(BlobError::Missing { section: section::BLOB_META })?;
            Some(found.1)
        } else {
            None
        };
        Ok(ChunkSource {
            reader: Arc::clone(self),
            compressor: blob.compressor,
            digester: (!blob.features.contains(BlobFeatures::TARFS)).then_some(blob.digester),
            cipher: Xts::new(&blob.cipher),
            information,
            zran: None,
            identity: Arc::new(()),
        })
    }

    /// Reads one chunk into `plain`, which is emptied first, and checks it against its digest. For plain chunks
    /// that are stored by themselves; [`BlobReader::chunks_of`] reads all.
    pub fn read_chunk(
        &self,
        chunk: &Chunk,
        compressor: Compressor,
        digester: Digester,
        plain: &mut Vec<u8>,
    ) -> Result<(), BlobError> {
        self.read_chunk_with(&mut Worker::default(), chunk, compressor, digester, plain)
    }

    /// As [`BlobReader::read_chunk`], with the reusable state of a thread: much faster for many small chunks.
    pub(crate) fn read_chunk_with(
        &self,
        worker: &mut Worker,
        chunk: &Chunk,
        compressor: Compressor,
        digester: Digester,
        plain: &mut Vec<u8>,
    ) -> Result<(), BlobError> {
        plain.clear();
        let result = place_alone(chunk, self.data_size(), false).map_err(|error| in_chunk(chunk, error));
        let result = result.and_then(|(offset, stored)| {
            plain.resize(length_of(chunk), 0);
            self.with_stored(worker, offset, stored, |worker, stored| {
                let done = decode(worker, compressor, None, chunk, stored, plain);
                done.and_then(|()| check(chunk, Some(digester), plain))
                    .map_err(|error| in_chunk(chunk, error))
            })
        });
        if result.is_err() {
            plain.clear();
        }
        result
    }

    /// Reads stored bytes into the worker's memory and hands them to `then`.
    fn with_stored(
        &self,
        worker: &mut Worker,
        offset: u64,
        length: usize,
        then: impl FnOnce(&mut Worker, &mut [u8]) -> Result<(), BlobError>,
    ) -> Result<(), BlobError> {
        let mut stored = mem::take(&mut worker.stored);
        // Kept as long as it ever was: only growth has to be cleared.
        if stored.len() < length {
            stored.resize(length, 0);
        }
        let filled = stored.get_mut(..length).unwrap_or_default();
        let result = self.read(offset, filled).and_then(|()| then(worker, filled));
        worker.stored = stored;
        result
    }
}

impl<S: ReadAt> ChunkSource<S> {
    /// The chunks of an original layer, with `zran` of a gzip stream, else of a plain tar.
    pub(super) fn of_zran(data: Arc<BlobReader<S>>, blob: &Blob, zran: Option<Zran>) -> Self {
        Self {
            reader: data,
            compressor: blob.compressor,
            digester: Some(blob.digester),
            cipher: None,
            information: None,
            zran,
            identity: Arc::new(()),
        }
    }

    /// The zran context of chunk number `number`, and where the chunk lies in it.
    pub(super) fn in_context(&self, number: u32) -> Option<InContext> {
        self.zran.as_ref()?.places.get(usize::try_from(number).ok()?).copied()
    }

    fn find_inflated(&self, number: u32, chunk: &Chunk, zran: &Zran) -> Result<Place, ChunkError> {
        let place = self.in_context(number).ok_or(ChunkError::Unknown { number })?;
        let own = usize::try_from(number).ok().and_then(|number| zran.chunks.get(number));
        // Chunks lie inside of their contexts: that was checked when the tables were read.
        if own.is_none_or(|own| own.uncompressed_size != chunk.uncompressed_size) {
            return Err(ChunkError::Length { plain: chunk.uncompressed_size });
        }
        Ok(Place::Inflated { context: place.context, offset: place.offset.into() })
    }

    fn inflate(
        &self,
        worker: &mut Worker,
        number: u32,
        offset: u64,
        plain: &mut [u8],
    ) -> Result<(), InflateError> {
        let kept = worker.inflating.take().filter(|kept| kept.can_give(&self.identity, number, offset));
        let mut inflating = match kept {
            Some(kept) => kept,
            None => {
                let context = self.zran.as_ref().and_then(|zran| zran.context(number));
                let context = context.ok_or(ChunkError::Unsupported)?;
                Box::new(Inflating::new(&self.identity, number, context)?)
            }
        };
        inflating.read(&self.reader, offset, plain)?;
        worker.inflating = Some(inflating);
        Ok(())
    }

    /// Reads chunk number `number`, which the bootstrap records as `chunk`, into `plain`, which is emptied first, and
    /// checks it against its digest; ranges of a plain tar (tarfs) have none. With the state of one thread the members of a batch, asked for one after the
    /// other, are decompressed once.
    pub fn read_chunk(
        &self,
        worker: &mut Worker,
        number: u32,
        chunk: &Chunk,
        plain: &mut Vec<u8>,
    ) -> Result<(), BlobError> {
        plain.clear();
        let place = self.place(number, chunk)?;
        plain.resize(length_of(chunk), 0);
        let result = self.read_at(worker, number, chunk, place, plain);
        if result.is_err() {
            plain.clear();
        }
        result
    }

    /// Where a chunk lies, if its record is believable; its plain length is at most 16 MiB then.
    pub(crate) fn place(&self, number: u32, chunk: &Chunk) -> Result<Place, BlobError> {
        self.find_place(number, chunk).map_err(|error| in_chunk(chunk, error))
    }

    fn find_place(&self, number: u32, chunk: &Chunk) -> Result<Place, ChunkError> {
        if let Some(zran) = &self.zran {
            return self.find_inflated(number, chunk, zran);
        }
        let own = self.own(number, chunk)?;
        let member = self.information.as_ref().and_then(|known| {
            let member = known.member(number)?;
            Some((member, known.batches.get(usize::try_from(member.batch).ok()?)?))
        });
        let Some((member, batch)) = member else {
            if own.flags.contains(ChunkFlags::BATCH) {
                return Err(ChunkError::Unsupported);
            }
            let (offset, stored) = place_alone(&own, self.reader.data_size(), self.cipher.is_some())?;
            return Ok(Place::Alone { offset, stored });
        };
        let plain = chunk.uncompressed_size;
        let end = member.offset.checked_add(plain);
        if plain == 0 || end.is_none_or(|end| end > batch.uncompressed_size) {
            return Err(ChunkError::Length { plain });
        }
        let data_end = self.reader.data_size();
        let batch_end = batch.compressed_offset.checked_add(batch.compressed_size.into());
        if batch_end.is_none_or(|end| end > data_end) {
            return Err(ChunkError::Bounds { end: data_end });
        }
        let start = usize::try_from(member.offset).map_err(|_| ChunkError::Length { plain })?;
        let encrypted = own.flags.contains(ChunkFlags::ENCRYPTED);
        Ok(Place::Member { number: member.batch, batch: *batch, start, encrypted })
    }

    /// The record with the place that the blob itself tells, where that is known.
    fn own(&self, number: u32, chunk: &Chunk) -> Result<Chunk, ChunkError> {
        let Some(known) = &self.information else { return Ok(*chunk) };
        let own = usize::try_from(number).ok().and_then(|number| known.chunks.get(number));
        let own = own.ok_or(ChunkError::Unknown { number })?;
        if own.uncompressed_size != chunk.uncompressed_size {
            return Err(ChunkError::Length { plain: chunk.uncompressed_size });
        }
        Ok(*own)
    }

    /// Reads the chunk at `place` into `plain`, which has its length.
    pub(crate) fn read_at(
        &self,
        worker: &mut Worker,
        number: u32,
        chunk: &Chunk,
        place: Place,
        plain: &mut [u8],
    ) -> Result<(), BlobError> {
        match place {
            Place::Alone { offset, stored } => {
                self.reader.with_stored(worker, offset, stored, |worker, stored| {
                    self.decode_alone(worker, number, chunk, stored, plain)
                })
            }
            Place::Member { number: of, batch, start, encrypted } => {
                self.read_batch(worker, of, &batch, encrypted)?;
                let all = worker.batch.as_ref().map(|batch| batch.plain.as_slice()).unwrap_or_default();
                let part = all.get(start..).and_then(|rest| rest.get(..plain.len()));
                let part = part
                    .ok_or_else(|| in_chunk(chunk, ChunkError::Length { plain: chunk.uncompressed_size }))?;
                plain.copy_from_slice(part);
                check(chunk, self.digester, plain).map_err(|error| in_chunk(chunk, error))
            }
            Place::Inflated { context, offset } => {
                self.inflate(worker, context, offset, plain).map_err(|error| match error {
                    InflateError::Read(error) => error,
                    InflateError::Chunk(error) => in_chunk(chunk, error),
                })?;
                check(chunk, self.digester, plain).map_err(|error| in_chunk(chunk, error))
            }
        }
    }

    /// Makes plain bytes of the stored ones of a chunk that lies alone.
    pub(crate) fn decode_alone(
        &self,
        worker: &mut Worker,
        number: u32,
        chunk: &Chunk,
        stored: &mut [u8],
        plain: &mut [u8],
    ) -> Result<(), BlobError> {
        let done = self.own(number, chunk).and_then(|own| {
            decode(worker, self.compressor, self.cipher.as_ref(), &own, stored, plain)?;
            check(chunk, self.digester, plain)
        });
        done.map_err(|error| in_chunk(chunk, error))
    }

    /// Stored bytes of many chunks at once, in the worker's memory.
    pub(crate) fn read_stored(
        &self,
        worker: &mut Worker,
        offset: u64,
        length: usize,
        then: impl FnOnce(&mut Worker, &mut [u8]) -> Result<(), BlobError>,
    ) -> Result<(), BlobError> {
        self.reader.with_stored(worker, offset, length, then)
    }

    fn read_batch(
        &self,
        worker: &mut Worker,
        number: u32,
        batch: &Batch,
        encrypted: bool,
    ) -> Result<(), BlobError> {
        let kept = worker.batch.take();
        let mut plain = match kept {
            Some(kept) if kept.number == number && Arc::ptr_eq(&kept.owner, &self.identity) => {
                worker.batch = Some(kept);
                return Ok(());
            }
            Some(kept) => kept.plain,
            None => Vec::new(),
        };
        // Both lengths were checked when the table was read.
        let size = |size: u32| usize::try_from(size).unwrap_or_default();
        plain.resize(size(batch.uncompressed_size), 0);
        let (offset, stored_size) = (batch.compressed_offset, size(batch.compressed_size));
        self.reader.with_stored(worker, offset, stored_size, |worker, stored| {
            let mut stored = stored;
            if let Some(cipher) = self.cipher.as_ref().filter(|_| encrypted) {
                let length = cipher.decrypt(stored, None);
                stored = stored.get_mut(..length).unwrap_or_default();
            }
            if stored.len() == plain.len() {
                plain.copy_from_slice(stored);
                return Ok(());
            }
            let done = worker.decompress(self.compressor, stored, &mut plain);
            done.map_err(|error| BlobError::Chunk {
                offset,
                length: batch.compressed_size,
                source: error.into(),
            })
        })?;
        worker.batch = Some(PlainBatch { owner: Arc::clone(&self.identity), number, plain });
        Ok(())
    }
}

/// Place and stored length of a chunk that can exist in `end` bytes of chunk data.
fn place_alone(chunk: &Chunk, end: u64, key: bool) -> Result<(u64, usize), ChunkError> {
    let encrypted = chunk.flags.contains(ChunkFlags::ENCRYPTED);
    if chunk.flags.contains(ChunkFlags::BATCH) || encrypted && !key {
        return Err(ChunkError::Unsupported);
    }
    let (plain, stored) = (chunk.uncompressed_size, chunk.compressed_size);
    let fits = match (encrypted, chunk.flags.contains(ChunkFlags::COMPRESSED)) {
        (true, true) => (1..=plain.max(PADDED_SIZE)).contains(&stored),
        (true, false) => stored == plain || stored == PADDED_SIZE,
        (false, true) => (1..=plain).contains(&stored),
        (false, false) => stored == plain,
    };
    let sane = (1..=limits::MAX_CHUNK_SIZE).contains(&plain) && fits;
    let size = usize::try_from(stored).ok().filter(|_| sane).ok_or(ChunkError::Length { plain })?;
    match chunk.compressed_offset.checked_add(u64::from(stored)) {
        Some(chunk_end) if chunk_end <= end => Ok((chunk.compressed_offset, size)),
        _ => Err(ChunkError::Bounds { end }),
    }
}

/// Decrypts in place, and decompresses into `plain`.
fn decode(
    worker: &mut Worker,
    compressor: Compressor,
    cipher: Option<&Xts>,
    chunk: &Chunk,
    stored: &mut [u8],
    plain: &mut [u8],
) -> Result<(), ChunkError> {
    let raw = !chunk.flags.contains(ChunkFlags::COMPRESSED);
    let mut stored = stored;
    if let Some(cipher) = cipher.filter(|_| chunk.flags.contains(ChunkFlags::ENCRYPTED)) {
        let length = cipher.decrypt(stored, raw.then_some(plain.len()));
        stored = stored.get_mut(..length).unwrap_or_default();
    }
    if !raw {
        return Ok(worker.decompress(compressor, stored, plain)?);
    }
    if stored.len() != plain.len() {
        return Err(ChunkError::Length { plain: chunk.uncompressed_size });
    }
    plain.copy_from_slice(stored);
    Ok(())
}

fn check(chunk: &Chunk, digester: Option<Digester>, plain: &[u8]) -> Result<(), ChunkError> {
    if chunk.flags.contains(ChunkFlags::HAS_CRC32) && crc32c::crc32c(plain) != chunk.crc32 {
        return Err(ChunkError::Crc);
    }
    if digester.is_none_or(|digester| digester.digest(plain) == chunk.digest) {
        Ok(())
    } else {
        Err(ChunkError::Digest)
    }
}

/// Plain length of a chunk that has a place.
pub(crate) fn length_of(chunk: &Chunk) -> usize {
    usize::try_from(chunk.uncompressed_size.min(limits::MAX_CHUNK_SIZE)).unwrap_or_default()
}

fn in_chunk(chunk: &Chunk, source: ChunkError) -> BlobError {
    BlobError::Chunk { offset: chunk.compressed_offset, length: chunk.compressed_size, source }
}
