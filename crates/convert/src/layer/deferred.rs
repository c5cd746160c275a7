//! Chunks that are to lie behind others, kept in a temporary file while the layer is read.
//!
//! ```text
//!   chunks of the layer   A b c D e F g            A, D, F: of files to fetch first
//!   packed at once        A D F                    b, c, e, g: plain, in the file
//!   packed at the end     A D F │ e │ b c g        e: of a file that turned out to have a name to fetch first
//! ```
//! Which blob that gives is a matter of the layer and the patterns alone. A chunk that lies in front already is not
//! stored again behind.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::iter::Peekable;
use std::ops::Range;
use std::path::PathBuf;

use nydus_convert_chunk::{Buffers, Group, Packing};

use super::failure::LayerFailure;

/// Bytes written or read at once.
const BUFFER: usize = 256 << 10;

/// Chunks put aside; see the module's description.
#[derive(Debug)]
pub struct Deferred {
    dir: Option<PathBuf>,
    /// Made when it is first needed.
    file: Option<BufWriter<File>>,
    chunks: Vec<Kept>,
    scratch: Vec<u8>,
}

/// One chunk in the file, behind the one before.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// Which chunk of the layer it is.
    position: u64,
    /// In bytes.
    length: u32,
    /// Whether it is all of a file.
    is_file: bool,
}

impl Deferred {
    /// Nothing yet. The file has no name; it is made in `dir`, or where the system has such files.
    pub const fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, file: None, chunks: Vec::new(), scratch: Vec::new() }
    }

    /// Puts a chunk aside, which is number `position` of the layer.
    pub fn push(&mut self, position: u64, chunk: &[u8]) -> Result<(), LayerFailure> {
        // A chunk has at most 16 MiB.
        let length = chunk.len() as u32;
        self.write(chunk).map_err(LayerFailure::Aside)?;
        self.chunks.push(Kept { position, length, is_file: false });
        Ok(())
    }

    /// Says that the chunk put aside last is all of a file; see [`Group::mark_file`].
    pub fn mark_file(&mut self) {
        if let Some(last) = self.chunks.last_mut() {
            last.is_file = true;
        }
    }

    /// Puts a chunk aside that `fill` makes, as [`Group::fill`] does.
    pub fn fill<E: Into<LayerFailure>>(
        &mut self,
        position: u64,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, LayerFailure> {
        let mut scratch = std::mem::take(&mut self.scratch);
        if scratch.len() < length {
            scratch.resize(length, 0);
        }
        let filled = fill(&mut scratch[..length]).map_err(Into::into)?.min(length);
        if filled > 0 {
            self.push(position, &scratch[..filled])?;
        }
        self.scratch = scratch;
        Ok(filled)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = match &self.dir {
                    Some(dir) => tempfile::tempfile_in(dir)?,
                    None => tempfile::tempfile()?,
                };
                none.insert(BufWriter::with_capacity(BUFFER, file))
            }
        };
        file.write_all(bytes)
    }

    /// Packs all chunks put aside, and first those within `early`, which are ascending. `front` is what was packed
    /// before; the result has the numbers of all chunks in the layer's order.
    pub fn pack(
        self,
        buffers: &Buffers,
        early: &[Range<u64>],
        mut front: Packing,
        mut pack: impl FnMut(
            &mut dyn Iterator<Item = Result<Group, LayerFailure>>,
        ) -> Result<Packing, LayerFailure>,
    ) -> Result<Packing, LayerFailure> {
        let Some(file) = self.file else { return Ok(front) };
        let file = file.into_inner().map_err(|error| LayerFailure::Aside(error.into_error()))?;
        let mut file = BufReader::with_capacity(BUFFER, file);
        let mut behind = vec![0; self.chunks.len()];
        for is_early in [true, false] {
            file.rewind().map_err(LayerFailure::Aside)?;
            let mut taken = Vec::new();
            let numbered = self.chunks.iter().enumerate();
            let wanted = numbered.map(|(nth, kept)| {
                let is_wanted = is_within(early, kept.position) == is_early;
                if is_wanted {
                    taken.push(nth);
                }
                (*kept, is_wanted)
            });
            let packing = pack(&mut Reading { file: &mut file, chunks: wanted.peekable(), buffers })?;
            for (nth, number) in taken.into_iter().zip(&packing.indexes) {
                behind[nth] = *number;
            }
            front.plain_bytes += packing.plain_bytes;
            front.new_chunks += packing.new_chunks;
            front.new_bytes += packing.new_bytes;
            front.stored += packing.stored;
            front.copied_chunks += packing.copied_chunks;
        }
        front.indexes = weave(front.indexes, self.chunks.iter().map(|kept| kept.position).zip(behind));
        Ok(front)
    }
}

