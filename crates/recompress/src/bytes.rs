//! What the searches of several encoders do with bytes.

/// The four bytes at `at`, the first in the lowest place.
#[inline(always)]
pub(crate) fn load32(text: &[u8], at: usize) -> u32 {
    match text.get(at..).and_then(<[u8]>::first_chunk) {
        Some(bytes) => u32::from_le_bytes(*bytes),
        None => 0,
    }
}

/// How many bytes two texts have in common at their start.
#[inline(always)]
pub(crate) fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let (ones, _) = one.as_chunks::<8>();
    let (others, _) = other.as_chunks::<8>();
    let mut length = 0;
    for (a, b) in ones.iter().zip(others) {
        let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if difference != 0 {
            return length + difference.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let rest = one.iter().zip(other).skip(length).take_while(|(a, b)| a == b);
    length + rest.count()
}

/// An array of zeros that never was on the stack.
pub(crate) fn zeroed<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    vec![T::default(); N].try_into().unwrap_or_else(|_| Box::new([T::default(); N]))
}
