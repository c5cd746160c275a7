//! The road of plain bytes into a blob.
//!
//! ```text
//!   groups ──► hash ───────────► deduplicate ──► compress what is new ──► append
//!              parallel, ordered serial          parallel, ordered        serial
//! ```
//! Of equal chunks (same digest, same length) the first in the stream is stored, unless another blob has it. The bytes of
//! the blob depend on the chunks and the options alone, not on threads, window, how chunks are spread over groups, or on
//! whether a chunk is compressed or copied as it was stored before.

use std::io::{self, Write};
use std::sync::Arc;

use nydus_convert_rafs::{ChunkDigest, ChunkSize, Digester};

use crate::batcher::{Batcher, Units};
use crate::blob::Unit;
use crate::buffer::Buffer;
use crate::ordered::{Pipe, Pool};
use crate::seen::Seen;
use crate::store::{Forms, StoreError, StoredForm};
use crate::worker::compress_bound;
use crate::{BlobOptions, BlobWriter, Candidates, Compression, Foreign, Group, PackError, Packing, Worker};

/// The form of a blob, and the memory for making it.
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

/// What other blobs have.
#[derive(Default)]
pub struct Others<'a, 'b> {
    /// Chunks that are not stored, because the image refers to those of other blobs.
    pub foreign: Option<&'a mut Foreign<'b>>,
    /// Chunks that were stored before, in the form that compressing them would give.
    pub forms: Option<Arc<Forms>>,
    /// Gathers chunks that `forms` has, to be decided on at the end.
    pub candidates: Option<&'a mut Candidates>,
}

impl Others<'_, '_> {
    /// The number of a chunk that is not stored, or not yet.
    fn number(&mut self, digest: &ChunkDigest, length: u32, form: Option<&StoredForm>) -> Option<u32> {
        let foreign = self.foreign.as_mut().and_then(|foreign| foreign.number(digest, length));
        foreign.or_else(|| self.candidates.as_mut()?.number(digest, length, form))
    }
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
    pack_with(pool, options, groups, writer, Others::default())
}

