//! Levels that look for nothing: stored blocks (0) and Huffman codes of literals (-2), and the cutting of
//! input into units that they share with level 1.

use super::block::{BlockWriter, MAX_STORED};

/// Bytes of a full unit.
pub(super) const UNIT: usize = MAX_STORED;

/// What becomes of a unit.
pub(super) trait UnitCoder {
    /// Codes a full unit, or the last before a flush or the end; never an empty one.
    fn code(&mut self, unit: &[u8], blocks: &mut BlockWriter, out: &mut Vec<u8>);
}

/// Level 0.
pub(super) struct Store;

impl UnitCoder for Store {
    fn code(&mut self, unit: &[u8], blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        blocks.stored(unit, out);
    }
}

/// Level -2.
pub(super) struct Literals;

impl UnitCoder for Literals {
    fn code(&mut self, unit: &[u8], blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        blocks.literals(unit, out);
    }
}

/// Collects input into units and has them coded.
pub(super) struct Units<C> {
    pending: Vec<u8>,
    coder: C,
}

impl<C: UnitCoder> Units<C> {
    pub(super) fn new(coder: C) -> Self {
        Self { pending: Vec::with_capacity(UNIT), coder }
    }

    pub(super) fn write(&mut self, mut plain: &[u8], blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        while !plain.is_empty() {
            // A full unit waits for the next byte, so that its block comes out when the original's does.
            if self.pending.len() == UNIT {
                self.drain(blocks, out);
            }
            let (now, later) = plain.split_at(plain.len().min(UNIT - self.pending.len()));
            self.pending.extend_from_slice(now);
            plain = later;
        }
    }

    /// Codes what has been collected.
    pub(super) fn drain(&mut self, blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            self.coder.code(&self.pending, blocks, out);
            self.pending.clear();
        }
    }

    #[cfg(test)]
    pub(super) fn coder_mut(&mut self) -> &mut C {
        &mut self.coder
    }
}
