//! How a member's deflate stream ends, as far as its last bytes tell.
//!
//! ```text
//! Go          … [ 00 00 00 ff ff ]* 01 00 00 ff ff     empty stored block, perhaps flushes before it
//! klauspost   … [ 00 00 00 ff ff ]* 03 00              empty fixed block; its ten bits stand anywhere without a flush
//! others      … data
//! ```

/// The last bytes of a member that are kept: deflate bytes, then the trailer.
pub(super) const KEPT: usize = 32;

/// The trailer: CRC-32 and length.
pub(super) const TRAILER: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// An empty stored block behind so many flushes.
    Stored(u8),
    /// An empty fixed block behind so many flushes.
    Fixed(u8),
    /// Something else.
    Data,
}

impl Ending {
    /// The ending of a deflate stream of `length` bytes, of which `last` are the last.
    pub fn of(last: &[u8], length: u64, is_empty: bool) -> Self {
        let (ending, own) = if let Some(before) = last.strip_suffix(&[0, 0, 0xff, 0xff]) {
            match before.split_last() {
                // The block's bits may share a byte with data, unless a flush or nothing stands before it.
                Some((&header, before)) => {
                    let flushes = if header == 1 { flushes(before) } else { 0 };
                    (Self::Stored(flushes), 5)
                }
                None => (Self::Data, 0),
            }
        } else if let Some(before) = last.strip_suffix(&[3, 0]) {
            (Self::Fixed(flushes(before)), 2)
        } else if ends_fixed(last) {
            (Self::Fixed(0), 2)
        } else {
            (Self::Data, 0)
        };
        let flushes = match ending {
            Self::Stored(flushes) | Self::Fixed(flushes) => u64::from(flushes),
            Self::Data => 0,
        };
        // Without plain bytes nothing else may be there.
        if is_empty && length != own + 5 * flushes { Self::Data } else { ending }
    }
}

/// Flush markers at the end of `bytes`, all behind the first one being bytes of their own.
fn flushes(mut bytes: &[u8]) -> u8 {
    let mut count = 0;
    while let Some(before) = bytes.strip_suffix(&[0, 0, 0xff, 0xff]) {
        count += 1;
        match before.split_last() {
            Some((0, before)) => bytes = before,
            _ => break,
        }
    }
    count
}

/// Whether the last bits that are not padding are those of an empty fixed block: 1 1 0, 0000000.
fn ends_fixed(last: &[u8]) -> bool {
    let Some(&tail) = last.last_chunk::<3>() else { return false };
    let bits = u32::from_le_bytes([tail[0], tail[1], tail[2], 0]);
    let highest = 31_u32.saturating_sub(bits.leading_zeros());
    // The two ones, one zero and seven of the code, then at most seven of padding.
    let zeros = 23_u32.saturating_sub(highest);
    highest > 0 && bits >> (highest - 1) == 3 && (8..=15).contains(&zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings() {
        let of = |bytes: &[u8]| Ending::of(bytes, 1000, false);
        assert_eq!(of(b"abcd\x01\0\0\xff\xff"), Ending::Stored(0));
        assert_eq!(of(b"abc\x05\0\0\xff\xff\x01\0\0\xff\xff"), Ending::Stored(1));
        assert_eq!(of(b"abc\x05\0\0\xff\xff\0\0\0\xff\xff\x01\0\0\xff\xff"), Ending::Stored(2));
        assert_eq!(of(b"abc\x05\0\0\xff\xff\x03\0"), Ending::Fixed(1));
        assert_eq!(of(b"abc\x03\0"), Ending::Fixed(0));
        assert_eq!(of(b"abc\xff\x01\0"), Ending::Fixed(0));
        assert_eq!(of(b"abc\xc1\0"), Ending::Fixed(0));
        assert_eq!(of(b"abc\x41\0"), Ending::Data);
        assert_eq!(of(b"abc"), Ending::Data);
        assert_eq!(of(b""), Ending::Data);
    }

    #[test]
    fn without_plain_bytes_all_of_it_counts() {
        let of = |bytes: &[u8]| Ending::of(bytes, bytes.len() as u64, true);
        assert_eq!(of(&[1, 0, 0, 255, 255]), Ending::Stored(0));
        assert_eq!(of(&[0, 0, 0, 255, 255, 1, 0, 0, 255, 255]), Ending::Stored(1));
        assert_eq!(of(&[3, 0]), Ending::Fixed(0));
        assert_eq!(of(&[0, 0, 0, 255, 255, 3, 0]), Ending::Fixed(1));
        assert_eq!(of(&[0, 0, 0, 0, 255, 255, 3, 0]), Ending::Data);
        assert_eq!(of(&[2, 3, 0]), Ending::Data);
    }
}
