//! Small files together: what is compressed as one, when batches are asked for.
//!
//! ```text
//!   new chunks    a (small)  b (small)  C  d (small)  e (small) …
//!   units        [a b]                 [C] [d e …]
//! ```
//! A chunk is small if it is all of a file and shorter than half a batch. A batch ends before a chunk that is not small,
//! and before it would reach its size: the reference builder's rule. It depends on the chunks alone, not on the groups
//! they travel in.

use nydus_convert_rafs::limits;

use crate::Group;
use crate::blob::Unit;
use crate::store::StoredForm;

/// Gathers chunks into batches.
pub(crate) struct Batcher {
    size: usize,
    pending: Vec<u8>,
    members: usize,
    /// A group to take empty ones from.
    last: Option<Group>,
}

/// A group whose chunks are units: for each the number of chunks it is a batch of, or 0.
pub(crate) struct Units {
    pub(crate) group: Group,
    pub(crate) members: Vec<usize>,
    /// For each what it was stored as before; never for batches.
    pub(crate) forms: Vec<Option<StoredForm>>,
}

impl Units {
    /// None yet; their memory is from the shelf of a group's own.
    fn new(like: &Group) -> Self {
        Self { group: Group::new(like.sibling_buffer()), members: Vec::new(), forms: Vec::new() }
    }

    /// What a stored unit is; the checksums are of the plain and of the stored bytes.
    pub(crate) fn unit(members: usize, plain: &[u8], stored: &[u8]) -> Unit {
        match (members, stored.len()) {
            // Stored lengths of chunks beside batches have 24 bits, those of batches have 32.
            (0, stored) if stored == limits::MAX_CHUNK_SIZE as usize => Unit::Batch { members: 1, stored },
            (0, length) => Unit::Chunk {
                stored: length,
                crc32: Some(crc32c::crc32c(plain)),
                check: crc32c::crc32c(stored),
            },
            (members, stored) => Unit::Batch { members, stored },
        }
    }
}

impl Batcher {
    /// For batches of less than `size` bytes.
    pub(crate) fn new(size: u32) -> Self {
        Self { size: size as usize, pending: Vec::new(), members: 0, last: None }
    }

    /// Takes the new chunks of a group, and what they were stored as before, if anything is known of that; gives what can
    /// be compressed.
    pub(crate) fn add(
        &mut self,
        group: Group,
        positions: &[usize],
        mut forms: Vec<Option<StoredForm>>,
    ) -> Units {
        let mut units = Units::new(&group);
        forms.resize(positions.len(), None);
        let mut forms = forms.into_iter();
        let mut positions = positions.iter().copied().peekable();
        for (position, (chunk, is_file)) in group.chunks().zip(group.is_file()).enumerate() {
            if positions.next_if_eq(&position).is_none() {
                continue;
            }
            let form = forms.next().flatten();
            if is_file && chunk.len() < self.size / 2 {
                if self.pending.len() + chunk.len() >= self.size {
                    self.flush(&mut units);
                }
                self.pending.extend_from_slice(chunk);
                self.members += 1;
            } else {
                self.flush(&mut units);
                units.group.push(chunk);
                units.members.push(0);
                units.forms.push(form);
            }
        }
        self.last = Some(group);
        units
    }

    /// What is left.
    pub(crate) fn finish(&mut self) -> Option<Units> {
        let mut units = Units::new(&self.last.take()?);
        self.flush(&mut units);
        Some(units)
    }

    fn flush(&mut self, units: &mut Units) {
        if self.members > 0 {
            units.group.push(&self.pending);
            units.members.push(std::mem::take(&mut self.members));
            units.forms.push(None);
            self.pending.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Buffers;

    /// Chunks by length and whether they are files; the members of the units that come of them.
    fn units(size: u32, groups: &[&[(usize, bool)]]) -> Vec<(usize, usize)> {
        let buffers = Buffers::new(0);
        let mut batcher = Batcher::new(size);
        let mut all = Vec::new();
        let mut take = |units: Units| {
            all.extend(units.members.into_iter().zip(units.group.chunks().map(<[u8]>::len)));
        };
        for chunks in groups {
            let mut group = buffers.group();
            for (length, is_file) in *chunks {
                group.push(&vec![7; *length]);
                if *is_file {
                    group.mark_file();
                }
            }
            let positions: Vec<usize> = (0..group.len()).collect();
            take(batcher.add(group, &positions, Vec::new()));
        }
        batcher.finish().into_iter().for_each(&mut take);
        all
    }

    #[test]
    fn the_rule() {
        let (small, large) = ((1000, true), (2048, true));
        assert_eq!(units(4096, &[&[small; 3]]), [(3, 3000)]);
        assert_eq!(units(4096, &[&[small; 5]]), [(4, 4000), (1, 1000)]);
        // Half a batch is not small, and neither is a part of a file.
        assert_eq!(units(4096, &[&[small, large, small]]), [(1, 1000), (0, 2048), (1, 1000)]);
        assert_eq!(units(4096, &[&[(2047, true), (2047, true), (2, true)]]), [(2, 4094), (1, 2)]);
        assert_eq!(units(4096, &[&[small, (1000, false), small]]), [(1, 1000), (0, 1000), (1, 1000)]);
        assert_eq!(units(4096, &[]), []);
    }

    #[test]
    fn groups_do_not_show() {
        let chunks: Vec<(usize, bool)> = (1..60).map(|n| (n * 97 % 3000, n % 7 != 0)).collect();
        let whole = units(8192, &[&chunks]);
        for step in [1, 2, 5, 17] {
            assert_eq!(units(8192, &chunks.chunks(step).collect::<Vec<_>>()), whole);
        }
    }

    #[test]
    fn what_a_stored_unit_is() {
        let full = limits::MAX_CHUNK_SIZE as usize;
        let (plain, stored) = (b"plain bytes", b"stored");
        assert_eq!(Units::unit(0, plain, &vec![0; full]), Unit::Batch { members: 1, stored: full });
        let (crc32, check) = (Some(crc32c::crc32c(plain)), crc32c::crc32c(stored));
        assert_eq!(Units::unit(0, plain, stored), Unit::Chunk { stored: 6, crc32, check });
        assert_eq!(Units::unit(3, plain, stored), Unit::Batch { members: 3, stored: 6 });
    }
}
