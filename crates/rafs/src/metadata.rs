//! What an inode carries besides its content.

use crate::named::{IntoIter, Named};

/// A point in time as seconds and nanoseconds since the epoch. Negative seconds are times before 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01T00:00:00Z, rounded towards the past.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 10⁹.
    pub nanos: u32,
}

/// Owner, permission bits, modification time and extended attributes of an inode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Permission, set-id and sticky bits: `st_mode & 0o7777`. The type lives in the inode's kind.
    pub mode: u16,
    /// User id of the owner.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Modification time.
    pub mtime: Timestamp,
    /// Extended attributes by full name.
    pub xattrs: Xattrs,
}

impl Metadata {
    /// What a directory gets that no source describes: mode 0755, owner root, time 0.
    pub fn implicit_directory() -> Self {
        Self { mode: 0o755, ..Self::default() }
    }
}

/// Device number of a character or block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct DeviceNumber {
    /// Major number; on disk 12 bits.
    pub major: u32,
    /// Minor number; on disk 20 bits.
    pub minor: u32,
}

impl DeviceNumber {
    /// The 32-bit form used on disk (Linux `new_encode_dev`); `None` if a number does not fit.
    pub(crate) fn encode(self) -> Option<u32> {
        (self.major <= 0xfff && self.minor <= 0xf_ffff)
            .then_some((self.major << 8) | (self.minor & 0xff) | ((self.minor & 0xf_ff00) << 12))
    }

    /// The inverse of [`DeviceNumber::encode`]; every value is valid.
    pub(crate) const fn decode(raw: u32) -> Self {
        Self { major: (raw >> 8) & 0xfff, minor: (raw & 0xff) | ((raw >> 12) & 0xf_ff00) }
    }
}

/// Extended attributes: full name (`user.mime_type`) to raw value, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Xattrs(Named<Box<[u8]>>);

impl Xattrs {
    /// No attributes.
    pub const fn new() -> Self {
        Self(Named::new())
    }

    /// Sets an attribute; a later value replaces an earlier one.
    pub fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.0.insert(&name, value.into());
    }

    /// The value of an attribute.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// Removes an attribute.
    pub fn remove(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        self.0.remove(name).map(<[u8]>::into_vec)
    }

    /// Names and values in order of the names' bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name, value.as_ref()))
    }

    /// Number of attributes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

impl FromIterator<(Vec<u8>, Vec<u8>)> for Xattrs {
    fn from_iter<I: IntoIterator<Item = (Vec<u8>, Vec<u8>)>>(pairs: I) -> Self {
        let mut xattrs = Self::new();
        xattrs.extend(pairs);
        xattrs
    }
}

impl Extend<(Vec<u8>, Vec<u8>)> for Xattrs {
    fn extend<I: IntoIterator<Item = (Vec<u8>, Vec<u8>)>>(&mut self, pairs: I) {
        pairs.into_iter().for_each(|(name, value)| self.insert(name, value));
    }
}

impl IntoIterator for Xattrs {
    type Item = (Vec<u8>, Vec<u8>);
    type IntoIter = XattrsIntoIter;

    fn into_iter(self) -> Self::IntoIter {
        XattrsIntoIter(self.0.into_iter())
    }
}

/// Names and values of extended attributes, taken.
#[derive(Debug)]
pub struct XattrsIntoIter(IntoIter<Box<[u8]>>);

impl Iterator for XattrsIntoIter {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (name.into_vec(), value.into_vec()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn device_numbers() {
        for (major, minor, raw) in [
            (0, 0, 0),
            (1, 3, 0x103),
            (8, 1, 0x801),
            (0xfff, 0xf_ffff, 0xffff_ffff),
            (259, 0x12345, 0x1231_0345),
        ] {
            let number = DeviceNumber { major, minor };
            assert_eq!(number.encode(), Some(raw));
            assert_eq!(DeviceNumber::decode(raw), number);
        }
        assert_eq!(DeviceNumber { major: 0x1000, minor: 0 }.encode(), None);
        assert_eq!(DeviceNumber { major: 0, minor: 0x10_0000 }.encode(), None);
    }
}
