//! Fields of records: little-endian numbers, and bytes with their length in front.

use std::str::FromStr;

use super::{RecordError, VERSION};

/// Reads a record field by field.
pub struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Checks the magic number and the version in front.
    pub fn open(what: &'static str, magic: &[u8; 8], record: &'a [u8]) -> Result<Self, RecordError> {
        let rest = record.strip_prefix(magic).ok_or(RecordError::NotARecord { what })?;
        let mut fields = Self { what, rest };
        match fields.u32("its version")? {
            VERSION => Ok(fields),
            version => Err(RecordError::Version { what, version }),
        }
    }

    /// Fields without anything in front.
    pub fn new(what: &'static str, rest: &'a [u8]) -> Self {
        Self { what, rest }
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn damaged(&self, field: &'static str) -> RecordError {
        RecordError::Damaged { what: self.what, field }
    }

    fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.damaged(field))?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.damaged(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self, field: &'static str) -> Result<u8, RecordError> {
        Ok(u8::from_le_bytes(self.array(field)?))
    }

    pub fn u32(&mut self, field: &'static str) -> Result<u32, RecordError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub fn u64(&mut self, field: &'static str) -> Result<u64, RecordError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// Bytes with a 64-bit length in front.
    pub fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], RecordError> {
        let length = self.u64(field)?;
        let length = usize::try_from(length).map_err(|_| self.damaged(field))?;
        self.take(length, field)
    }

    /// Text with its length in front.
    pub fn text(&mut self, field: &'static str) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| self.damaged(field))
    }

    /// Something that has a form as text.
    pub fn parsed<T: FromStr>(&mut self, field: &'static str) -> Result<T, RecordError> {
        self.text(field)?.parse().map_err(|_| self.damaged(field))
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<(), RecordError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.damaged("its end")) }
    }
}

/// Begins a record.
pub fn begin(magic: &[u8; 8]) -> Vec<u8> {
    [&magic[..], &VERSION.to_le_bytes()].concat()
}

/// Appends bytes with their length in front.
pub fn put(record: &mut Vec<u8>, bytes: &[u8]) {
    record.extend((bytes.len() as u64).to_le_bytes());
    record.extend(bytes);
}
