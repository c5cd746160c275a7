//! The entries of a directory.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::FromBytes;

use super::EntryProblem;
use super::inode::Content;
use crate::limits;
use crate::v6::layout::Dirent;

/// One entry.
pub(super) struct Entry<'a> {
    pub(super) offset: u64,
    pub(super) nid: u64,
    pub(super) file_type: u8,
    pub(super) name: &'a [u8],
}

/// A problem and where it is.
type At = (u64, EntryProblem);

/// Calls `visit` for every entry, `.` and `..` among them. Names are checked: they ascend, and they are names.
pub(super) fn visit<'a>(
    content: Content<'a>,
    mut visit: impl FnMut(Entry<'a>) -> Result<(), At>,
) -> Result<(), At> {
    let mut last: Option<&[u8]> = None;
    for (offset, block) in content.blocks() {
        for entry in Entries::new(offset, block)? {
            let entry = entry?;
            check_name(entry.name).map_err(|problem| (entry.offset, problem))?;
            if last.is_some_and(|last| last >= entry.name) {
                return Err((entry.offset, EntryProblem::Order { name: entry.name.to_vec() }));
            }
            last = Some(entry.name);
            visit(entry)?;
        }
    }
    Ok(())
}

fn check_name(name: &[u8]) -> Result<(), EntryProblem> {
    if name.is_empty() || name.len() > limits::MAX_NAME || name.contains(&b'/') || name.contains(&0) {
        return Err(EntryProblem::Name { name: name.to_vec() });
    }
    Ok(())
}

/// The entries of one block.
struct Entries<'a> {
    offset: u64,
    block: &'a [u8],
    /// Entries not yet given.
    entries: std::slice::Iter<'a, [u8; size_of::<Dirent>()]>,
}

impl<'a> Entries<'a> {
    fn new(offset: u64, block: &'a [u8]) -> Result<Self, At> {
        let damaged = |what| (offset, EntryProblem::Dirent { what });
        let first = Dirent::read_from_prefix(block).map_err(|_| damaged("the first entry is cut short"))?.0;
        let names = usize::from(first.name_offset.get());
        if names == 0 || !names.is_multiple_of(size_of::<Dirent>()) {
            return Err(damaged("the first name lies where no name can"));
        }
        let entries = block.get(..names).ok_or(damaged("the entries are cut short"))?;
        let (entries, _) = entries.as_chunks();
        Ok(Self { offset, block, entries: entries.iter() })
    }

    fn name(&self, entry: &Dirent) -> Result<&'a [u8], EntryProblem> {
        let damaged = EntryProblem::Dirent { what: "a name lies where no name can" };
        let start = usize::from(entry.name_offset.get());
        let next = self.entries.as_slice().first().and_then(|next| Dirent::read_from_bytes(next).ok());
        match next {
            Some(next) => {
                let end = usize::from(next.name_offset.get());
                self.block.get(start..end).ok_or(damaged)
            }
            // The last name ends at a NUL byte or with the block.
            None => {
                let rest = self.block.get(start..).ok_or(damaged)?;
                Ok(rest.split(|byte| *byte == 0).next().unwrap_or_default())
            }
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, At>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = Dirent::read_from_bytes(self.entries.next()?).ok()?;
        let offset = self.offset;
        self.offset = offset.saturating_add(size_of::<Dirent>() as u64);
        let entry = self.name(&entry).map(|name| Entry {
            offset,
            nid: entry.nid.get(),
            file_type: entry.file_type,
            name,
        });
        Some(entry.map_err(|problem| (offset, problem)))
    }
}
