//! What the tree of a layer may weigh: little in any case, and more in proportion to what was read.
//!
//! Two bytes of a tar can be a directory, and a kilobyte of gzip a megabyte of attributes. What real layers hold weighs
//! less than their tars, and less than thirty times what is stored of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that a tree may weigh for each byte of the plain tar.
const PER_PLAIN: u64 = 2;
/// Bytes that a tree may weigh for each stored byte.
const PER_STORED: u64 = 32;

/// Bytes that the trees of all layers of a run may weigh beyond what their layers' sizes allow.
#[derive(Debug, Clone)]
pub struct Spare(Arc<AtomicU64>);

impl Spare {
    /// So many.
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// Takes so many of them, if there are as many.
    fn take(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// What the tree of one layer may weigh.
#[derive(Debug, Clone)]
pub struct Allowance {
    spare: Spare,
    stored: Stored,
    /// What was taken of the spare bytes.
    taken: u64,
}

/// Stored bytes of a layer.
#[derive(Debug, Clone)]
pub enum Stored {
    /// Those that were read, ahead of the tar by some buffers.
    Read(Arc<AtomicU64>),
    /// As many as the plain ones.
    Plain,
}

impl Allowance {
    /// Of a layer.
    pub fn new(spare: Spare, stored: Stored) -> Self {
        Self { spare, stored, taken: 0 }
    }

    /// Whether a tree may weigh so much when so many bytes of the tar were read.
    pub fn grants(&mut self, weight: u64, plain: u64) -> bool {
        let stored = match &self.stored {
            Stored::Read(bytes) => bytes.load(Ordering::Relaxed),
            Stored::Plain => plain,
        };
        let earned = plain.saturating_mul(PER_PLAIN).min(stored.saturating_mul(PER_STORED));
        let more = weight.saturating_sub(earned).saturating_sub(self.taken);
        let is_granted = self.spare.take(more);
        self.taken += if is_granted { more } else { 0 };
        is_granted
    }
}

/// Says of a growing tree when to look what it weighs, and whether it may.
#[derive(Debug, Clone)]
pub struct Meter {
    allowance: Allowance,
    /// Weight at which to look again.
    next: usize,
}

impl Meter {
    /// Trees below this weight are not looked at.
    const FLOOR: usize = 16 << 20;

    /// For one layer.
    pub fn new(allowance: Allowance) -> Self {
        Self { allowance, next: Self::FLOOR }
    }

    /// Whether the tree has grown enough to be swept.
    pub fn is_due(&self, weight: usize) -> bool {
        weight >= self.next
    }

    /// Whether the tree, swept, may weigh so much when so many bytes of the tar were read.
    pub fn grants(&mut self, weight: usize, plain: u64) -> bool {
        // A quarter more at a time: sweeping costs less than growing.
        self.next = Self::FLOOR.max(weight.saturating_add(weight / 4));
        self.allowance.grants(weight as u64, plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_share_what_is_beyond_their_sizes() {
        let spare = Spare::new(1000);
        let ten = Arc::new(AtomicU64::new(10));
        let mut one = Allowance::new(spare.clone(), Stored::Read(ten));
        let mut two = Allowance::new(spare.clone(), Stored::Plain);
        // 2 bytes for a plain one, but no more than 32 for a stored one.
        assert!(one.grants(200, 100) && one.grants(320, 1_000_000));
        assert!(one.grants(920, 1_000_000) && one.grants(920, 1_000_000) && !one.grants(1321, 1_000_000));
        assert!(two.grants(200, 100) && two.grants(600, 100) && !two.grants(601, 100));
        let read = Arc::new(AtomicU64::new(1));
        let mut three = Allowance::new(spare, Stored::Read(Arc::clone(&read)));
        assert!(three.grants(32, 1000) && !three.grants(33, 1000));
        read.store(2, Ordering::Relaxed);
        assert!(three.grants(33, 1000));
    }
}
