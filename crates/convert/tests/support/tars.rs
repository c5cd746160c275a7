//! Layer tars made in memory.

use tar::{Builder, EntryType, Header};

/// A tar under construction; every entry has owner 0:0 and the time 1,700,000,000 unless said otherwise.
pub struct Tar {
    builder: Builder<Vec<u8>>,
}

impl Tar {
    pub fn new() -> Tar {
        Tar { builder: Builder::new(Vec::new()) }
    }

    fn header(kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(size);
        header
    }

    /// A regular file.
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Tar {
        let content = content.as_ref();
        let mut header = Tar::header(EntryType::Regular, 0o644, content.len() as u64);
        self.builder.append_data(&mut header, path, content).unwrap();
        self
    }

    /// A directory.
    pub fn dir(mut self, path: &str, mode: u32) -> Tar {
        let mut header = Tar::header(EntryType::Directory, mode, 0);
        self.builder.append_data(&mut header, path, &[][..]).unwrap();
        self
    }

    /// A symbolic link.
    pub fn symlink(mut self, path: &str, target: &str) -> Tar {
        let mut header = Tar::header(EntryType::Symlink, 0o777, 0);
        self.builder.append_link(&mut header, path, target).unwrap();
        self
    }

    /// A hard link.
    pub fn hard_link(mut self, path: &str, target: &str) -> Tar {
        let mut header = Tar::header(EntryType::Link, 0o644, 0);
        self.builder.append_link(&mut header, path, target).unwrap();
        self
    }

    /// A character device, block device or fifo.
    pub fn special(mut self, path: &str, kind: EntryType, device: Option<(u32, u32)>) -> Tar {
        let mut header = Tar::header(kind, 0o600, 0);
        if let Some((major, minor)) = device {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        }
        self.builder.append_data(&mut header, path, &[][..]).unwrap();
        self
    }

    /// PAX records for the next entry.
    pub fn pax(mut self, records: &[(&str, &[u8])]) -> Tar {
        self.builder.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    /// A header and content as they stand, padded to a block; the name is not checked in any way.
    pub fn raw(mut self, name: &[u8], change: impl FnOnce(&mut Header), content: &[u8]) -> Tar {
        let mut header = Tar::header(EntryType::Regular, 0o644, content.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        change(&mut header);
        header.set_cksum();
        self.builder.append(&header, content).unwrap();
        self
    }

    /// The tar with its end blocks.
    pub fn finish(self) -> Vec<u8> {
        self.builder.into_inner().unwrap()
    }
}