/// Whether a number is within one of some ascending ranges.
fn is_within(ranges: &[Range<u64>], number: u64) -> bool {
    let after = ranges.partition_point(|range| range.start <= number);
    after.checked_sub(1).is_some_and(|at| ranges[at].contains(&number))
}

/// The numbers of chunks in the layer's order: those put aside in their positions, `front` around them.
fn weave(front: Vec<u32>, deferred: impl ExactSizeIterator<Item = (u64, u32)>) -> Vec<u32> {
    let mut all = Vec::with_capacity(front.len() + deferred.len());
    let mut front = front.into_iter();
    for (position, number) in deferred {
        // Both count the chunks of one layer, so that none is missing in between.
        all.extend(front.by_ref().take(position as usize - all.len()));
        all.push(number);
    }
    all.extend(front);
    all
}

/// Reads chunks back in groups.
struct Reading<'a, I: Iterator> {
    file: &'a mut BufReader<File>,
    /// Every chunk in the file, and whether it is wanted.
    chunks: Peekable<I>,
    buffers: &'a Buffers,
}

impl<I: Iterator<Item = (Kept, bool)>> Reading<'_, I> {
    fn group(&mut self) -> io::Result<Option<Group>> {
        let mut group = self.buffers.group();
        let fits =
            |group: &Group, (kept, is_wanted): &(Kept, bool)| !is_wanted || group.fits(kept.length as usize);
        while let Some((kept, is_wanted)) = self.chunks.next_if(|chunk| fits(&group, chunk)) {
            if !is_wanted {
                self.file.seek_relative(kept.length.into())?;
                continue;
            }
            group.read_chunk(&mut self.file, kept.length as usize)?;
            if kept.is_file {
                group.mark_file();
            }
        }
        Ok((!group.is_empty()).then_some(group))
    }
}

impl<I: Iterator<Item = (Kept, bool)>> Iterator for Reading<'_, I> {
    type Item = Result<Group, LayerFailure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.group().map_err(LayerFailure::Aside).transpose()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Stands in for packing: a chunk's number is its first byte.
    fn numbers(groups: &mut dyn Iterator<Item = Result<Group, LayerFailure>>) -> Vec<u32> {
        let groups: Vec<Group> = groups.map(Result::unwrap).collect();
        groups
            .iter()
            .flat_map(|group| group.chunks().map(|chunk| chunk[0].into()).collect::<Vec<u32>>())
            .collect()
    }

    #[test]
    fn early_ones_come_first_and_all_get_their_numbers() {
        let buffers = Buffers::new(1 << 20);
        // Chunks 0, 3 and 8 of nine are in front; some of the others are long, so that there are several groups.
        let mut deferred = Deferred::new(None);
        for position in [1, 2, 4, 5, 6, 7] {
            let chunk = vec![position as u8; if position % 2 == 0 { 200_000 } else { 10 }];
            match position {
                2 => assert_eq!(
                    deferred
                        .fill(2, chunk.len(), |space| {
                            space.copy_from_slice(&chunk);
                            Ok::<_, LayerFailure>(chunk.len())
                        })
                        .unwrap(),
                    200_000
                ),
                _ => deferred.push(position, &chunk).unwrap(),
            }
        }
        let front = Packing { indexes: vec![100, 103, 108], new_chunks: 3, ..Packing::default() };
        let mut order = Vec::new();
        let packing = deferred
            .pack(&buffers, &[2..3, 5..7], front, |groups| {
                let indexes = numbers(groups);
                order.push(indexes.clone());
                Ok(Packing { new_chunks: 1, indexes, ..Packing::default() })
            })
            .unwrap();
        assert_eq!(order, [vec![2, 5, 6], vec![1, 4, 7]]);
        assert_eq!(packing.indexes, [100, 1, 2, 103, 4, 5, 6, 7, 108]);
        assert_eq!(packing.new_chunks, 5);
    }

    #[test]
    fn nothing_put_aside_changes_nothing() {
        let front = Packing { indexes: vec![3, 1], plain_bytes: 7, ..Packing::default() };
        let mut deferred = Deferred::new(None);
        assert_eq!(deferred.fill(2, 5, |_| Ok::<_, LayerFailure>(0)).unwrap(), 0);
        let packing = deferred.pack(&Buffers::new(0), &[], front.clone(), |_| unreachable!()).unwrap();
        assert_eq!(packing, front);
    }

    #[test]
    fn a_directory_that_is_not_there() {
        let mut deferred = Deferred::new(Some(PathBuf::from("/nowhere/at/all")));
        assert!(matches!(deferred.push(0, b"x"), Err(LayerFailure::Aside(_))));
    }
}
