//! Extended attributes.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::FromBytes;

use super::EntryProblem;
use crate::v6::layout::{XATTR_PREFIXES, XattrEntry, XattrHeader};
use crate::{Xattrs, limits};

/// Bytes that an inode's count field announces.
pub(super) fn size(count: u16) -> u64 {
    match u64::from(count).checked_sub(1) {
        Some(quads) => (size_of::<XattrHeader>() as u64).saturating_add(quads.saturating_mul(4)),
        None => 0,
    }
}

/// Parses the area of [`size`] bytes.
pub(super) fn parse(area: &[u8]) -> Result<Xattrs, EntryProblem> {
    let damaged = |what| EntryProblem::Xattr { what };
    let mut xattrs = Xattrs::new();
    if area.is_empty() {
        return Ok(xattrs);
    }
    let (header, mut rest) =
        XattrHeader::read_from_prefix(area).map_err(|_| damaged("the header is cut short"))?;
    if header.shared_count != 0 {
        return Err(damaged("some are shared, which RAFS does not know"));
    }
    while !rest.is_empty() {
        let (entry, after) =
            XattrEntry::read_from_prefix(rest).map_err(|_| damaged("an entry is cut short"))?;
        let name_len = usize::from(entry.name_len);
        let size = name_len.saturating_add(entry.value_size.get().into());
        let content = after.get(..size).ok_or(damaged("an entry is cut short"))?;
        // The area is a whole number of 4-byte units, and so are the entries with their padding.
        rest = after.get(size.next_multiple_of(4)..).ok_or(damaged("an entry is cut short"))?;
        let (suffix, value) = content.split_at_checked(name_len).unwrap_or_default();
        let name = full_name(entry.name_index, suffix).ok_or(damaged("a name cannot be"))?;
        if xattrs.get(&name).is_some() {
            return Err(damaged("a name is there twice"));
        }
        xattrs.insert(name, value.to_vec());
    }
    Ok(xattrs)
}

fn full_name(index: u8, suffix: &[u8]) -> Option<Vec<u8>> {
    let (_, prefix, has_suffix) = XATTR_PREFIXES.iter().find(|(number, ..)| *number == index)?;
    let name = [prefix, suffix].concat();
    let fits =
        suffix.is_empty() != *has_suffix && !suffix.contains(&0) && name.len() <= limits::MAX_XATTR_NAME;
    fits.then_some(name)
}
