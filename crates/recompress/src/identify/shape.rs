//! What the blocks of sampled members tell about their encoder. Nothing here decides; it leaves out what cannot be and
//! orders the rest.

use crate::inflate::{Block, Kind, Scanner};
use crate::recipe::{Flushes, Inside, MAX_END};

/// More flushes than this in a sample are no habit of anybody.
const MAX_MARKERS: usize = 1 << 16;

/// An empty stored block that is not the last: a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    /// Plain bytes of the member before it.
    pub plain: u64,
    /// Where it ends, in bytes of the deflate stream.
    pub end: usize,
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A value that is the same everywhere, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Common {
    #[default]
    None,
    All(u64),
    Mixed,
}

impl Common {
    fn add(&mut self, value: u64) {
        *self = match *self {
            Self::None => Self::All(value),
            Self::All(known) if known == value => Self::All(known),
            _ => Self::Mixed,
        };
    }

    fn absorb(&mut self, other: Self) {
        match other {
            Self::None => {}
            Self::All(value) => self.add(value),
            Self::Mixed => *self = Self::Mixed,
        }
    }

    /// Whether nothing but `value` was seen.
    pub fn may_be(self, value: u64) -> bool {
        matches!(self, Self::None) || self == Self::All(value)
    }
}

/// The traits of one member or several. A *full* block is one that data follows: it ended because the encoder thought
/// that it was long enough.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Full blocks that are not stored: what is stored looks alike from all encoders.
    pub full_blocks: u64,
    /// Tokens of full blocks that are not stored.
    pub full_tokens: Common,
    /// All of them are multiples of 4096, or 32767: GNU gzip.
    pub full_gnu: bool,
    /// Plain bytes of full blocks.
    pub full_plain: Common,
    /// Plain bytes of stored blocks with another block behind them.
    pub stored_plain: Common,
    pub only_stored: bool,
    pub any_fixed: bool,
    pub matches: bool,
    pub most_tokens: u64,
    pub shortest: u16,
    pub farthest: u16,
    pub farthest_3: u16,
    pub farthest_4: u16,
    /// A table is shorter than it can be at most, though the block stayed open: not klauspost before 1.18.1.
    pub trimmed: bool,
    /// A table ends with zeros: only klauspost before 1.18.1.
    pub untrimmed: bool,
    /// The greatest common divisor of all offsets of empty blocks that do not end the stream, 0 without any: the unit
    /// of pigz, or a multiple of it, where nothing else made such blocks.
    pub fillers: u64,
    /// A block ends at 128 KiB.
    pub ends_at_unit: bool,
    pub markers: Vec<Marker>,
    /// Nobody's encoder: too many markers, or not readable.
    pub odd: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            full_blocks: 0,
            full_tokens: Common::None,
            full_gnu: true,
            full_plain: Common::None,
            stored_plain: Common::None,
            only_stored: true,
            any_fixed: false,
            matches: false,
            most_tokens: 0,
            shortest: u16::MAX,
            farthest: 0,
            farthest_3: 0,
            farthest_4: 0,
            trimmed: false,
            untrimmed: false,
            fillers: 0,
            ends_at_unit: false,
            markers: Vec::new(),
            odd: false,
        }
    }
}

impl Shape {
    /// The shape of a member's deflate bytes.
    ///
    /// `until` is where the sample ends in the plain bytes of a member that goes on behind it. Only blocks that end
    /// before that are looked at, since they were surely seen in whole.
    pub fn of(deflate: &[u8], until: Option<u64>) -> Self {
        let (mut shape, mut scanner, mut before) = (Self::default(), Scanner::new(deflate), None);
        loop {
            match scanner.next_block() {
                Ok(Some(block)) if until.is_none_or(|until| block.plain_end() < until) => {
                    if let Some(before) = before {
                        shape.pair(&before, &block);
                    }
                    shape.block(&block);
                    before = Some(block);
                    if shape.odd {
                        return shape;
                    }
                }
                Ok(_) => return shape,
                Err(_) => {
                    // An open sample may stop anywhere, a whole member may not.
                    shape.odd = until.is_none();
                    return shape;
                }
            }
        }
    }

    fn block(&mut self, block: &Block) {
        if block.plain_len == 0 {
            if block.last {
                return;
            }
            self.fillers = gcd(self.fillers, block.plain_start);
            if block.kind == Kind::Stored {
                let end = (block.end_bit / 8) as usize;
                self.markers.push(Marker { plain: block.plain_start, end });
                self.odd |= self.markers.len() > MAX_MARKERS;
            }
            return;
        }
        self.only_stored &= block.kind == Kind::Stored;
        self.any_fixed |= block.kind == Kind::Fixed;
        self.matches |= block.matches > 0;
        self.most_tokens = self.most_tokens.max(block.tokens);
        self.shortest = self.shortest.min(block.shortest);
        self.farthest = self.farthest.max(block.farthest);
        self.farthest_3 = self.farthest_3.max(block.farthest_3);
        self.farthest_4 = self.farthest_4.max(block.farthest_4);
        self.untrimmed |= block.untrimmed;
        self.ends_at_unit |= block.plain_end().is_multiple_of(128 << 10);
    }

    /// `block` is followed by `next`.
    fn pair(&mut self, block: &Block, next: &Block) {
        if block.kind == Kind::Stored && block.plain_len > 0 {
            self.stored_plain.add(block.plain_len);
        }
        // pigz ends blocks at whole KiB, wherever the tokens stand.
        let full = block.plain_len > 0 && next.plain_len > 0 && !block.plain_end().is_multiple_of(1024);
        if !full {
            return;
        }
        self.full_plain.add(block.plain_len);
        if block.kind != Kind::Stored {
            self.full_blocks += 1;
            self.full_tokens.add(block.tokens);
            self.full_gnu &= block.tokens.is_multiple_of(4096) || block.tokens == 32767;
        }
        if block.kind == Kind::Dynamic && block.matches > 0 {
            self.trimmed |= block.literals_sent < 286 || block.distances_sent < 30;
        }
    }

    /// Takes in the traits of another member; markers stay with their members.
    pub fn absorb(&mut self, other: &Self) {
        self.full_blocks += other.full_blocks;
        self.full_tokens.absorb(other.full_tokens);
        self.full_gnu &= other.full_gnu;
        self.full_plain.absorb(other.full_plain);
        self.stored_plain.absorb(other.stored_plain);
        self.only_stored &= other.only_stored;
        self.any_fixed |= other.any_fixed;
        self.matches |= other.matches;
        self.most_tokens = self.most_tokens.max(other.most_tokens);
        self.shortest = self.shortest.min(other.shortest);
        self.farthest = self.farthest.max(other.farthest);
        self.farthest_3 = self.farthest_3.max(other.farthest_3);
        self.farthest_4 = self.farthest_4.max(other.farthest_4);
        self.trimmed |= other.trimmed;
        self.untrimmed |= other.untrimmed;
        self.fillers = gcd(self.fillers, other.fillers);
        self.ends_at_unit |= other.ends_at_unit;
        self.odd |= other.odd;
    }

    /// The flushes that the markers stand for, in a member (or the start of one) of this many plain bytes.
    pub fn flushes(&self, plain_len: u64) -> Flushes {
        let inside: Vec<u64> =
            self.markers.iter().map(|marker| marker.plain).filter(|&at| at < plain_len).collect();
        let end = (self.markers.len() - inside.len()).min(usize::from(MAX_END)) as u8;
        Flushes { inside: if inside.is_empty() { Inside::None } else { Inside::At(inside) }, end }
    }
}
