//! The bytes of a bootstrap and the tables in them, looked at through bounds checks.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::FromBytes;

/// Bytes with 64-bit offsets.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn len(self) -> u64 {
        self.0.len() as u64
    }

    /// `len` bytes from `offset` on, if they are there.
    pub(crate) fn get(self, offset: u64, len: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        self.0.get(start..end)
    }

    /// The structure at `offset`, if it is there.
    pub(crate) fn read<T: FromBytes>(self, offset: u64) -> Option<T> {
        T::read_from_bytes(self.get(offset, size_of::<T>() as u64)?).ok()
    }

    /// The entries of a table with their offsets; none if it lies outside.
    pub(crate) fn entries<T: FromBytes + 'a>(self, table: Table) -> impl Iterator<Item = (u64, T)> + 'a {
        let size = size_of::<T>();
        let all = self.get(table.offset, table.size).unwrap_or_default();
        let offsets =
            (0..).map(move |number: u64| table.offset.saturating_add(number.saturating_mul(size as u64)));
        offsets.zip(all.chunks_exact(size).filter_map(|entry| T::read_from_bytes(entry).ok()))
    }
}

/// A table inside a bootstrap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl Table {
    pub(crate) fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.size)
    }
}

/// Two of these tables that lie over each other, the one that starts first before the other.
pub(crate) fn overlap(tables: &mut [Table]) -> Option<(Table, Table)> {
    tables.sort_by_key(|table| table.offset);
    let mut pairs = tables.iter().zip(tables.iter().skip(1));
    let found = pairs.find(|(table, other)| table.end().is_none_or(|end| end > other.offset))?;
    Some((*found.0, *found.1))
}
