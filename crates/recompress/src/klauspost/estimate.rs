//! The guess of how many bits a block's tokens would need under a table of their own: Shannon's entropy in 32-bit
//! floats with a rough logarithm. The order of the operations and every rounding are part of the format.

use super::symbols::{DISTANCE_EXTRA, END, LENGTH_EXTRA};
use super::tokens::Tokens;

/// How the machine code that produced a stream rounded the estimate.
///
/// The Go compiler may turn a product and a sum into one multiply-add that rounds once; whether it does depends on
/// the processor. The variants differ by one bit in one block of some 250, and only a comparison that this bit
/// decides shows in the output: practically never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rounding {
    /// Every operation rounds: amd64 as normally built, 386, arm.
    #[default]
    Plain,
    /// Every product that feeds a sum is fused with it: arm64, ppc64le, s390x, riscv64, loong64.
    Fused,
    /// All but one are fused: amd64 built with `GOAMD64=v3` by a recent compiler.
    FusedAmd64V3,
}

impl Rounding {
    /// A rough binary logarithm of a positive number.
    fn log2(self, x: f32) -> f32 {
        const A: f32 = -0.344_848_43;
        const B: f32 = 2.024_665_8;
        const C: f32 = 0.674_877_6;
        let bits = x.to_bits();
        let exponent = (bits >> 23 & 255) as i32 - 128;
        let mantissa = f32::from_bits(bits & 0x7f_ffff | 127 << 23);
        let fraction = match self {
            Self::Plain => (A * mantissa + B) * mantissa - C,
            Self::Fused => A.mul_add(mantissa, B).mul_add(mantissa, -C),
            Self::FusedAmd64V3 => A.mul_add(mantissa, B) * mantissa - C,
        };
        exponent as f32 + fraction
    }

    /// `sum` plus the bits of a symbol that occurs `count` times, each time with probability `count * inverse`.
    fn add(self, sum: f32, count: u16, inverse: f32) -> f32 {
        let count = f32::from(count);
        let each = (-self.log2(count * inverse)).clamp(1.0, 15.0);
        match self {
            Self::Plain => sum + each * count,
            Self::Fused | Self::FusedAmd64V3 => each.mul_add(count, sum),
        }
    }
}

/// Estimated bits of these tokens, extra bits included, table excluded.
pub(super) fn bits(tokens: &Tokens, rounding: Rounding) -> u32 {
    let (literals, lengths) = tokens.literal_freqs().split_at(END);
    let present = |freqs: &[u16], inverse: f32, sum: f32| {
        freqs.iter().filter(|&&freq| freq > 0).fold(sum, |sum, &freq| rounding.add(sum, freq, inverse))
    };
    let inverse = 1.0 / tokens.len() as f32;
    let mut sum = present(literals, inverse, 0.0) + 15.0;
    // The end of block comes first here; the constant stands for it.
    let lengths = &lengths[1..];
    sum = present(lengths, inverse, sum);
    let matches: u32 = lengths.iter().map(|&freq| u32::from(freq)).sum();
    if matches > 0 {
        sum = present(tokens.distance_freqs(), 1.0 / matches as f32, sum);
    }
    sum as u32 + extra_bits(tokens)
}

/// Extra bits of all lengths and distances.
pub(super) fn extra_bits(tokens: &Tokens) -> u32 {
    let sum = |freqs: &[u16], extra: &[u8]| -> u32 {
        freqs.iter().zip(extra).map(|(&freq, &bits)| u32::from(freq) * u32::from(bits)).sum()
    };
    sum(&tokens.literal_freqs()[END + 1..], &LENGTH_EXTRA) + sum(tokens.distance_freqs(), &DISTANCE_EXTRA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// FNV over the bits of many logarithms and sums, as Go 1.27.3 on amd64 computes them.
    fn fingerprint(rounding: Rounding) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut mix = |x: f32| hash = (hash ^ u64::from(x.to_bits())).wrapping_mul(0x100_0000_01b3);
        let mut x = 12345_u32;
        for _ in 0..20000 {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let inverse = 1.0 / ((x >> 24) + 65536) as f32;
            let probability = ((x >> 8 & 0xffff) + 1) as f32 * inverse;
            let log = rounding.log2(probability);
            mix(log);
            let (each, count, sum) = ((-log).clamp(1.0, 15.0), (x >> 16) as f32, (x >> 20) as f32);
            mix(if rounding == Rounding::Plain { sum + each * count } else { each.mul_add(count, sum) });
        }
        hash
    }

    #[test]
    fn floats_round_as_they_do_in_go() {
        assert_eq!(fingerprint(Rounding::Plain), 0x86da_c65b_883c_f570);
        assert_eq!(fingerprint(Rounding::FusedAmd64V3), 0xc0ec_d8a7_135d_4b4f);
    }

    #[test]
    fn two_equal_literals_cost_a_bit_each() {
        let mut tokens = Tokens::with_capacity(8);
        tokens.literals(b"abababab");
        // Eight bits and the constant; a logarithm of one half is exact.
        assert_eq!(bits(&tokens, Rounding::Plain), 8 + 15);
    }

    proptest! {
        #[test]
        fn roundings_agree_but_for_the_last_bits(
            literals in prop::collection::vec(any::<u8>(), 1..3000),
            matches in prop::collection::vec((3_usize..259, 1_usize..32769), 0..500),
        ) {
            let mut tokens = Tokens::with_capacity(0);
            tokens.literals(&literals);
            for (length, distance) in matches {
                tokens.short_match(length, distance);
            }
            let plain = bits(&tokens, Rounding::Plain);
            prop_assert!(plain >= literals.len() as u32);
            prop_assert!(plain.abs_diff(bits(&tokens, Rounding::Fused)) <= 2);
            prop_assert!(plain.abs_diff(bits(&tokens, Rounding::FusedAmd64V3)) <= 2);
        }
    }
}
