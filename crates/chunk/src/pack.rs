//! The road of plain bytes into a blob.
//!
//! ```text
//!   groups ──► hash ───────────► deduplicate ──► compress what is new ──► append
//!              parallel, ordered serial          parallel, ordered        serial
//! ```
//! Of equal chunks (same digest, same length) the first in the stream is stored, unless another blob has it. The bytes of the blob depend on
//! the chunks and the options alone, not on threads, window, or how chunks are spread over groups.

use std::io::{self, Write};

use nydus_convert_rafs::{ChunkDigest, ChunkSize, Digester};
use thiserror::Error;

use crate::batcher::{Batcher, Units};
use crate::blob::Unit;
use crate::buffer::Buffer;
use crate::ordered::{Pipe, Pool};
use crate::seen::Seen;
use crate::worker::compress_bound;
use crate::{BlobOptions, BlobWriter, Compression, Foreign, Group, Worker, WriteError};

/// How to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackOptions {
    /// What the blob is to be. The blob writer must have been told the same.
    pub blob: BlobOptions,
    /// No chunk may be longer.
    pub chunk_size: ChunkSize,
    /// Memory for what is under way, plain and stored, in bytes. One group more may be under way at each stage, so
    /// that any window works with any chunk size. Less than four groups for each thread costs speed.
    pub window_bytes: usize,
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packing {
    /// For every chunk, in stream order, its number in the blob; from [`Foreign::FIRST`] on, of a chunk elsewhere.
    pub indexes: Vec<u32>,
    /// Plain bytes of all chunks.
    pub plain_bytes: u64,
    /// Chunks that were new, and so were stored.
    pub new_chunks: u64,
    /// Plain bytes of the new chunks.
    pub new_bytes: u64,
    /// What the new chunks take in the blob, in bytes.
    pub stored: u64,
}

impl Packing {
    /// Chunks that the blob, or another, already had.
    pub fn duplicate_chunks(&self) -> u64 {
        self.indexes.len() as u64 - self.new_chunks
    }

    /// Plain bytes of the chunks that the blob already had.
    pub fn duplicate_bytes(&self) -> u64 {
        self.plain_bytes - self.new_bytes
    }
}

