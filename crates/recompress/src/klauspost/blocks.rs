//! The block writer: decides, for each piece of input that a level hands over, between a stored block, the fixed
//! codes, new tables, and going on under the tables of the block before.
//!
//! A dynamic block is left *open*: its end-of-block symbol is owed and paid only when something else must follow.
//! Until then more data may be appended to it under the same tables.

use super::bits::Bits;
use super::estimate::{self, Rounding};
use super::header::Header;
use super::huffman::{Code, Word};
use super::settings::{Epoch, Settings};
use super::symbols::{self, DISTANCES, END, FIXED_DISTANCE_BITS, FIXED_LITERALS, LITERALS};
use super::tokens::{Token, Tokens};

/// The most bytes that one stored block can hold.
pub(super) const STORED_MAX: usize = 65535;

/// From this many tokens on the fixed codes are not considered.
const FIXED_BELOW: usize = 250;

/// From this many bytes on literals are tested for being noise.
const NOISE_ABOVE: usize = 1024;

/// What a table of literals is taken to cost when none is open, in bits.
const LITERAL_TABLE_BITS: u32 = 70 * 8;

/// The dynamic block whose end is still owed.
#[derive(Debug, Clone, Copy)]
struct Open {
    header_bits: u32,
    /// Made for literals alone: its table says nothing of lengths and distances.
    literal_only: bool,
}

/// Writes deflate blocks; keeps the tables of the last one.
#[derive(Debug)]
pub(super) struct Blocks {
    epoch: Epoch,
    rounding: Rounding,
    /// New tables must win by one part in 2^penalty.
    penalty: u32,
    bits: Bits,
    literals: Code<LITERALS>,
    distances: Code<DISTANCES>,
    open: Option<Open>,
}

impl Blocks {
    pub(super) fn new(settings: Settings, penalty: u32) -> Self {
        Self {
            epoch: settings.epoch,
            rounding: settings.rounding,
            penalty,
            bits: Bits::default(),
            literals: Code::default(),
            distances: Code::default(),
            open: None,
        }
    }

