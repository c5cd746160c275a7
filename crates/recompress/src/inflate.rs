//! A deflate stream read for its shape, not for its bytes: block after block, what each one consists of.
//!
//! ```text
//!  ┌ 3 bits ┐
//!  last, kind │ stored:  padding, length, bytes
//!             │ fixed:   tokens, end of block
//!             │ dynamic: tables, tokens, end of block          token = literal | (length, distance)
//! ```
//!
//! [`Scanner`] counts tokens and looks at lengths and distances; it keeps no window and makes no plain bytes, so a
//! stream costs a few KiB of memory whatever it says. Any bytes may be given: what is no deflate stream is an error,
//! a stream that stops early too, after all the blocks before the place.

use std::io::{self, BufRead, ErrorKind};

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The bytes end inside the stream.
    #[error("the deflate stream ends early")]
    Truncated,
    /// No decoder would take this.
    #[error("not a deflate stream: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// The reader failed.
    #[error("reading the deflate stream")]
    Read(#[from] io::Error),
}

const fn malformed(what: &'static str) -> ScanError {
    ScanError::Malformed { what }
}

/// How a block is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Plain bytes as they are.
    Stored,
    /// With the codes that every decoder knows.
    Fixed,
    /// With codes of its own.
    Dynamic,
}

/// A block of a deflate stream: its place, and what its symbols show of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// How it is written.
    pub(crate) kind: Kind,
    /// Whether the stream ends behind it.
    pub(crate) last: bool,
    /// Where its three header bits begin, in bits from the start of the stream.
    pub start_bit: u64,
    /// Where the next block begins.
    pub end_bit: u64,
    /// Plain bytes of the stream before it.
    pub plain_start: u64,
    /// Plain bytes that it stands for.
    pub(crate) plain_len: u64,
    /// Literals and matches; 0 in a stored block.
    pub(crate) tokens: u64,
    /// Matches among them.
    pub(crate) matches: u64,
    /// The length of its shortest match, `u16::MAX` without any.
    pub(crate) shortest: u16,
    /// The largest distance of any match, 0 without any.
    pub(crate) farthest: u16,
    /// The largest distance of a match of length 3.
    pub(crate) farthest_3: u16,
    /// The largest distance of a match of length 4.
    pub(crate) farthest_4: u16,
    /// Dynamic: code lengths sent for literals and lengths, 257 to 286.
    pub(crate) literals_sent: u16,
    /// Dynamic: code lengths sent for distances, 1 to 30.
    pub(crate) distances_sent: u16,
    /// Dynamic: one of the two tables ends with a length of 0 that need not have been sent.
    pub(crate) untrimmed: bool,
}

impl Block {
    /// Plain bytes of the stream up to its end.
    pub const fn plain_end(&self) -> u64 {
        self.plain_start + self.plain_len
    }
}

/// Reads the blocks of one deflate stream.
#[derive(Debug)]
pub struct Scanner<R> {
    bits: Bits<R>,
    plain: u64,
    done: bool,
    literals: Code,
    distances: Code,
}

impl<R: BufRead> Scanner<R> {
    /// Starts at the first bit of `stream`. A `&mut` of a reader can be given too; not more than the stream and the
    /// eight bytes behind it are taken from it.
    pub fn new(stream: R) -> Self {
        Self {
            bits: Bits { stream, bits: 0, count: 0, taken: 0 },
            plain: 0,
            done: false,
            literals: Code::new(),
            distances: Code::new(),
        }
    }

    /// What is read from. A few bytes more than the scanner knows of have been taken from it.
    pub(crate) fn stream(&self) -> &R {
        &self.bits.stream
    }

    /// As [`Scanner::stream`], to be changed but not to be read from.
    pub(crate) fn stream_mut(&mut self) -> &mut R {
        &mut self.bits.stream
    }

