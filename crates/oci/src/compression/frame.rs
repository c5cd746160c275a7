//! What the header of a zstd frame says of the memory that the frame needs (RFC 8878, 3.1.1.1).

/// First bytes of a frame as a little-endian number (RFC 8878, 3.1.1).
pub(super) const FRAME_MAGIC: u32 = 0xfd2f_b528;
/// First bytes of a skippable frame but for the lowest four bits (RFC 8878, 3.1.2).
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;

pub(super) const MAGIC_LEN: usize = 4;

/// Whether `bytes` begin with a frame of either sort.
pub(super) fn is_magic(bytes: &[u8]) -> bool {
    let magic = bytes.first_chunk::<MAGIC_LEN>().map(|magic| u32::from_le_bytes(*magic));
    magic.is_some_and(|magic| magic == FRAME_MAGIC || magic & !0xf == SKIPPABLE_MAGIC)
}

/// Whether `bytes`, fewer than four, are how a frame of either sort can begin.
pub(super) fn may_become_magic(bytes: &[u8]) -> bool {
    [FRAME_MAGIC, SKIPPABLE_MAGIC].into_iter().any(|magic| {
        let mut magic = magic.to_le_bytes();
        magic.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        is_magic(&magic)
    })
}

/// The header of a frame with data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// How far back the data refers, in bytes.
    window: u64,
    /// Plain bytes, where the header says it.
    content: Option<u64>,
}

impl Frame {
    /// Bytes of the longest header, magic number included.
    pub const MAX_HEADER: usize = 18;

    /// Reads a header; none of skippable frames and of what ends within the header.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        if u32::from_le_bytes(*magic) != FRAME_MAGIC {
            return None;
        }
        let (descriptor, rest) = rest.split_first()?;
        let is_single = descriptor & 0x20 != 0;
        let (window, rest) = match rest.split_first() {
            _ if is_single => (None, rest),
            Some((window, rest)) => (Some(window_of(*window)), rest),
            None => return None,
        };
        let rest = rest.get([0, 1, 2, 4][usize::from(descriptor & 3)]..)?;
        let content = match descriptor >> 6 {
            0 if is_single => Some(u64::from(*rest.first()?)),
            0 => None,
            1 => Some(u64::from(u16::from_le_bytes(*rest.first_chunk()?)) + 256),
            2 => Some(u64::from(u32::from_le_bytes(*rest.first_chunk()?))),
            _ => Some(u64::from_le_bytes(*rest.first_chunk()?)),
        };
        Some(Self { window: window.or(content)?, content })
    }

    /// Bytes that a decoder keeps: nothing refers back to before the frame.
    pub fn memory(self) -> u64 {
        self.content.map_or(self.window, |content| content.min(self.window))
    }
}

/// A window by its descriptor: a power of two and eighths of it.
fn window_of(descriptor: u8) -> u64 {
    let base = 1_u64 << (10 + (descriptor >> 3));
    base + base / 8 * u64::from(descriptor & 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let frame = |rest: &[u8]| Frame::parse(&[&[0x28, 0xb5, 0x2f, 0xfd], rest].concat());
        let table: [(&[u8], u64, Option<u64>); 7] = [
            (&[0, 0], 1 << 10, None),
            (&[0, 19 << 3 | 1], (1 << 29) + (1 << 26), None),
            (&[0x20, 7], 7, Some(7)),
            (&[0x60, 1, 0], 257, Some(257)),
            (&[0x81, 21 << 3, 9, 5, 0, 0, 0], 1 << 31, Some(5)),
            (&[0xc3, 0xff, 1, 2, 3, 4, 0, 0, 0, 0, 1, 0, 0, 0], 15 << 38, Some(1 << 32)),
            (&[0xe0, 0, 0, 0, 0, 0, 0, 0, 1], 1 << 56, Some(1 << 56)),
        ];
        for (rest, window, content) in table {
            assert_eq!(frame(rest), Some(Frame { window, content }), "{rest:x?}");
            assert_eq!(frame(&rest[..rest.len() - 1]), None, "{rest:x?}");
        }
        assert_eq!(frame(&[0x81, 21 << 3, 9, 5, 0, 0, 0]).map(Frame::memory), Some(5));
        assert_eq!(Frame::parse(&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]), None);
    }
}
