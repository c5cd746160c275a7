//! The header of a gzip member.
//!
//! ```text
//!  0      2   3      4           8    9   10
//!  1f 8b  08  FLAGS  TIME (4)    XFL  OS  extra? │ name? │ comment? │ checksum?
//!               │                          4: length (2), bytes
//!               │                          8: bytes up to 0
//!               └─ bits 0xe0 are unknown   16: bytes up to 0
//!                                          2: two bytes
//! ```

/// The headers that have a code of their own, by code minus 1: system unknown, Unix, Go's zero time; each with the
/// extra flags 0, 2, 4.
pub(crate) const TEMPLATES: [[u8; 10]; 9] = {
    let mut table = [[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]; 9];
    let mut i = 0;
    while i < 9 {
        if i / 3 == 1 {
            table[i][9] = 3;
        } else if i / 3 == 2 {
            table[i][5] = 0x09;
            table[i][6] = 0x6e;
            table[i][7] = 0x88;
        }
        table[i][8] = 2 * (i % 3) as u8;
        i += 1;
    }
    table
};

/// The largest header that is kept. Names have no limit of their own.
pub(crate) const MAX_HEADER: usize = 128 << 10;

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// The start of a header.
    Partial,
    /// They begin with a header of this many bytes.
    Complete(usize),
    /// Something else.
    No,
}

/// Looks for a header at the start of `bytes`.
pub(crate) fn header(bytes: &[u8]) -> Header {
    const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
    if bytes.iter().zip(MAGIC).any(|(&byte, magic)| byte != magic) {
        return Header::No;
    }
    let Some(&flags) = bytes.get(3) else { return Header::Partial };
    if flags & 0xe0 != 0 {
        return Header::No;
    }
    match length(bytes, flags) {
        Some(length) if length > MAX_HEADER => Header::No,
        Some(length) => Header::Complete(length),
        None if bytes.len() > MAX_HEADER => Header::No,
        None => Header::Partial,
    }
}

fn length(bytes: &[u8], flags: u8) -> Option<usize> {
    let mut at = 10;
    if flags & 4 != 0 {
        let length = bytes.get(at..at + 2)?.first_chunk()?;
        at += 2 + usize::from(u16::from_le_bytes(*length));
    }
    for string in [8, 16] {
        if flags & string != 0 {
            at += bytes.get(at..)?.iter().position(|&byte| byte == 0)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    (bytes.len() >= at).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        assert_eq!(TEMPLATES[1], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff]);
        assert_eq!(TEMPLATES[5], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 3]);
        assert_eq!(TEMPLATES[6], [0x1f, 0x8b, 8, 0, 0, 9, 0x6e, 0x88, 0, 0xff]);
    }

    #[test]
    fn lengths() {
        let start = |flags| vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        let with = |flags, rest: &[u8]| [start(flags), rest.to_vec()].concat();
        assert_eq!(header(&with(0, b"rest")), Header::Complete(10));
        assert_eq!(header(&with(8, b"name\0rest")), Header::Complete(15));
        assert_eq!(header(&with(4 | 8 | 16 | 2, b"\x03\0abcname\0\0crrest")), Header::Complete(23));
        assert_eq!(header(&with(8, b"name")), Header::Partial);
        assert_eq!(header(&with(4, b"\xff\xff")), Header::Partial);
        assert_eq!(header(&start(0x20)), Header::No);
        assert_eq!(header(b"\x1f\x8b"), Header::Partial);
        assert_eq!(header(b"\x1f\x8b\x09"), Header::No);
        assert_eq!(header(&with(8, &[b'a'; MAX_HEADER])), Header::No);
    }
}
