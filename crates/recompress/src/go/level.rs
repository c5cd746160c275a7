//! Levels, and what each stands for.

use super::chain::{Effort, Mode};

/// A compression level that exists: -2 (Huffman codes only), 0 (stored), or 1 to 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(i8);

/// A number that is no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compression level {level} is not one of -2, -1, 0 to 9")]
pub struct LevelOutOfRange {
    /// What was asked for.
    pub level: i8,
}

/// What a level does.
pub(super) enum Method {
    Store,
    Literals,
    Fast,
    Chain(Effort),
}

impl Level {
    /// Level -2: Huffman codes of literals, no matches.
    pub const HUFFMAN_ONLY: Self = Self(-2);
    /// Level 1, the fastest, which is another encoder than the rest.
    pub const FASTEST: Self = Self(1);
    /// Level 6, which Go takes for -1, "default".
    pub const DEFAULT: Self = Self(6);
    /// Level 9, the smallest output.
    pub const BEST: Self = Self(9);
    /// All levels, in ascending order.
    pub const ALL: [Self; 11] =
        [Self(-2), Self(0), Self(1), Self(2), Self(3), Self(4), Self(5), Self(6), Self(7), Self(8), Self(9)];

    /// The level as Go numbers it: -2, or 0 to 9.
    pub const fn get(self) -> i8 {
        self.0
    }

    /// The byte with which Go's gzip writer tells of this level in the header (XFL): 2 for the best, 4 for
    /// the fastest, else 0.
    pub const fn xfl(self) -> u8 {
        match self.0 {
            9 => 2,
            1 => 4,
            _ => 0,
        }
    }

    pub(super) fn method(self) -> Method {
        let greedy =
            |insert, nice, chain| Method::Chain(Effort { mode: Mode::Greedy { insert }, nice, chain });
        let lazy = |lazy, nice, chain| Method::Chain(Effort { mode: Mode::Lazy { lazy }, nice, chain });
        match self.0 {
            ..0 => Method::Literals,
            0 => Method::Store,
            1 => Method::Fast,
            2 => greedy(5, 16, 8),
            3 => greedy(6, 32, 32),
            4 => lazy(4, 16, 16),
            5 => lazy(16, 32, 32),
            6 => lazy(16, 128, 128),
            7 => lazy(32, 128, 256),
            8 => lazy(128, 258, 1024),
            9.. => lazy(258, 258, 4096),
        }
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<i8> for Level {
    type Error = LevelOutOfRange;

    /// Takes the numbers that Go takes; -1 gives [`Level::DEFAULT`].
    fn try_from(level: i8) -> Result<Self, LevelOutOfRange> {
        match level {
            -1 => Ok(Self::DEFAULT),
            -2 | 0..=9 => Ok(Self(level)),
            _ => Err(LevelOutOfRange { level }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_levels_that_exist_can_be_made() {
        let made: Vec<Level> =
            (i8::MIN..=i8::MAX).filter(|&n| n != -1).filter_map(|n| n.try_into().ok()).collect();
        assert_eq!(made, Level::ALL);
        assert_eq!(Level::try_from(-1), Ok(Level::DEFAULT));
        assert_eq!(Level::try_from(10), Err(LevelOutOfRange { level: 10 }));
    }
}
