//! Finds structures in a valid bootstrap, so that tests can damage one field at a time.

use std::collections::HashMap;

/// A bootstrap to damage.
#[derive(Clone)]
pub struct Raw {
    pub bytes: Vec<u8>,
    /// Offset of every inode by path, `/` for the root.
    inodes: HashMap<String, usize>,
    /// Offset of every directory entry by path of the directory and name: `/d/.`.
    entries: HashMap<String, usize>,
}

pub const SUPERBLOCK: usize = 1024;
pub const EXTENDED: usize = 1152;
pub const DEVICES: usize = 1408;

impl Raw {
    pub fn new(bytes: Vec<u8>) -> Self {
        let mut raw = Self { bytes, inodes: HashMap::new(), entries: HashMap::new() };
        raw.enter("/", u64::from(raw.u16(SUPERBLOCK + 14)));
        raw
    }

    fn enter(&mut self, path: &str, nid: u64) {
        let at = self.area() + nid as usize * 32;
        self.inodes.insert(path.to_owned(), at);
        if self.u16(at + 4) & 0o170_000 != 0o040_000 {
            return;
        }
        let size = self.u64(at + 8) as usize;
        assert!(size < 4096 && self.u16(at) == 5, "only small directories are searched");
        let xattrs = match self.u16(at + 2) {
            0 => 0,
            count => 12 + 4 * (usize::from(count) - 1),
        };
        let start = at + 64 + xattrs;
        let count = usize::from(self.u16(start + 8)) / 12;
        for number in 0..count {
            let entry = start + 12 * number;
            let end = if number + 1 < count { self.u16(entry + 20).into() } else { size };
            let name = &self.bytes[start + usize::from(self.u16(entry + 8))..start + end];
            let name = String::from_utf8(name.to_vec()).unwrap();
            let child = format!("{}/{name}", path.trim_end_matches('/'));
            self.entries.insert(child.clone(), entry);
            if name != "." && name != ".." {
                self.enter(&child, self.u64(entry));
            }
        }
    }

    /// Offset of the metadata area.
    pub fn area(&self) -> usize {
        self.u32(SUPERBLOCK + 40) as usize * 4096
    }

    pub fn inode(&self, path: &str) -> usize {
        self.inodes[path]
    }

    pub fn entry(&self, path: &str) -> usize {
        self.entries[path]
    }

    /// Offset of the name of an entry.
    pub fn name(&self, path: &str) -> usize {
        let directory = path.rsplit_once('/').unwrap().0;
        let block = self.entries.iter().filter(|(other, _)| other.rsplit_once('/').unwrap().0 == directory);
        let start = block.map(|(_, at)| *at).min().unwrap();
        start + usize::from(self.u16(self.entry(path) + 8))
    }

    /// Offset of a table and its length, by the offset of its fields in the extended superblock.
    pub fn table(&self, field: usize) -> usize {
        self.u64(EXTENDED + field) as usize
    }

    pub fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes[at..at + 2].try_into().unwrap())
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    pub fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}