    /// The next block, `None` after the last one.
    ///
    /// # Errors
    /// [`ScanError`]; calling again after one gives nonsense, but does no harm.
    pub fn next_block(&mut self) -> Result<Option<Block>, ScanError> {
        if self.done {
            return Ok(None);
        }
        let start_bit = self.bits.position();
        let last = self.bits.take(1)? == 1;
        let kind = match self.bits.take(2)? {
            0 => Kind::Stored,
            1 => Kind::Fixed,
            2 => Kind::Dynamic,
            _ => return Err(malformed("block of an unknown kind")),
        };
        let mut block = Block {
            kind,
            last,
            start_bit,
            end_bit: 0,
            plain_start: self.plain,
            plain_len: 0,
            tokens: 0,
            matches: 0,
            shortest: u16::MAX,
            farthest: 0,
            farthest_3: 0,
            farthest_4: 0,
            literals_sent: 0,
            distances_sent: 0,
            untrimmed: false,
        };
        match kind {
            Kind::Stored => block.plain_len = self.stored()?,
            Kind::Fixed => {
                let (literals, distances) = fixed_lengths();
                self.literals.build(&literals)?;
                self.distances.build(&distances)?;
                self.tokens(&mut block)?;
            }
            Kind::Dynamic => {
                self.tables(&mut block)?;
                self.tokens(&mut block)?;
            }
        }
        self.plain += block.plain_len;
        block.end_bit = self.bits.position();
        self.done = last;
        Ok(Some(block))
    }

    /// The eight bytes behind the last block (a gzip trailer), after which the reader stands right behind them.
    ///
    /// # Errors
    /// When there are fewer, or the last block was not read yet.
    pub(crate) fn trailer(&mut self) -> Result<[u8; 8], ScanError> {
        if !self.done {
            return Err(malformed("the last block was not reached"));
        }
        self.bits.align();
        let mut trailer = [0; 8];
        for byte in &mut trailer {
            *byte = self.bits.take_sparingly()?;
        }
        Ok(trailer)
    }

    fn stored(&mut self) -> Result<u64, ScanError> {
        self.bits.align();
        let length = self.bits.take(16)?;
        if self.bits.take(16)? != length ^ 0xffff {
            return Err(malformed("stored block with a wrong length"));
        }
        self.bits.skip_bytes(length as usize)?;
        Ok(length.into())
    }

    fn tables(&mut self, block: &mut Block) -> Result<(), ScanError> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let literals = self.bits.take(5)? as usize + 257;
        let distances = self.bits.take(5)? as usize + 1;
        let sent = self.bits.take(4)? as usize + 4;
        if literals > 286 || distances > 30 {
            return Err(malformed("tables with too many codes"));
        }
        let mut lengths = [0_u8; 19];
        for &symbol in ORDER.iter().take(sent) {
            lengths[symbol] = self.bits.take(3)? as u8;
        }
        self.literals.build(&lengths)?;
        let mut lengths = [0_u8; 316];
        let all = lengths.get_mut(..literals + distances).ok_or(malformed("tables with too many codes"))?;
        self.code_lengths(all)?;
        let (literal_lengths, distance_lengths) = all.split_at(literals);
        if literal_lengths[256] == 0 {
            return Err(malformed("table without end of block"));
        }
        self.literals.build(literal_lengths)?;
        self.distances.build(distance_lengths)?;
        block.literals_sent = literals as u16;
        block.distances_sent = distances as u16;
        block.untrimmed = literals > 257 && literal_lengths.last() == Some(&0)
            || distances > 1 && distance_lengths.last() == Some(&0);
        Ok(())
    }

    /// The run-length coded lengths; the code for them is in `self.literals`.
    fn code_lengths(&mut self, lengths: &mut [u8]) -> Result<(), ScanError> {
        let mut at = 0;
        while at < lengths.len() {
            let symbol = self.literals.symbol(&mut self.bits)?;
            let (value, run) = match symbol {
                16 => {
                    let before = at.checked_sub(1).and_then(|i| lengths.get(i)).copied();
                    let before = before.ok_or(malformed("a length repeated before the first"))?;
                    (before, 3 + self.bits.take(2)? as usize)
                }
                17 => (0, 3 + self.bits.take(3)? as usize),
                18 => (0, 11 + self.bits.take(7)? as usize),
                length => (length as u8, 1),
            };
            lengths.get_mut(at..at + run).ok_or(malformed("a length repeated behind the last"))?.fill(value);
            at += run;
        }
        Ok(())
    }

    fn tokens(&mut self, block: &mut Block) -> Result<(), ScanError> {
        loop {
            let symbol = self.literals.symbol(&mut self.bits)?;
            if symbol < 256 {
                block.plain_len += 1;
            } else if symbol == 256 {
                return Ok(());
            } else {
                let length = LENGTHS.get(usize::from(symbol - 257)).ok_or(malformed("unknown length"))?;
                let length = length.0 + self.bits.take(length.1.into())? as u16;
                let symbol = self.distances.symbol(&mut self.bits)?;
                let distance = DISTANCES.get(usize::from(symbol)).ok_or(malformed("unknown distance"))?;
                let distance = distance.0 + self.bits.take(distance.1.into())? as u16;
                if u64::from(distance) > self.plain + block.plain_len {
                    return Err(malformed("a match before the start"));
                }
                block.plain_len += u64::from(length);
                note(block, length, distance);
            }
            block.tokens += 1;
        }
    }
}

