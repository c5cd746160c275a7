//! What a match saves over literals, for the level that weighs it: bits of the bytes under a code made from a sample
//! of what lies ahead, less what the match itself costs.

use crate::klauspost::huffman::Code;
use crate::klauspost::settings::Epoch;
use crate::klauspost::symbols::{self, DISTANCE_EXTRA, LENGTH_EXTRA, SHORTEST};

/// Bytes of a sample, in the releases that limit it.
const SAMPLE: usize = 32768;

/// Prices in bits.
#[derive(Debug)]
pub(super) struct Prices {
    bytes: [u8; 256],
    /// A byte that the sample does not have.
    unseen: u8,
    /// The symbols of any match.
    symbols: i32,
    /// What a match must save more than.
    least: i32,
    sample: usize,
}

impl Prices {
    pub(super) fn new(epoch: Epoch) -> Self {
        let (least, symbols) = if epoch == Epoch::A1 { (0, 6) } else { (4, 3) };
        let unseen = u8::from(epoch == Epoch::Go);
        let sample = if epoch >= Epoch::B2 { SAMPLE } else { usize::MAX };
        Self { bytes: [0; 256], unseen, symbols, least, sample }
    }

    /// What a match must save more than to be considered at all.
    pub(super) fn least(&self) -> i32 {
        self.least
    }

    /// Takes the bytes ahead for typical.
    pub(super) fn sample(&mut self, ahead: &[u8]) {
        let mut freqs = [0u16; 256];
        for &byte in &ahead[..ahead.len().min(self.sample)] {
            let freq = &mut freqs[usize::from(byte)];
            // A window of nothing but one byte does not fit the counter; nor does it in the original.
            *freq = freq.wrapping_add(1);
        }
        let code = Code::build(&freqs, 15);
        for (price, word) in self.bytes.iter_mut().zip(code.words()) {
            *price = if word.len() == 0 { self.unseen } else { word.len() as u8 };
        }
    }

    /// Bits that a match of these bytes (4 to 258) saves.
    #[inline(always)]
    pub(super) fn saved(&self, bytes: &[u8], distance: usize) -> i32 {
        let literals: i32 = bytes.iter().map(|&byte| i32::from(self.bytes[usize::from(byte)])).sum();
        let length = LENGTH_EXTRA[symbols::length_symbol((bytes.len() - SHORTEST) as u8)];
        // The original looks the distance up where distance - 1 belongs; the largest falls off the end of its table.
        let distance = match distance {
            32768.. => 6,
            _ => DISTANCE_EXTRA[symbols::distance_symbol(distance as u32)],
        };
        literals - i32::from(length) - i32::from(distance) - self.symbols
    }
}