/// Why packing stopped. The blob writer can then not be used any more.
#[derive(Debug, Error)]
pub enum PackError<E> {
    /// The source of the groups failed. Everything before it was packed without error.
    #[error(transparent)]
    Input(E),
    /// A chunk beyond the chunk size.
    #[error("a chunk of {length} bytes exceeds the chunk size {chunk_size:?}")]
    ChunkTooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit.
        chunk_size: ChunkSize,
    },
    /// The compression library failed.
    #[error("compressing a chunk failed")]
    Compress(#[source] io::Error),
    /// The blob could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Packs all chunks of `groups` into the blob. Pulls the groups on this thread, a window ahead of the writing.
///
/// Errors come in the order of the stream: of a bad group and a full disk, whichever lies first.
pub fn pack<E, W: Write>(
    pool: &Pool,
    options: &PackOptions,
    groups: impl Iterator<Item = Result<Group, E>>,
    writer: &mut BlobWriter<W>,
) -> Result<Packing, PackError<E>> {
    pack_with(pool, options, groups, writer, None)
}

/// The same; chunks that `foreign` knows are not stored.
pub fn pack_with<E, W: Write>(
    pool: &Pool,
    options: &PackOptions,
    groups: impl Iterator<Item = Result<Group, E>>,
    writer: &mut BlobWriter<W>,
    foreign: Option<&mut Foreign<'_>>,
) -> Result<Packing, PackError<E>> {
    let result = run(pool, options, groups, writer, foreign);
    if result.is_err() {
        writer.abandon();
    }
    result
}

fn run<E, W: Write>(
    pool: &Pool,
    options: &PackOptions,
    groups: impl Iterator<Item = Result<Group, E>>,
    writer: &mut BlobWriter<W>,
    mut foreign: Option<&mut Foreign<'_>>,
) -> Result<Packing, PackError<E>> {
    writer.check()?;
    let &PackOptions { blob, chunk_size, window_bytes } = options;
    let BlobOptions { compressor, digester, batch_size, .. } = blob;
    let mut batcher = (batch_size > 0).then(|| Batcher::new(batch_size));
    let mut input_error = None;
    let groups = groups.map_while(|group| group.map_err(|error| input_error = Some(error)).ok());
    let hashed = pool
        .map_by_cost(groups, window_bytes / 4, Group::memory, move |_, group| Hashed::of(group, digester));
    let mut storing = Pipe::new(pool, window_bytes / 4 * 3, move |worker: &mut Worker, fresh| {
        store(worker, compressor, fresh)
    });

    let mut packing = Packing::default();
    let mut seen = Seen::over(writer.chunks());
    for hashed in hashed {
        let foreign = foreign.as_deref_mut();
        let Some(new) = deduplicate(hashed, chunk_size, foreign, &mut seen, writer, &mut packing)? else {
            continue;
        };
        let fresh = match &mut batcher {
            Some(batcher) => Fresh::from(batcher.add(new.group, &new.positions)),
            None => new,
        };
        if fresh.positions.is_empty() {
            continue;
        }
        while !storing.has_room()
            && let Some(stored) = storing.pop()
        {
            append(stored, writer, &mut packing)?;
        }
        // The stored form will take as much again.
        storing.push(2 * fresh.group.memory(), fresh);
        // Memory goes back as early as it can, and stored bytes are written while caches still have them.
        while let Some(stored) = storing.pop_ready() {
            append(stored, writer, &mut packing)?;
        }
    }
    // An input that failed leaves nothing behind that is worth storing.
    if let Some(rest) = batcher.and_then(|mut batcher| batcher.finish()).filter(|_| input_error.is_none()) {
        storing.push(2 * rest.group.memory(), Fresh::from(rest));
    }
    while let Some(stored) = storing.pop() {
        append(stored, writer, &mut packing)?;
    }
    input_error.map_or(Ok(packing), |error| Err(PackError::Input(error)))
}

/// A group and the digests of its chunks.
struct Hashed {
    group: Group,
    digests: Vec<ChunkDigest>,
}

impl Hashed {
    fn of(group: Group, digester: Digester) -> Self {
        let digests = group.chunks().map(|chunk| digester.digest(chunk)).collect();
        Self { group, digests }
    }
}

/// A group and which of its chunks are new, ascending and at least one.
struct Fresh {
    group: Group,
    positions: Vec<usize>,
    /// With batches, where all are new: of how many chunks each is a batch, 0 for a chunk by itself.
    members: Option<Vec<usize>>,
}

impl From<Units> for Fresh {
    fn from(Units { group, members }: Units) -> Self {
        Self { positions: (0..group.len()).collect(), group, members: Some(members) }
    }
}

/// Numbers every chunk of a group. `None` if none of them is new.
fn deduplicate<E, W: Write>(
    Hashed { group, digests }: Hashed,
    chunk_size: ChunkSize,
    mut foreign: Option<&mut Foreign<'_>>,
    seen: &mut Seen,
    writer: &mut BlobWriter<W>,
    packing: &mut Packing,
) -> Result<Option<Fresh>, PackError<E>> {
    let mut positions = Vec::new();
    for (position, (chunk, digest)) in group.chunks().zip(&digests).enumerate() {
        let Some(length) = u32::try_from(chunk.len()).ok().filter(|length| *length <= chunk_size.bytes())
        else {
            return Err(PackError::ChunkTooLong { length: chunk.len(), chunk_size });
        };
        packing.plain_bytes += u64::from(length);
        if let Some(number) = foreign.as_mut().and_then(|foreign| foreign.number(digest, length)) {
            packing.indexes.push(number);
            continue;
        }
        let number = match seen.find_or_add(digest, length, writer.chunks()) {
            Some(number) => number,
            None => {
                positions.push(position);
                packing.new_chunks += 1;
                packing.new_bytes += u64::from(length);
                writer.announce(*digest, chunk.len())?
            }
        };
        packing.indexes.push(number);
    }
    Ok((!positions.is_empty()).then_some(Fresh { group, positions, members: None }))
}

/// New chunks as they go into the blob, back to back.
struct Stored {
    bytes: Buffer,
    units: Vec<Unit>,
}

fn store(worker: &mut Worker, compression: Compression, fresh: Fresh) -> io::Result<Stored> {
    let Fresh { group, positions, members } = fresh;
    let unit = |position: usize, chunk: &[u8], stored| match &members {
        None => Unit::Chunk { stored, crc32: None },
        Some(members) => Units::unit(members[position], stored, || crc32c::crc32c(chunk)),
    };
    if compression == Compression::None && positions.len() == group.len() {
        let units = group.chunks().enumerate().map(|(position, chunk)| unit(position, chunk, chunk.len()));
        let units = units.collect();
        return Ok(Stored { units, bytes: group.into_buffer() });
    }
    let mut bytes = group.sibling_buffer();
    // At once what will mostly do, so that the buffer does not grow chunk by chunk.
    bytes.space(compress_bound(compression, group.bytes()));
    let mut units = Vec::with_capacity(positions.len());
    let mut positions = positions.into_iter().peekable();
    for (position, chunk) in group.chunks().enumerate() {
        if positions.next_if_eq(&position).is_none() {
            continue;
        }
        let space = bytes.space(compress_bound(compression, chunk.len()));
        let length = match worker.compress(compression, chunk, space)? {
            Some(length) => {
                bytes.commit(length);
                length
            }
            None => {
                bytes.extend(chunk);
                chunk.len()
            }
        };
        units.push(unit(position, chunk, length));
    }
    Ok(Stored { bytes, units })
}

fn append<E, W: Write>(
    stored: io::Result<Stored>,
    writer: &mut BlobWriter<W>,
    packing: &mut Packing,
) -> Result<(), PackError<E>> {
    let Stored { bytes, units } = stored.map_err(PackError::Compress)?;
    writer.store(bytes.filled(), units)?;
    packing.stored += bytes.filled().len() as u64;
    Ok(())
}
