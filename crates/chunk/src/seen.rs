//! Deduplication: the chunks of a blob by digest and length.
//!
//! Open addressing over numbers only: digests are compared where the records lie, so a unique chunk costs at most
//! 11 bytes here. Digests are already evenly spread, their first bytes serve as the hash.

use nydus_convert_rafs::{Chunk, ChunkDigest};

/// Finds records by digest and length.
#[derive(Default)]
pub(crate) struct Seen {
    /// A power of two of slots, each empty or the number of a record. Never full.
    slots: Vec<Option<Slot>>,
    used: usize,
}

/// A record's number plus one, so that an `Option` of it takes four bytes.
type Slot = std::num::NonZeroU32;

impl Seen {
    /// Of the chunks that a blob already has.
    pub(crate) fn over(records: &[Chunk]) -> Self {
        let mut seen = Self::default();
        for (number, record) in records.iter().enumerate() {
            seen.find_or_add(&record.digest, record.uncompressed_size, &records[..number]);
        }
        seen
    }

    /// The number of the first chunk of `records` with this digest and length; if there is none, remembers that
    /// it will be number `records.len()`, and the caller must append it.
    pub(crate) fn find_or_add(
        &mut self,
        digest: &ChunkDigest,
        length: u32,
        records: &[Chunk],
    ) -> Option<u32> {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow(records);
        }
        let mut at = self.home(digest);
        while let Some(slot) = self.slots[at] {
            let number = slot.get() - 1;
            let record = &records[number as usize];
            if record.digest == *digest && record.uncompressed_size == length {
                return Some(number);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = slot_of(records.len());
        self.used += 1;
        None
    }

    fn grow(&mut self, records: &[Chunk]) {
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![None; (old.len() * 2).max(16)];
        for slot in old.into_iter().flatten() {
            let mut at = self.home(&records[slot.get() as usize - 1].digest);
            while self.slots[at].is_some() {
                at = (at + 1) & (self.slots.len() - 1);
            }
            self.slots[at] = Some(slot);
        }
    }

    fn home(&self, digest: &ChunkDigest) -> usize {
        let [a, b, c, d, ..] = digest.0;
        u32::from_le_bytes([a, b, c, d]) as usize & (self.slots.len() - 1)
    }
}

/// Numbers stay below 2²⁴: the writer refuses more chunks.
fn slot_of(number: usize) -> Option<Slot> {
    u32::try_from(number).ok().and_then(|number| Slot::MIN.checked_add(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(digest: u64, length: u32) -> Chunk {
        let mut bytes = [0; 32];
        bytes[4..12].copy_from_slice(&digest.to_le_bytes());
        Chunk { digest: ChunkDigest(bytes), uncompressed_size: length, ..Chunk::default() }
    }

    /// All digests share the hash: growth and probing get everything right even then.
    #[test]
    fn finds_what_was_added() {
        let mut seen = Seen::default();
        let mut records = Vec::new();
        for number in 0..300 {
            let new = record(number / 2, 10 + number as u32 % 2);
            assert_eq!(seen.find_or_add(&new.digest, new.uncompressed_size, &records), None);
            records.push(new);
        }
        for mut seen in [Seen::over(&records), seen] {
            for (number, known) in (0..).zip(&records) {
                assert_eq!(seen.find_or_add(&known.digest, known.uncompressed_size, &records), Some(number));
            }
        }
    }

    #[test]
    fn the_first_of_equal_records_is_found() {
        let records = [record(1, 5), record(2, 5), record(1, 5), record(1, 6)];
        let mut seen = Seen::over(&records);
        assert_eq!(seen.find_or_add(&records[2].digest, 5, &records), Some(0));
        assert_eq!(seen.find_or_add(&records[3].digest, 6, &records), Some(3));
    }

    #[test]
    fn a_slot_takes_four_bytes() {
        assert_eq!(size_of::<Option<Slot>>(), 4);
    }
}
