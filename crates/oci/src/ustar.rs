//! As much of tar as bootstrap layers and image archives need: ustar headers, and what they say.
//!
//! ```text
//! 0    name            100   108  uid   8    124 size 12    148 checksum 8   157 link name 100   263 "00"    345 prefix 155
//! 100  mode              8   116  gid   8    136 mtime 12   156 type     1   257 "ustar\0"   6   329 devices 16
//! ```

/// Bytes of a header, and what everything is padded to.
pub(crate) const BLOCK: usize = 512;
/// Zeros at the end of an archive.
pub(crate) const TRAILER: usize = 2 * BLOCK;

/// One header block.
pub(crate) type Block = [u8; BLOCK];

/// What a header describes, in the only respects that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A regular file of `size` bytes.
    File { path: Vec<u8>, size: u64 },
    /// Something else, with `size` bytes behind it.
    Other { path: Vec<u8>, size: u64 },
    /// A block of zeros: the end.
    End,
}

/// A header of `root:root`, modified at time zero. Of a name of more than 100 bytes, all but the last component go to
/// the prefix, where 155 bytes have room. Sizes of more than 33 bits are written in GNU's binary form, which everybody
/// reads.
pub(crate) fn header(name: &str, kind: u8, mode: u32, size: u64) -> Block {
    let mut block = [0; BLOCK];
    let (prefix, name) = match name.rsplit_once('/') {
        Some((prefix, last)) if name.len() > 100 => (prefix, last),
        _ => ("", name),
    };
    put(&mut block, 0, name.as_bytes());
    put(&mut block, 100, format!("{mode:07o}\0").as_bytes());
    put(&mut block, 108, b"0000000\0");
    put(&mut block, 116, b"0000000\0");
    if size < 1 << 33 {
        put(&mut block, 124, format!("{size:011o}\0").as_bytes());
    } else {
        put(&mut block, 124, &[0x80, 0, 0, 0]);
        put(&mut block, 128, &size.to_be_bytes());
    }
    put(&mut block, 136, b"00000000000\0");
    put(&mut block, 156, &[kind]);
    put(&mut block, 257, b"ustar\x0000");
    put(&mut block, 329, b"0000000\x000000000\0");
    put(&mut block, 345, prefix.as_bytes());
    let sum = checksum(&block);
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    block
}

fn put(block: &mut Block, at: usize, bytes: &[u8]) {
    block.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
}

/// The sum of all bytes, with the checksum itself taken for spaces.
fn checksum(block: &Block) -> u32 {
    let is_field = |at: usize| (148..156).contains(&at);
    block
        .iter()
        .enumerate()
        .map(|(at, byte)| if is_field(at) { u32::from(b' ') } else { u32::from(*byte) })
        .sum()
}

/// What a header says.
pub(crate) struct Fields {
    /// The type flag.
    pub kind: u8,
    /// The name, its prefix in front.
    pub path: Vec<u8>,
    /// The name that a link leads to.
    pub link: Vec<u8>,
    /// The size field, whether or not this type of entry has content.
    pub size: u64,
}

/// Reads a header that is not the end; none if it is not one.
pub(crate) fn fields(block: &Block) -> Option<Fields> {
    if octal(block.get(148..156)?)? != u64::from(checksum(block)) {
        return None;
    }
    let mut path = Vec::new();
    let prefix = text(block.get(345..500)?);
    if block.get(257..262)? == b"ustar" && !prefix.is_empty() && block.get(262)? == &0 {
        path.extend_from_slice(prefix);
        path.push(b'/');
    }
    path.extend_from_slice(text(block.get(..100)?));
    let link = text(block.get(157..257)?).to_vec();
    Some(Fields { kind: *block.get(156)?, path, link, size: number(block.get(124..136)?)? })
}

/// Reads a header; none if it is not one.
pub(crate) fn parse(block: &Block) -> Option<Entry> {
    if block.iter().all(|byte| *byte == 0) {
        return Some(Entry::End);
    }
    let Fields { kind, path, size, .. } = fields(block)?;
    Some(match kind {
        b'0' | 0 | b'7' => Entry::File { path, size },
        // Links, directories, devices and fifos have no content, whatever their size field says.
        b'1'..=b'6' => Entry::Other { path, size: 0 },
        _ => Entry::Other { path, size },
    })
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits, or GNU's binary form for what they cannot hold.
fn number(field: &[u8]) -> Option<u64> {
    match field.split_first() {
        Some((0x80, rest)) => rest
            .iter()
            .try_fold(0u64, |value, byte| value.checked_mul(256).map(|value| value | u64::from(*byte))),
        _ => octal(field),
    }
}

/// Octal digits among spaces and NULs.
fn octal(field: &[u8]) -> Option<u64> {
    let is_pad = |byte: &u8| matches!(byte, b' ' | 0);
    let digits = field.iter().skip_while(|byte| is_pad(byte));
    digits.take_while(|byte| !is_pad(byte)).try_fold(0u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn another_reader_understands_our_headers() {
        let block = header("image/image.boot", b'0', 0o444, 12345);
        let theirs = tar::Header::from_byte_slice(&block);
        assert_eq!(theirs.path_bytes().as_ref(), b"image/image.boot");
        assert_eq!(
            (theirs.mode().unwrap(), theirs.size().unwrap(), theirs.mtime().unwrap()),
            (0o444, 12345, 0)
        );
        assert_eq!((theirs.uid().unwrap(), theirs.gid().unwrap()), (0, 0));
        assert_eq!(theirs.entry_type(), tar::EntryType::Regular);
        assert!(theirs.as_ustar().is_some());
        let mut sum = tar::Header::from_byte_slice(&block).clone();
        sum.set_cksum();
        assert_eq!(sum.cksum().unwrap(), theirs.cksum().unwrap());
    }

    #[test]
    fn we_understand_another_writers_headers() {
        for mut theirs in [tar::Header::new_ustar(), tar::Header::new_gnu(), tar::Header::new_old()] {
            theirs.set_path("a/b").unwrap();
            theirs.set_size(7);
            theirs.set_mode(0o600);
            theirs.set_cksum();
            assert_eq!(parse(theirs.as_bytes()), Some(Entry::File { path: b"a/b".to_vec(), size: 7 }));
        }
        let mut long = tar::Header::new_ustar();
        long.set_path(format!("{}/{}", "p".repeat(60), "n".repeat(90))).unwrap();
        long.set_size(1 << 40);
        long.set_entry_type(tar::EntryType::XHeader);
        long.set_cksum();
        let path = format!("{}/{}", "p".repeat(60), "n".repeat(90)).into_bytes();
        assert_eq!(parse(long.as_bytes()), Some(Entry::Other { path, size: 1 << 40 }));
    }

    #[test]
    fn hostile_headers() {
        assert_eq!(parse(&[0; BLOCK]), Some(Entry::End));
        assert_eq!(parse(&[b'x'; BLOCK]), None);
        let good = header("x", b'0', 0o444, 1);
        // The last byte of the checksum field follows its terminator.
        for at in (0..BLOCK).filter(|at| *at != 155) {
            let mut bad = good;
            bad[at] ^= 0x40;
            assert_eq!(parse(&bad), None, "byte {at}");
        }
        let mut huge = good;
        put(&mut huge, 124, &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let sum = checksum(&huge);
        put(&mut huge, 148, format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(parse(&huge), None);
    }
}