    /// Writes the end-of-block symbol that is owed, if any.
    fn pay(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            self.put(self.literals.word(END), out);
        }
    }

    #[inline(always)]
    fn put(&mut self, word: Word, out: &mut Vec<u8>) {
        self.bits.put(word.bits(), word.len(), out);
    }

    /// A stored block of at most [`STORED_MAX`] bytes; an empty one is the sync marker.
    pub(super) fn stored(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        self.pay(out);
        self.bits.put(0, 3, out);
        self.bits.align(out);
        let n = raw.len() as u16;
        out.extend_from_slice(&n.to_le_bytes());
        out.extend_from_slice(&(!n).to_le_bytes());
        out.extend_from_slice(raw);
    }

    /// The end of the stream: an empty final block under the fixed codes.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        self.pay(out);
        self.bits.put(3, 10, out);
        self.bits.align(out);
    }

    /// A block of literals alone. `sync` closes it with an end of block of its own.
    pub(super) fn literals(&mut self, raw: &[u8], sync: bool, out: &mut Vec<u8>) {
        let mut freqs = [0u16; LITERALS];
        for &byte in raw {
            freqs[usize::from(byte)] += 1;
        }
        if raw.len() > NOISE_ABOVE && is_noise(&freqs, raw.len()) {
            return self.stored(raw, out);
        }
        let in_open = self.open.map(|_| self.literals.covers(&freqs).then(|| self.literals.cost(&freqs)));
        freqs[END] = 1;
        let code = Code::build(&freqs, 15);
        let mut own = code.cost(&freqs) + self.open.map_or(LITERAL_TABLE_BITS, |open| open.header_bits);
        own += own >> self.penalty;
        if stored_bits(raw) <= own {
            return self.stored(raw, out);
        }
        if in_open.is_some_and(|cost| cost.is_none_or(|cost| own < cost)) {
            self.pay(out);
        }
        if self.open.is_none() {
            let header = Header::new(&code.words()[..END + 1], &[Word::new(0, 1)]);
            self.literals = code;
            header.write(&mut self.bits, out);
            self.open = Some(Open { header_bits: header.bits(), literal_only: true });
        }
        for &byte in raw {
            self.put(self.literals.word(usize::from(byte)), out);
        }
        if sync {
            self.pay(out);
        }
    }

    /// A block of tokens. `raw` is what they stand for, where it is still known; `sync` closes the block with an
    /// end of block of its own (which is appended to the tokens).
    pub(super) fn tokens(&mut self, tokens: &mut Tokens, raw: Option<&[u8]>, sync: bool, out: &mut Vec<u8>) {
        if sync {
            tokens.end();
        }
        let useless = self.open.is_some_and(|open| {
            open.literal_only
                || !self.literals.covers(tokens.literal_freqs())
                || !self.distances.covers(tokens.distance_freqs())
        });
        if useless {
            self.pay(out);
        }
        let plan = Plan::new(self.epoch, tokens, raw, sync, self.open.is_some());
        if let Some(open) = self.open {
            match self.reuse(open, &plan, tokens) {
                Choice::Stored(raw) => return self.stored(raw, out),
                Choice::Fixed => return self.fixed(tokens, sync, out),
                Choice::NewTables => self.pay(out),
                Choice::OpenTables => return self.append(tokens, sync, out),
            }
        }
        self.renew(plan, tokens, sync, out);
    }

    /// What to do while a table is open.
    fn reuse<'a>(&self, open: Open, plan: &Plan<'a>, tokens: &Tokens) -> Choice<'a> {
        let mut new = open.header_bits + estimate::bits(tokens, self.rounding);
        new += self.literals.word(END).len() + (new >> self.penalty);
        let reuse = self.literals.cost(&plan.literals) + self.distances.cost(&plan.distances) + plan.extra;
        let size = new.min(reuse);
        let stored = plan.stored.filter(|raw| stored_bits(raw) <= size);
        // Seven bits for the end of block that is owed, whatever its real length.
        let fixed = tokens.len() < FIXED_BELOW && plan.fixed_bits() + 7 < size;
        match (stored, fixed) {
            (Some(raw), _) => Choice::Stored(raw),
            (None, true) => Choice::Fixed,
            (None, false) if new < reuse => Choice::NewTables,
            (None, false) => Choice::OpenTables,
        }
    }

    /// Makes new tables, and writes the tokens in the cheapest way.
    fn renew(&mut self, mut plan: Plan, tokens: &Tokens, sync: bool, out: &mut Vec<u8>) {
        plan.literals[END] = 1;
        self.literals = Code::build(&plan.literals, 15);
        self.distances = Code::build(&plan.distances, 15);
        let header = Header::new(
            &self.literals.words()[..plan.literal_count],
            &self.distances.words()[..plan.distance_count],
        );
        let own = header.bits()
            + self.literals.cost(&plan.literals)
            + self.distances.cost(&plan.distances)
            + plan.extra;
        let fixed = Some(plan.fixed_bits()).filter(|&bits| tokens.len() < FIXED_BELOW && bits <= own);
        let best = fixed.unwrap_or(own);
        if let Some(raw) = plan.stored.filter(|raw| stored_bits(raw) <= best) {
            return self.stored(raw, out);
        }
        if fixed.is_some() {
            return self.fixed(tokens, sync, out);
        }
        header.write(&mut self.bits, out);
        self.open = Some(Open { header_bits: header.bits(), literal_only: false });
        self.append(tokens, sync, out);
    }

    /// A block under the fixed codes; it is never left open.
    fn fixed(&mut self, tokens: &Tokens, sync: bool, out: &mut Vec<u8>) {
        self.pay(out);
        self.bits.put(2, 3, out);
        let distances = std::array::from_fn(|symbol| Word::new((symbol as u16).reverse_bits() >> 11, 5));
        write_tokens(tokens.list(), &FIXED_LITERALS, &distances, &mut self.bits, out);
        if !sync {
            self.put(FIXED_LITERALS[END], out);
        }
    }

    /// Goes on in the open block; the tokens of a sync bring the end of block with them.
    fn append(&mut self, tokens: &Tokens, sync: bool, out: &mut Vec<u8>) {
        write_tokens(tokens.list(), self.literals.words(), self.distances.words(), &mut self.bits, out);
        if sync {
            self.open = None;
        }
    }
}