/// The same, with what other blobs have.
pub fn pack_with<E, W: Write>(
    pool: &Pool,
    options: &PackOptions,
    groups: impl Iterator<Item = Result<Group, E>>,
    writer: &mut BlobWriter<W>,
    others: Others<'_, '_>,
) -> Result<Packing, PackError<E>> {
    let result = run(pool, options, groups, writer, others);
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
    mut others: Others<'_, '_>,
) -> Result<Packing, PackError<E>> {
    writer.check()?;
    let &PackOptions { blob, chunk_size, window_bytes } = options;
    let BlobOptions { compressor, digester, batch_size, .. } = blob;
    let mut batcher = (batch_size > 0).then(|| Batcher::new(batch_size));
    let mut input_error = None;
    let groups = groups.map_while(|group| group.map_err(|error| input_error = Some(error)).ok());
    let (forms, refers) = (others.forms.take(), others.candidates.is_some());
    let known = forms.clone();
    let hashed = pool.map_by_cost(groups, window_bytes / 4, Group::memory, move |worker, group| {
        Hashed::of(worker, group, digester, known.as_deref().map(|forms| (forms, refers)))
    });
    let mut storing = Pipe::new(pool, window_bytes / 4 * 3, move |worker: &mut Worker, fresh| {
        store(worker, compressor, fresh, forms.as_deref())
    });

    let mut packing = Packing::default();
    let mut seen = Seen::over(writer.chunks());
    for hashed in hashed {
        let Some(new) = deduplicate(hashed?, chunk_size, &mut others, &mut seen, writer, &mut packing)?
        else {
            continue;
        };
        let fresh = match &mut batcher {
            Some(batcher) => Fresh::from(batcher.add(new.group, &new.positions, new.forms)),
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

/// A group, the digests of its chunks, and what they were stored as before: one for each, or none at all.
struct Hashed {
    group: Group,
    digests: Vec<ChunkDigest>,
    forms: Vec<Option<StoredForm>>,
}

impl Hashed {
    fn of(
        worker: &mut Worker,
        group: Group,
        digester: Digester,
        known: Option<(&Forms, bool)>,
    ) -> Result<Self, StoreError> {
        let digests: Vec<ChunkDigest> = group.chunks().map(|chunk| digester.digest(chunk)).collect();
        let Some((forms, refers)) = known else { return Ok(Self { group, digests, forms: Vec::new() }) };
        let lengths = group.chunks().map(|chunk| u32::try_from(chunk.len()).unwrap_or(u32::MAX));
        let wanted: Vec<_> = digests.iter().copied().zip(lengths).collect();
        let mut found = forms.find(&wanted)?;
        if refers {
            found.iter_mut().for_each(|form| keep_sound(form, forms, &mut worker.stored));
        }
        Ok(Self { group, digests, forms: found })
    }
}

/// What an image shall refer to is read before: later there are no plain bytes any more to make it of.
fn keep_sound(form: &mut Option<StoredForm>, forms: &Forms, scratch: &mut Vec<u8>) {
    let Some(found) = form else { return };
    scratch.resize(found.length(), 0);
    if !found.read(scratch) {
        forms.damaged(found.blob_id());
        *form = None;
    }
}

/// A group and which of its chunks are new, ascending and at least one.
struct Fresh {
    group: Group,
    positions: Vec<usize>,
    /// For each of these what it was stored as before; empty if nothing is known of any.
    forms: Vec<Option<StoredForm>>,
    /// With batches, where all are new: of how many chunks each is a batch, 0 for a chunk by itself.
    members: Option<Vec<usize>>,
}

impl From<Units> for Fresh {
    fn from(Units { group, members, forms }: Units) -> Self {
        Self { positions: (0..group.len()).collect(), group, members: Some(members), forms }
    }
}

/// Numbers every chunk of a group. `None` if none of them is new.
fn deduplicate<E, W: Write>(
    Hashed { group, digests, mut forms }: Hashed,
    chunk_size: ChunkSize,
    others: &mut Others<'_, '_>,
    seen: &mut Seen,
    writer: &mut BlobWriter<W>,
    packing: &mut Packing,
) -> Result<Option<Fresh>, PackError<E>> {
    let (mut positions, mut new_forms) = (Vec::new(), Vec::new());
    forms.resize(if forms.is_empty() { 0 } else { group.len() }, None);
    let mut forms = forms.into_iter();
    for (position, (chunk, digest)) in group.chunks().zip(&digests).enumerate() {
        let form = forms.next();
        let Some(length) = u32::try_from(chunk.len()).ok().filter(|length| *length <= chunk_size.bytes())
        else {
            return Err(PackError::ChunkTooLong { length: chunk.len(), chunk_size });
        };
        packing.plain_bytes += u64::from(length);
        if let Some(number) = others.number(digest, length, form.as_ref().and_then(Option::as_ref)) {
            packing.indexes.push(number);
            continue;
        }
        let number = match seen.find_or_add(digest, length, writer.chunks()) {
            Some(number) => number,
            None => {
                positions.push(position);
                new_forms.extend(form);
                packing.new_chunks += 1;
                packing.new_bytes += u64::from(length);
                writer.announce(*digest, chunk.len())?
            }
        };
        packing.indexes.push(number);
    }
    Ok((!positions.is_empty()).then_some(Fresh { group, positions, forms: new_forms, members: None }))
}

/// New chunks as they go into the blob, back to back.
struct Stored {
    bytes: Buffer,
    units: Vec<Unit>,
    /// How many of them were not compressed, but copied.
    copied: u64,
}

fn store(
    worker: &mut Worker,
    compression: Compression,
    fresh: Fresh,
    known: Option<&Forms>,
) -> io::Result<Stored> {
    let Fresh { group, positions, forms, members } = fresh;
    let unit = |nth: usize, plain: &[u8], stored: &[u8]| match &members {
        None => Unit::Chunk { stored: stored.len(), crc32: None, check: crc32c::crc32c(stored) },
        Some(members) => Units::unit(members[nth], plain, stored),
    };
    if compression == Compression::None && positions.len() == group.len() {
        let units = group.chunks().enumerate().map(|(nth, chunk)| unit(nth, chunk, chunk));
        let units = units.collect();
        return Ok(Stored { units, bytes: group.into_buffer(), copied: 0 });
    }
    let mut bytes = group.sibling_buffer();
    // At once what will mostly do, so that the buffer does not grow chunk by chunk.
    bytes.space(compress_bound(compression, group.bytes()));
    let mut units = Vec::with_capacity(positions.len());
    let mut copied = 0;
    let mut positions = positions.into_iter().enumerate().peekable();
    for (position, chunk) in group.chunks().enumerate() {
        let Some((nth, _)) = positions.next_if(|(_, wanted)| *wanted == position) else { continue };
        let start = bytes.filled().len();
        match forms.get(nth).and_then(Option::as_ref).zip(known) {
            Some((form, known)) if copy(form, known, chunk, &mut bytes) => copied += 1,
            _ => compress(worker, compression, chunk, &mut bytes)?,
        }
        units.push(unit(nth, chunk, &bytes.filled()[start..]));
    }
    Ok(Stored { bytes, units, copied })
}

/// Appends a chunk as it was stored before, if that is still there.
fn copy(form: &StoredForm, known: &Forms, chunk: &[u8], bytes: &mut Buffer) -> bool {
    if form.is_raw() {
        bytes.extend(chunk);
        return true;
    }
    let is_sound = form.read(bytes.space(form.length()));
    if is_sound {
        bytes.commit(form.length());
    } else {
        known.damaged(form.blob_id());
    }
    is_sound
}

fn compress(
    worker: &mut Worker,
    compression: Compression,
    chunk: &[u8],
    bytes: &mut Buffer,
) -> io::Result<()> {
    let space = bytes.space(compress_bound(compression, chunk.len()));
    match worker.compress(compression, chunk, space)? {
        Some(length) => bytes.commit(length),
        None => bytes.extend(chunk),
    }
    Ok(())
}

fn append<E, W: Write>(
    stored: io::Result<Stored>,
    writer: &mut BlobWriter<W>,
    packing: &mut Packing,
) -> Result<(), PackError<E>> {
    let Stored { bytes, units, copied } = stored.map_err(PackError::Compress)?;
    writer.store(bytes.filled(), units)?;
    packing.copied_chunks += copied;
    packing.stored += bytes.filled().len() as u64;
    Ok(())
}
