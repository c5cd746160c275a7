//! The extended attributes of an inode, in byte order of their full names.

use std::io;

use zerocopy::IntoBytes;

use crate::Xattrs;
use crate::emit::Emit;
use crate::fit::split_name;
use crate::v6::layout::{XattrEntry, XattrHeader};

/// Emits header and attributes, nothing if there are none. Attributes that v6 cannot hold have been refused before.
pub(super) fn emit(xattrs: &Xattrs, out: &mut dyn Emit) -> io::Result<()> {
    if xattrs.is_empty() {
        return Ok(());
    }
    out.put(XattrHeader::default().as_bytes())?;
    for (name, value) in xattrs.iter() {
        let Some((name_index, suffix)) = split_name(name) else {
            continue;
        };
        let entry = XattrEntry {
            // Both lengths were checked: a name has 255 bytes at most, a value 65535.
            name_len: suffix.len() as u8,
            name_index,
            value_size: (value.len() as u16).into(),
        };
        out.put(entry.as_bytes())?;
        out.put(suffix)?;
        out.put(value)?;
        let size = suffix.len() + value.len();
        out.zeros((size.next_multiple_of(4) - size) as u64)?;
    }
    Ok(())
}

/// The count field of an inode with `size` bytes of extended attributes.
pub(super) fn count(size: u64) -> u16 {
    match size.checked_sub(size_of::<XattrHeader>() as u64) {
        Some(entries) => (entries / 4 + 1) as u16,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::emit::Stream;

    #[test]
    fn bytes() {
        let xattrs: Xattrs = [
            (b"user.b".to_vec(), b"val".to_vec()),
            (b"security.a".to_vec(), Vec::new()),
            (b"system.posix_acl_access".to_vec(), b"\x02\0\0\0".to_vec()),
        ]
        .into_iter()
        .collect();
        let mut bytes = Vec::new();
        emit(&xattrs, &mut Stream::new(&mut bytes)).unwrap();
        let expected = [
            &[0; 12][..],
            &[1, 6, 0, 0, b'a', 0, 0, 0],
            &[0, 2, 4, 0, 2, 0, 0, 0],
            &[1, 1, 3, 0, b'b', b'v', b'a', b'l'],
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!(count(bytes.len() as u64), 7);
        assert_eq!(count(0), 0);
    }
}