/// How a token block goes on when a table is open.
enum Choice<'a> {
    Stored(&'a [u8]),
    Fixed,
    NewTables,
    OpenTables,
}

/// A token block's frequencies as this epoch counts them.
struct Plan<'a> {
    literals: [u16; LITERALS],
    distances: [u16; DISTANCES],
    /// Literal and distance lengths that a header of its own would send.
    literal_count: usize,
    distance_count: usize,
    /// The raw bytes, where a stored block could hold them.
    stored: Option<&'a [u8]>,
    /// Extra bits of lengths and distances, where anybody asks for them.
    extra: u32,
}

impl<'a> Plan<'a> {
    fn new(epoch: Epoch, tokens: &Tokens, raw: Option<&'a [u8]>, sync: bool, open: bool) -> Self {
        let mut literals = *tokens.literal_freqs();
        let mut distances = *tokens.distance_freqs();
        let (literal_count, distance_count) = if !sync && epoch.sends_whole_tables() {
            (LITERALS, DISTANCES)
        } else {
            if epoch.counts_owed_end() {
                literals[END] = 1;
            }
            let distance_count = trimmed(&distances);
            if distance_count == 0 {
                distances[0] = 1;
            }
            // The end of block has a code in any case, so a table is never shorter than this. (The one release
            // that does not count it here writes a broken stream instead; nobody can want that back.)
            (trimmed(&literals).max(END + 1), distance_count.max(1))
        };
        let stored = raw.filter(|raw| raw.len() <= STORED_MAX);
        let extra = if stored.is_some() || open { estimate::extra_bits(tokens) } else { 0 };
        Self { literals, distances, literal_count, distance_count, stored, extra }
    }

    /// Size under the fixed codes.
    fn fixed_bits(&self) -> u32 {
        let literals: u32 =
            self.literals.iter().zip(&FIXED_LITERALS).map(|(&freq, word)| u32::from(freq) * word.len()).sum();
        let distances: u32 = self.distances.iter().map(|&freq| u32::from(freq) * FIXED_DISTANCE_BITS).sum();
        3 + self.extra + literals + distances
    }
}

/// Number of frequencies without the zeros at the end.
fn trimmed(freqs: &[u16]) -> usize {
    freqs.iter().rposition(|&freq| freq > 0).map_or(0, |last| last + 1)
}

/// What a stored block is taken to cost.
fn stored_bits(raw: &[u8]) -> u32 {
    8 * (raw.len() as u32 + 5)
}

/// Whether the bytes are spread so evenly that no code can help: the squared deviations from the mean sum to less
/// than twice the number of bytes. Everything is scaled by 256 to stay in integers.
fn is_noise(freqs: &[u16; LITERALS], n: usize) -> bool {
    let n = n as i64;
    let sum: i64 = freqs[..END].iter().map(|&freq| (256 * i64::from(freq) - n).pow(2)).sum();
    sum < 2 * n * 65536
}

/// Writes tokens under two codes.
fn write_tokens(
    tokens: &[Token],
    literals: &[Word; LITERALS],
    distances: &[Word; DISTANCES],
    bits: &mut Bits,
    out: &mut Vec<u8>,
) {
    out.reserve(tokens.len());
    for &token in tokens {
        if let Some(symbol) = token.literal() {
            let word = literals[symbol];
            bits.put(word.bits(), word.len(), out);
            continue;
        }
        let symbol = symbols::length_symbol(token.length_less3());
        let (extra, count) = symbols::length_extra(token.length_less3(), symbol);
        let word = literals[END + 1 + symbol];
        bits.put(word.bits() | extra << word.len(), word.len() + count, out);
        let symbol = token.distance_symbol();
        let (extra, count) = symbols::distance_extra(token.distance_less1(), symbol);
        let word = distances[symbol];
        bits.put(word.bits() | extra << word.len(), word.len() + count, out);
    }
}
