//! Where the original's caller cut the stream into writes.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::ops::Bound;

/// Positions in the plain stream at which one write of the original's caller ended and the next began.
///
/// The real encoder's levels 2 to 9 have a corner in which this changes a few matches: a cut can make the
/// 64 KiB window move 262 bytes too early. Only cuts at positions `k` with `k mod 32768` in 32506..=32767 can do
/// that, and hardly ever do. So the default, [`Cuts::Harmless`], is right for one single write and for all
/// writes of a multiple of 512 bytes: `io.Copy` and friends with their 32 KiB, buffered files, tar blocks.
///
/// When an encoding without cuts differs from the original first near position `k` with `k mod 32768` about
/// 32506, the cut worth trying is `k | 32767`. All other levels do not care.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cuts {
    /// None that matters.
    #[default]
    Harmless,
    /// After every so many bytes, counted from the start of the stream.
    Every(NonZeroU64),
    /// At these positions, in bytes from the start of the stream.
    At(BTreeSet<u64>),
}

impl Cuts {
    /// How many bytes fit between `position` and the next cut after it.
    pub(super) fn room(&self, position: u64) -> usize {
        let room = match self {
            Self::Harmless => None,
            Self::Every(size) => Some(size.get() - position % size.get()),
            Self::At(positions) => {
                let next = positions.range((Bound::Excluded(position), Bound::Unbounded)).next();
                next.map(|cut| cut - position)
            }
        };
        room.and_then(|room| usize::try_from(room).ok()).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn room_reaches_to_the_next_cut() {
        assert_eq!(Cuts::default().room(7), usize::MAX);
        let every = Cuts::Every(NonZeroU64::new(100).unwrap());
        assert_eq!([0, 1, 99, 100, 250].map(|position| every.room(position)), [100, 99, 1, 100, 50]);
        let at = Cuts::At([30, 0, 10].into());
        assert_eq!([0, 9, 10, 29, 30].map(|position| at.room(position)), [10, 1, 20, 1, usize::MAX]);
    }
}
