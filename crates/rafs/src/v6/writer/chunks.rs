//! Which chunks the files of an image use, and which use of each the chunk table records.

use super::WriteError;
use crate::v6::blob;
use crate::{Chunk, ChunkRef, EntryPath, Image};

/// Marks a chunk that no file uses.
const UNUSED: u64 = u64::MAX;

/// The chunks in use. Memory: 8 bytes for each known chunk and 16 for each in use.
pub(super) struct ChunkUses<'a> {
    image: &'a Image,
    /// By blob and position in its table: place in the last file that uses the chunk.
    file_offsets: Vec<Vec<u64>>,
    /// Blob and position of the chunks in use, in order of the chunk table.
    order: Vec<(u16, usize)>,
    /// Of tarfs, by blob: the chunk used last.
    last_of_tars: Vec<Option<usize>>,
}

/// What is wrong with the chunks of a file.
pub(super) enum Problem {
    Count { size: u64, expected: u64, actual: u64 },
    Unknown { number: u64, chunk: ChunkRef },
    Length { number: u64, expected: u64, actual: u32 },
    Place { chunk: ChunkRef, offset: u64 },
}

impl Problem {
    pub(super) fn at(self, path: EntryPath) -> WriteError {
        match self {
            Self::Count { size, expected, actual } => WriteError::ChunkCount { path, size, expected, actual },
            Self::Unknown { number, chunk: ChunkRef { blob, index } } => {
                WriteError::UnknownChunk { path, number, blob, index }
            }
            Self::Length { number, expected, actual } => {
                WriteError::ChunkLength { path, number, expected, actual }
            }
            Self::Place { chunk: ChunkRef { blob, index }, offset } => {
                WriteError::ChunkPlace { path, blob, index, offset }
            }
        }
    }
}

impl<'a> ChunkUses<'a> {
    pub(super) fn new(image: &'a Image) -> Self {
        let file_offsets = image.blobs.iter().map(|blob| vec![UNUSED; blob.chunks.len()]).collect();
        let tars = if image.tarfs { image.blobs.len() } else { 0 };
        Self { image, file_offsets, order: Vec::new(), last_of_tars: vec![None; tars] }
    }

    /// Notes that a file of `size` bytes uses these chunks.
    pub(super) fn record(&mut self, size: u64, chunks: &[ChunkRef]) -> Result<(), Problem> {
        let chunk_size = self.image.chunk_size;
        let (expected, actual) = (chunk_size.chunks_of(size), chunks.len() as u64);
        if expected != actual {
            return Err(Problem::Count { size, expected, actual });
        }
        let step = u64::from(chunk_size.bytes());
        for (number, &chunk) in (0..).zip(chunks) {
            let start = number * step;
            let blob = self.image.blobs.get(usize::from(chunk.blob));
            let (position, record) = blob
                .and_then(|blob| blob.chunks.find(chunk.index))
                .ok_or(Problem::Unknown { number, chunk })?;
            let expected = step.min(size - start);
            if u64::from(record.uncompressed_size) != expected {
                return Err(Problem::Length { number, expected, actual: record.uncompressed_size });
            }
            let file_offset = &mut self.file_offsets[usize::from(chunk.blob)][position];
            if *file_offset == UNUSED {
                check_place(self.image, chunk, record)?;
                self.order.push((chunk.blob, position));
            }
            *file_offset = start;
            if let Some(last) = self.last_of_tars.get_mut(usize::from(chunk.blob)) {
                *last = Some(position);
            }
        }
        Ok(())
    }

    /// Brings the chunks into the order of the chunk table: by digest, then by blob. Chunks of tars have no digest; the
    /// reference takes all of a blob for one, and lists the one that it met last.
    pub(super) fn sort(&mut self) {
        let last = &self.last_of_tars;
        if !last.is_empty() {
            self.order.retain(|(blob, position)| last.get(usize::from(*blob)) == Some(&Some(*position)));
        }
        let blobs = &self.image.blobs;
        self.order.sort_unstable_by_key(|&(blob, position)| {
            let record = blobs[usize::from(blob)].chunks.at(position);
            (record.map(|(_, chunk)| chunk.digest), blob, position)
        });
    }

    /// Number of chunks in use.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Chunks in use in order of the chunk table, and where a file uses each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ChunkRef, &Chunk, u64)> {
        self.order.iter().filter_map(|&(blob, position)| {
            let (index, chunk) = self.image.blobs[usize::from(blob)].chunks.at(position)?;
            Some((ChunkRef { blob, index }, chunk, self.file_offsets[usize::from(blob)][position]))
        })
    }
}

/// Whether an index entry can say where the chunk lies.
fn check_place(image: &Image, at: ChunkRef, chunk: &Chunk) -> Result<(), Problem> {
    let offset = chunk.uncompressed_offset;
    let blob = image.blobs.get(usize::from(at.blob));
    match blob.is_some_and(|found| blob::has_chunk(found, at.index) && blob::holds(found, chunk)) {
        true => Ok(()),
        false => Err(Problem::Place { chunk: at, offset }),
    }
}
