//! Work that recognising may take, in plain bytes given to encoders: what is found depends on the stream, not on the
//! machine.
//!
//! The members of the first class are tried in any case. A stream can have members of many classes, each of which looks
//! like all encoders for as long as it likes; they share what is left here.

use std::cell::Cell;

/// What the further classes of a stream have together, however short it is.
const BASE: u64 = 16 << 20;
/// What each plain byte of a sample adds.
const PER_BYTE: u64 = 8;
/// What making an encoder counts as.
const ENCODER: u64 = 512;

/// Work that is left.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<u64>,
}

impl Budget {
    /// For the first class.
    pub const fn unlimited() -> Self {
        Self { left: Cell::new(u64::MAX) }
    }

    /// For the further ones.
    pub const fn limited() -> Self {
        Self { left: Cell::new(BASE) }
    }

    /// So much.
    #[cfg(test)]
    pub const fn of(left: u64) -> Self {
        Self { left: Cell::new(left) }
    }

    /// Adds what a sample of so many plain bytes earns.
    pub fn earn(&self, plain_bytes: usize) {
        self.left.set(self.left.get().saturating_add(PER_BYTE * plain_bytes as u64));
    }

    /// Takes an encoder.
    pub fn encoder(&self) {
        self.take(ENCODER);
    }

    /// Takes so many bytes to encode. With the last ones, nothing is left.
    pub fn bytes(&self, count: usize) {
        self.take(count as u64);
    }

    fn take(&self, work: u64) {
        self.left.set(self.left.get().saturating_sub(work));
    }

    /// Takes all.
    pub fn spend(&self) {
        self.left.set(0);
    }

    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        self.left.get() == 0
    }
}
