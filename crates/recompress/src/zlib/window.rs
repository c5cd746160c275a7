//! The last bytes seen and the ones to come, and where each three bytes stood before.
//!
//! ```text
//! 0                     32768                   65536      +264
//! ├── history ───────────┼── history, look-ahead ─┼── slack ─┤
//!                ◄─ slide moves the upper half down
//!
//! head[hash of 3 bytes] ─► newest offset ─ previous[offset % 32768] ─► older ─► .. ─► 0 = none
//! ```
//!
//! Because 0 means none, whatever stands at offset 0 is never found. The slack lets comparisons run on behind
//! the end.

use super::params::Tuning;

/// How far a slide moves everything; also the number of chain links.
pub(super) const HALF: usize = 32768;
/// Bytes the window holds.
pub(super) const SIZE: usize = 2 * HALF;
/// With less than this to come, no full match and the start of the next one can be seen.
pub(super) const LOOKAHEAD: usize = LONGEST + SHORTEST + 1;
/// The farthest match.
pub(super) const FARTHEST: usize = HALF - LOOKAHEAD;
/// The shortest match.
pub(super) const SHORTEST: usize = 3;
/// The longest match.
const LONGEST: usize = 258;
const SLACK: usize = 264;

/// Bytes, hash heads and chains.
pub(super) struct Window {
    bytes: Box<[u8; SIZE + SLACK]>,
    head: Box<[u16; 1 << 16]>,
    previous: Box<[u16; HALF]>,
    shift: u32,
    mask: u32,
}

/// What a search may find.
pub(super) struct Limits {
    /// A match has to be longer than this, at least 2.
    pub beat: usize,
    /// Candidates to look at, at least 1.
    pub tries: usize,
    /// A match of this length ends the search.
    pub enough: usize,
}

impl Limits {
    pub fn new(tuning: &Tuning, in_hand: usize) -> Self {
        let tries = if in_hand >= tuning.good { tuning.chain / 4 } else { tuning.chain };
        Self { beat: in_hand, tries, enough: tuning.nice }
    }
}

impl Window {
    /// An empty window (all zeros) with hash values of `hash_bits`, 8 to 16.
    pub fn new(hash_bits: u32) -> Self {
        Self {
            bytes: Box::new([0; SIZE + SLACK]),
            head: Box::new([0; 1 << 16]),
            previous: Box::new([0; HALF]),
            shift: hash_bits.div_ceil(3),
            mask: (1 << hash_bits) - 1,
        }
    }

    /// The bytes at `range`.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Option<&[u8]> {
        self.bytes.get(range)
    }

    #[inline(always)]
    pub fn byte(&self, at: usize) -> u8 {
        self.bytes[at % SIZE]
    }

    /// Puts as much of `plain` as there is room for behind offset `at`, and says how much that was.
    pub fn append(&mut self, at: usize, plain: &[u8]) -> usize {
        let count = plain.len().min(SIZE.saturating_sub(at));
        self.bytes[at..at + count].copy_from_slice(&plain[..count]);
        count
    }

    /// Moves the upper half down. What stood below is lost; the upper half keeps a stale copy.
    pub fn slide(&mut self) {
        self.bytes.copy_within(HALF..SIZE, 0);
        for link in self.head.iter_mut().chain(self.previous.iter_mut()) {
            *link = link.saturating_sub(HALF as u16);
        }
    }

    /// Forgets where anything stood.
    pub fn forget(&mut self) {
        self.head.fill(0);
    }

    #[inline(always)]
    fn load(&self, at: usize) -> u32 {
        let at = at % SIZE;
        u32::from_le_bytes([self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]])
    }

    /// Notes that three bytes stand at `at`; gives the offset where bytes of the same hash stood last, or 0.
    #[inline(always)]
    pub fn insert(&mut self, at: usize) -> usize {
        let [a, b, c, _] = self.load(at).to_le_bytes().map(u32::from);
        let hash = (a << (2 * self.shift) ^ b << self.shift ^ c) & self.mask;
        let head = &mut self.head[hash as usize % (1 << 16)];
        let newest = std::mem::replace(head, at as u16);
        self.previous[at % HALF] = newest;
        newest.into()
    }

    /// Looks along the chain from `first` for a match for the bytes at `at`: (its length, its offset).
    ///
    /// The first candidate may be [`FARTHEST`] away, the others only nearer. The bytes compared may lie
    /// behind the end of the input; cutting the length down is the caller's affair.
    #[inline(always)]
    pub fn search(&self, at: usize, first: usize, limits: &Limits) -> Option<(usize, usize)> {
        let lowest = at.saturating_sub(FARTHEST);
        let (mut best, mut tries) = (limits.beat, limits.tries);
        let (mut candidate, mut found) = (first, None);
        // A longer match needs equal bytes up to `best`; asking for the last four of them refuses most
        // candidates. The byte before the first of three is not part of the match.
        let mut mask = if best == 2 { 0xffff_ff00 } else { u32::MAX };
        let mut tail = self.load(at + best - 3);
        loop {
            if (self.load(candidate + best - 3) ^ tail) & mask == 0 {
                let len = self.common(candidate, at);
                if len > best {
                    best = len;
                    found = Some((len, candidate));
                    if len >= limits.enough {
                        return found;
                    }
                    mask = u32::MAX;
                    tail = self.load(at + best - 3);
                }
            }
            candidate = self.previous[candidate % HALF].into();
            tries -= 1;
            if candidate <= lowest || tries == 0 {
                return found;
            }
        }
    }

    /// How many bytes at `a` and `b` are equal, at most [`LONGEST`].
    #[inline(always)]
    fn common(&self, a: usize, b: usize) -> usize {
        let (a, b) = (a % SIZE, b % SIZE);
        let (a, b) = (&self.bytes[a..a + LONGEST], &self.bytes[b..b + LONGEST]);
        let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
        for (i, (&a, &b)) in a_words.iter().zip(b_words).enumerate() {
            let differ = u64::from_le_bytes(a) ^ u64::from_le_bytes(b);
            if differ != 0 {
                return 8 * i + differ.trailing_zeros() as usize / 8;
            }
        }
        let rest = a_rest.iter().zip(b_rest).take_while(|(a, b)| a == b).count();
        8 * a_words.len() + rest
    }
}
