//! Bytes behind the last member, long runs of zeros shortened.
//!
//! ```text
//! pieces: [ n zeros, bytes ], [ n zeros, bytes ], …     n is at least 16, but may be 0 in the first piece
//! ```
//! Within `bytes` no 16 zeros follow each other, nor do they begin or end with a zero where a run stands beside them.

/// So many zeros are a run.
pub(crate) const RUN: u64 = 16;

/// So many other bytes are kept.
pub(crate) const MAX_KEPT: usize = 64 << 10;

/// Zeros, then bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub zeros: u64,
    pub bytes: Vec<u8>,
}

/// Collects a tail.
#[derive(Debug, Default)]
pub(crate) struct TailBuilder {
    pieces: Vec<Piece>,
    /// Zeros not yet in a piece.
    zeros: u64,
    kept: usize,
}

impl TailBuilder {
    /// Whether there are more bytes than are kept; the rest is not looked at.
    pub const fn is_full(&self) -> bool {
        self.kept > MAX_KEPT
    }

    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == 0 {
                self.zeros += 1;
            } else if self.is_full() {
                return;
            } else {
                self.settle();
                self.literal(byte);
            }
        }
    }

    fn literal(&mut self, byte: u8) {
        if self.pieces.is_empty() {
            self.pieces.push(Piece::default());
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.bytes.push(byte);
        }
        self.kept += 1;
    }

    /// Puts away the zeros that wait.
    fn settle(&mut self) {
        let zeros = std::mem::take(&mut self.zeros);
        if zeros >= RUN {
            self.pieces.push(Piece { zeros, bytes: Vec::new() });
        } else {
            (0..zeros).for_each(|_| self.literal(0));
        }
    }

    /// The pieces, or `None` when there are too many bytes.
    pub fn finish(mut self) -> Option<Vec<Piece>> {
        self.settle();
        (!self.is_full()).then_some(self.pieces)
    }
}

/// Whether the builder would cut the bytes in this way, too.
pub(crate) fn is_canonical(pieces: &[Piece]) -> bool {
    let last = pieces.len().saturating_sub(1);
    let kept: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    let piece_is = |(i, piece): (usize, &Piece)| {
        let run_before = piece.zeros >= RUN;
        let longest = piece.bytes.split(|&byte| byte != 0).map(<[u8]>::len).max().unwrap_or(0) as u64;
        (run_before || piece.zeros == 0 && i == 0)
            && longest < RUN
            && (i == last || piece.bytes.last().is_some_and(|&byte| byte != 0))
            && !(run_before && piece.bytes.first() == Some(&0))
            && !(piece.zeros == 0 && piece.bytes.is_empty())
    };
    kept <= MAX_KEPT && pieces.iter().enumerate().all(piece_is)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn expand(pieces: &[Piece]) -> Vec<u8> {
        pieces
            .iter()
            .flat_map(|piece| [vec![0; piece.zeros as usize], piece.bytes.clone()].concat())
            .collect()
    }

    #[test]
    fn padding_is_short() {
        let mut tail = TailBuilder::default();
        (0..1000).for_each(|_| tail.push(&[0; 1000]));
        assert_eq!(tail.finish(), Some(vec![Piece { zeros: 1_000_000, bytes: Vec::new() }]));
    }

    #[test]
    fn too_much_is_refused() {
        let mut tail = TailBuilder::default();
        tail.push(&[1; MAX_KEPT]);
        assert!(!tail.is_full());
        tail.push(&[0, 1]);
        assert_eq!(tail.finish(), None);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(prop_oneof![4 => Just(vec![1_u8]), 2 => Just(vec![0; 15]),
            2 => Just(vec![0]), 1 => Just(vec![0; 40])], 0..40), cut in 1_usize..9) {
            let bytes = bytes.concat();
            let mut tail = TailBuilder::default();
            bytes.chunks(cut).for_each(|piece| tail.push(piece));
            let pieces = tail.finish().unwrap();
            prop_assert!(is_canonical(&pieces));
            prop_assert_eq!(expand(&pieces), bytes);
        }
    }
}
