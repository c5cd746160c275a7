//! The bytes of a bootstrap, looked at through bounds checks.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::FromBytes;

/// Bytes with 64-bit offsets.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn len(self) -> u64 {
        self.0.len() as u64
    }

    /// `len` bytes from `offset` on, if they are there.
    pub(super) fn get(self, offset: u64, len: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        self.0.get(start..end)
    }

    /// The structure at `offset`, if it is there.
    pub(super) fn read<T: FromBytes>(self, offset: u64) -> Option<T> {
        T::read_from_bytes(self.get(offset, size_of::<T>() as u64)?).ok()
    }
}
