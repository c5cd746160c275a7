//! What the output depends on beside the bytes: release, level, machine.

use super::estimate::Rounding;

/// A span of releases that write the same bytes at every level.
///
/// It is the release that a tool was *built* with that counts. Levels 1, 2, 3, 5 and 6 are the same in all of `A`;
/// level 4 is the same up to `A2`. `B2`, `B3` and `Go` are the same at levels 1 to 6; at levels 7 to 9 `B3` differs
/// from `B2` only where there is a dictionary (so in pgzip), and `Go` from `B3` only at level 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Epoch {
    /// v1.15.11 to v1.15.14 (from September 2022).
    A1,
    /// v1.15.15 to v1.17.11 (January 2023 to October 2024).
    A2,
    /// v1.18.0 (February to September 2025).
    A3,
    /// v1.18.1 alone (October and November 2025).
    B1,
    /// v1.18.2 to v1.19.2 (from December 2025).
    B2,
    /// v1.20.0 and later.
    B3,
    /// Go's standard library, Go 1.27 and later.
    Go,
}

impl Epoch {
    /// All of them, oldest first.
    pub const ALL: [Self; 7] = [Self::A1, Self::A2, Self::A3, Self::B1, Self::B2, Self::B3, Self::Go];

    /// What "default compression" (-1) means: level 5, in Go's standard library 6.
    pub const fn default_level(self) -> Level {
        if matches!(self, Self::Go) { Level::L6 } else { Level::L5 }
    }

    /// Whether a block that stays open sends both tables whole, however many lengths at their ends are zero.
    pub(super) fn sends_whole_tables(self) -> bool {
        self <= Self::A3
    }

    /// Whether a block that stays open counts the end of block that it will owe.
    pub(super) fn counts_owed_end(self) -> bool {
        self >= Self::B2
    }
}

/// A compression level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// -2: prefix codes, no matches.
    HuffmanOnly,
    /// 0: stored blocks.
    Stored,
    /// 1
    L1,
    /// 2
    L2,
    /// 3
    L3,
    /// 4
    L4,
    /// 5
    L5,
    /// 6
    L6,
    /// 7
    L7,
    /// 8
    L8,
    /// 9
    L9,
}

impl Level {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::HuffmanOnly,
        Self::Stored,
        Self::L1,
        Self::L2,
        Self::L3,
        Self::L4,
        Self::L5,
        Self::L6,
        Self::L7,
        Self::L8,
        Self::L9,
    ];

    /// The number that the Go packages know the level by: -2, 0, 1 ..= 9.
    pub const fn number(self) -> i8 {
        match self {
            Self::HuffmanOnly => -2,
            Self::Stored => 0,
            Self::L1 => 1,
            Self::L2 => 2,
            Self::L3 => 3,
            Self::L4 => 4,
            Self::L5 => 5,
            Self::L6 => 6,
            Self::L7 => 7,
            Self::L8 => 8,
            Self::L9 => 9,
        }
    }
}

/// There is no such level: only -2, 0 and 1 to 9 exist (for -1 see [`Epoch::default_level`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no compression level {number}")]
pub struct LevelError {
    /// The number that was given.
    pub number: i8,
}

impl TryFrom<i8> for Level {
    type Error = LevelError;

    fn try_from(number: i8) -> Result<Self, LevelError> {
        Self::ALL.into_iter().find(|level| level.number() == number).ok_or(LevelError { number })
    }
}

/// Everything besides the plain bytes and the flushes that the output depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The releases whose output is wanted.
    pub epoch: Epoch,
    /// The level, as the package numbers it.
    pub level: Level,
    /// The machine; [`Rounding::Plain`] unless a stream cannot be had otherwise.
    pub rounding: Rounding,
}

impl Settings {
    /// These settings on the usual machine.
    pub const fn new(epoch: Epoch, level: Level) -> Self {
        Self { epoch, level, rounding: Rounding::Plain }
    }
}