#[inline(always)]
fn note(block: &mut Block, length: u16, distance: u16) {
    block.matches += 1;
    block.shortest = block.shortest.min(length);
    block.farthest = block.farthest.max(distance);
    if length == 3 {
        block.farthest_3 = block.farthest_3.max(distance);
    } else if length == 4 {
        block.farthest_4 = block.farthest_4.max(distance);
    }
}

fn fixed_lengths() -> ([u8; 288], [u8; 32]) {
    let mut literals = [8; 288];
    literals[144..256].fill(9);
    literals[256..280].fill(7);
    (literals, [5; 32])
}

/// Smallest length and extra bits of symbols 257 to 285.
const LENGTHS: [(u16, u8); 29] = {
    let mut table = [(258, 0); 29];
    let (mut symbol, mut base) = (0, 3);
    while symbol < 28 {
        let extra = if symbol < 8 { 0 } else { symbol / 4 - 1 };
        table[symbol] = (base, extra as u8);
        base += 1 << extra;
        symbol += 1;
    }
    table
};

/// Smallest distance and extra bits of symbols 0 to 29.
const DISTANCES: [(u16, u8); 30] = {
    let mut table = [(0, 0); 30];
    let (mut symbol, mut base) = (0, 1_u32);
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { symbol / 2 - 1 };
        table[symbol] = (base as u16, extra as u8);
        base += 1 << extra;
        symbol += 1;
    }
    table
};

/// Bits that find most symbols at once.
const FAST: u32 = 10;

/// A prefix code.
#[derive(Debug)]
struct Code {
    /// By the next [`FAST`] bits: symbol and length, or 0 for codes that are longer or no code.
    fast: Box<[u16; 1 << FAST]>,
    /// Codes of each length.
    count: [u16; 16],
    /// Symbols in the order of their codes.
    symbols: [u16; 288],
}

impl Code {
    fn new() -> Self {
        Self { fast: Box::new([0; 1 << FAST]), count: [0; 16], symbols: [0; 288] }
    }

