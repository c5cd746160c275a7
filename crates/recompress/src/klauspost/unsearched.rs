//! The two levels that look for no matches: stored blocks, and literals under prefix codes.

use super::blocks::{Blocks, STORED_MAX};

/// Collects input and hands it over window by window.
#[derive(Debug)]
pub(super) struct Unsearched {
    window: Vec<u8>,
    capacity: usize,
    coded: bool,
}

impl Unsearched {
    /// Level 0.
    pub(super) fn stored() -> Self {
        Self { window: Vec::with_capacity(STORED_MAX), capacity: STORED_MAX, coded: false }
    }

    /// Level -2.
    pub(super) fn huffman() -> Self {
        Self { window: Vec::with_capacity(32768), capacity: 32768, coded: true }
    }

    pub(super) fn write(&mut self, mut plain: &[u8], blocks: &mut Blocks, out: &mut Vec<u8>) {
        while !plain.is_empty() {
            // A full window waits for the byte after it: it may be the last, and closed by a sync.
            if self.window.len() == self.capacity {
                self.step(false, blocks, out);
            }
            let (now, later) = plain.split_at(plain.len().min(self.capacity - self.window.len()));
            self.window.extend_from_slice(now);
            plain = later;
        }
    }

    pub(super) fn sync(&mut self, blocks: &mut Blocks, out: &mut Vec<u8>) {
        if !self.window.is_empty() {
            self.step(true, blocks, out);
        }
    }

    fn step(&mut self, sync: bool, blocks: &mut Blocks, out: &mut Vec<u8>) {
        if self.coded {
            blocks.literals(&self.window, sync, out);
        } else {
            blocks.stored(&self.window, out);
        }
        self.window.clear();
    }
}
