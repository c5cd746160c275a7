//! What the user of an encoder chooses: types that cannot hold a value outside the original's range.

use thiserror::Error;

/// A parameter that the original does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{name} {value} is not in {min}..={max}")]
pub struct OutOfRange {
    /// What was asked for.
    pub name: &'static str,
    /// The value given.
    pub value: u64,
    /// The smallest value possible.
    pub min: u64,
    /// The largest value possible.
    pub max: u64,
}

fn within(name: &'static str, value: u64, min: u64, max: u64) -> Result<(), OutOfRange> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(OutOfRange { name, value, min, max }) }
}

/// A compression level, 1 (fast) to 9 (small).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// Level 6, what every program of the family takes when it is not told.
    pub const DEFAULT: Self = Self(6);

    /// The level `level`.
    ///
    /// # Errors
    /// [`OutOfRange`] unless it is 1 to 9.
    pub fn new(level: u8) -> Result<Self, OutOfRange> {
        within("level", level.into(), 1, 9).map(|()| Self(level))
    }

    /// The number, 1 to 9.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// How much work this level puts into a match; the same table in all programs of the family.
    pub(super) const fn tuning(self) -> Tuning {
        let (good, lazy, nice, chain) = match self.0 {
            1 => (4, 4, 8, 4),
            2 => (4, 5, 16, 8),
            3 => (4, 6, 32, 32),
            4 => (4, 4, 16, 16),
            5 => (8, 16, 32, 32),
            6 => (8, 16, 128, 128),
            7 => (8, 32, 128, 256),
            8 => (32, 128, 258, 1024),
            _ => (32, 258, 258, 4096),
        };
        Tuning { greedy: self.0 <= 3, good, lazy, nice, chain }
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How hard to look for matches. All lengths in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuning {
    /// Take the first match found, instead of looking whether the next position has a longer one.
    pub greedy: bool,
    /// With a match of this length in hand, look at a quarter of the chain only.
    pub good: usize,
    /// Lazy: with a match of this length in hand, look no further. Greedy: the longest match whose inside is
    /// indexed.
    pub lazy: usize,
    /// A match of this length ends the search.
    pub nice: usize,
    /// Candidates looked at.
    pub chain: usize,
}

/// zlib's memory level, 1 to 9: decides the hash size and the number of tokens in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemLevel(u8);

impl MemLevel {
    /// 8, what zlib takes when it is not told.
    pub const DEFAULT: Self = Self(8);

    /// The memory level `mem_level`.
    ///
    /// # Errors
    /// [`OutOfRange`] unless it is 1 to 9.
    pub fn new(mem_level: u8) -> Result<Self, OutOfRange> {
        within("memory level", mem_level.into(), 1, 9).map(|()| Self(mem_level))
    }

    /// The number, 1 to 9.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Bits of a hash value, 8 to 16.
    pub(super) const fn hash_bits(self) -> u32 {
        self.0 as u32 + 7
    }

    /// Tokens in a full block, 127 to 32767.
    pub(super) const fn block_tokens(self) -> usize {
        (1 << (self.0 + 6)) - 1
    }
}

impl Default for MemLevel {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The parameters of [`Zlib`](super::Zlib), as its callers give them to `deflateInit2`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Params {
    /// The level, 1 to 9.
    pub level: Level,
    /// `memLevel`, 1 to 9: the room for symbols of a block.
    pub mem_level: MemLevel,
}

/// The piece that pigz compresses on its own (`-b`), in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitSize(usize);

impl UnitSize {
    /// 128 KiB, what pigz takes when it is not told.
    pub const DEFAULT: Self = Self(128 << 10);

    /// A unit of `bytes`. pigz can only be told whole KiB, but nothing here needs that.
    ///
    /// # Errors
    /// [`OutOfRange`] below 32768 bytes: pigz refuses units that are shorter than the window.
    pub fn new(bytes: usize) -> Result<Self, OutOfRange> {
        within("unit size", bytes as u64, 32768, usize::MAX as u64).map(|()| Self(bytes))
    }

    /// The size in bytes.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Default for UnitSize {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges() {
        for n in 0..=u8::MAX {
            assert_eq!(Level::new(n).is_ok(), (1..=9).contains(&n));
            assert_eq!(MemLevel::new(n).is_ok(), (1..=9).contains(&n));
        }
        assert!(UnitSize::new(32767).is_err());
        assert_eq!(UnitSize::new(32768).unwrap().get(), 32768);
        let error = Level::new(10).unwrap_err();
        assert_eq!(error.to_string(), "level 10 is not in 1..=9");
    }

    #[test]
    fn memory_level_eight() {
        assert_eq!(MemLevel::DEFAULT.hash_bits(), 15);
        assert_eq!(MemLevel::DEFAULT.block_tokens(), 16383);
    }
}