    /// At most 288 lengths of 0 to 15.
    fn build(&mut self, lengths: &[u8]) -> Result<(), ScanError> {
        self.count = [0; 16];
        for &length in lengths {
            self.count[usize::from(length & 15)] += 1;
        }
        let used = lengths.len() - usize::from(self.count[0]);
        self.count[0] = 0;
        let mut left = 1_i32;
        for &count in &self.count[1..] {
            left = 2 * left - i32::from(count);
            if left < 0 {
                return Err(malformed("more codes than bits allow"));
            }
        }
        // Unused bits are only allowed to a code of one symbol or none.
        if left > 0 && (used > 1 || used == 1 && self.count[1] != 1) {
            return Err(malformed("codes that leave bits unused"));
        }
        let (mut next, mut index, mut code, mut first) = ([0_u32; 16], [0_usize; 16], 0, 0);
        for length in 1..16 {
            next[length] = code;
            index[length] = first;
            code = (code + u32::from(self.count[length])) << 1;
            first += usize::from(self.count[length]);
        }
        self.fast.fill(0);
        for (symbol, &length) in lengths.iter().enumerate().filter(|&(_, &length)| length > 0) {
            let slot = usize::from(length & 15);
            self.symbols[index[slot]] = symbol as u16;
            index[slot] += 1;
            let bits = next[slot];
            next[slot] += 1;
            if u32::from(length) <= FAST {
                let reversed = (bits.reverse_bits() >> (32 - u32::from(length))) as usize;
                for entry in self.fast.iter_mut().skip(reversed).step_by(1 << length) {
                    *entry = (symbol as u16) << 4 | u16::from(length);
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn symbol<R: BufRead>(&self, bits: &mut Bits<R>) -> Result<u16, ScanError> {
        let entry = self.fast[(bits.peek()? & ((1 << FAST) - 1)) as usize];
        let length = u32::from(entry & 15);
        if length > 0 && length <= bits.count {
            bits.drop(length);
            return Ok(entry >> 4);
        }
        self.long_symbol(bits)
    }

    /// The symbol bit by bit.
    #[cold]
    fn long_symbol<R: BufRead>(&self, bits: &mut Bits<R>) -> Result<u16, ScanError> {
        let (mut code, mut first, mut index) = (0_i32, 0_i32, 0_i32);
        for &count in &self.count[1..] {
            code |= bits.take(1)? as i32;
            let count = i32::from(count);
            if code - count < first {
                return Ok(self.symbols[(index + code - first) as usize % 288]);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(malformed("bits that are no code"))
    }
}

/// Bits, lowest first.
#[derive(Debug)]
struct Bits<R> {
    stream: R,
    bits: u64,
    count: u32,
    /// Bytes taken from the stream.
    taken: u64,
}

impl<R: BufRead> Bits<R> {
    fn position(&self) -> u64 {
        self.taken * 8 - u64::from(self.count)
    }

    /// As many bits as can be had, at least 48 unless the stream ends; missing ones are zeros. Never takes more than
    /// seven bytes that are not needed yet.
    #[inline(always)]
    fn peek(&mut self) -> Result<u64, ScanError> {
        if self.count < 48 {
            self.refill()?;
        }
        Ok(self.bits)
    }

    fn refill(&mut self) -> Result<(), ScanError> {
        while self.count < 56 {
            let buffer = loop {
                match self.stream.fill_buf() {
                    // Borrowed again below: the checker does not let go of it on this path.
                    Ok(_) => break self.stream.fill_buf()?,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            };
            let room = ((63 - self.count) / 8) as usize;
            let bytes = if let Some(eight) = buffer.first_chunk::<8>() {
                self.bits |= (u64::from_le_bytes(*eight) & (u64::MAX >> (64 - 8 * room))) << self.count;
                room
            } else if let Some(&byte) = buffer.first() {
                self.bits |= u64::from(byte) << self.count;
                1
            } else {
                return Ok(());
            };
            self.stream.consume(bytes);
            self.taken += bytes as u64;
            self.count += 8 * bytes as u32;
        }
        Ok(())
    }

    #[inline(always)]
    fn drop(&mut self, count: u32) {
        self.bits >>= count;
        self.count -= count;
    }

    /// At most 16 bits.
    #[inline(always)]
    fn take(&mut self, count: u32) -> Result<u32, ScanError> {
        if self.count < count {
            self.refill()?;
            if self.count < count {
                return Err(ScanError::Truncated);
            }
        }
        let value = (self.bits & ((1 << count) - 1)) as u32;
        self.drop(count);
        Ok(value)
    }

    fn align(&mut self) {
        self.drop(self.count % 8);
    }

    /// One byte at a byte border, without taking any that is not asked for.
    fn take_sparingly(&mut self) -> Result<u8, ScanError> {
        if self.count == 0 {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => ScanError::Truncated,
                _ => error.into(),
            })?;
            self.taken += 1;
            return Ok(byte[0]);
        }
        Ok(self.take(8)? as u8)
    }

    /// At a byte border.
    fn skip_bytes(&mut self, mut bytes: usize) -> Result<(), ScanError> {
        while bytes > 0 && self.count >= 8 {
            self.drop(8);
            bytes -= 1;
        }
        while bytes > 0 {
            let ready = match self.stream.fill_buf() {
                Ok([]) => return Err(ScanError::Truncated),
                Ok(buffer) => buffer.len().min(bytes),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.stream.consume(ready);
            self.taken += ready as u64;
            bytes -= ready;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
