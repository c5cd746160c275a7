//! The content of a directory: blocks of entries, each followed by the names of its block.
//!
//! ```text
//! | entry 0 | entry 1 | … | name 0 | name 1 | … | zeros |     every block but the last is full
//!   12 bytes                ▲
//!                           └ name_offset of entry 0, so name_offset / 12 is the number of entries
//! ```
//!
//! `.` and `..` are sorted among the children: names such as `-` come before them.
//!
//! The last block is never full, though the reference builder fills it too: of a directory whose size is a multiple of
//! the block's, nydusd up to 2.2 takes what follows for a part of the last name, and so finds no file of that name.

use std::io;

use zerocopy::IntoBytes;

use crate::emit::Emit;
use crate::file_type::FileType;
use crate::v6::layout::{BlockSize, Dirent};
use crate::{Directory, InodeId};

/// Emits the content of the directory `this`. `locate` tells number and type of an inode.
pub(super) fn emit(
    block_size: BlockSize,
    directory: &Directory,
    this: InodeId,
    parent: InodeId,
    locate: impl Fn(InodeId) -> (u64, FileType),
    out: &mut dyn Emit,
) -> io::Result<()> {
    let mut block = Block { entries: Vec::new(), size: 0 };
    let mut entries = entries(directory, this, parent).peekable();
    while let Some((name, id)) = entries.next() {
        let size = size_of::<Dirent>() + name.len();
        let room = block_size.len() - usize::from(entries.peek().is_none());
        if block.size + size > room {
            block.emit(&locate, out)?;
            out.zeros(block_size.bytes() - block.size as u64)?;
            block = Block { entries: block.entries, size: 0 };
            block.entries.clear();
        }
        block.entries.push((name, id));
        block.size += size;
    }
    block.emit(&locate, out)
}

/// Children, `.` and `..` in byte order.
fn entries(directory: &Directory, this: InodeId, parent: InodeId) -> impl Iterator<Item = (&[u8], InodeId)> {
    let mut dots = [(&b"."[..], this), (&b".."[..], parent)].into_iter().peekable();
    let mut children = directory.iter().peekable();
    std::iter::from_fn(move || {
        let dot_first = match (dots.peek(), children.peek()) {
            (Some((dot, _)), Some((name, _))) => dot < name,
            (dot, _) => dot.is_some(),
        };
        if dot_first { dots.next() } else { children.next() }
    })
}

struct Block<'a> {
    entries: Vec<(&'a [u8], InodeId)>,
    size: usize,
}

impl Block<'_> {
    fn emit(&self, locate: &impl Fn(InodeId) -> (u64, FileType), out: &mut dyn Emit) -> io::Result<()> {
        let mut name_offset = self.entries.len() * size_of::<Dirent>();
        for (name, id) in &self.entries {
            let (nid, file_type) = locate(*id);
            let entry = Dirent {
                nid: nid.into(),
                // At most 4096: the block holds it.
                name_offset: (name_offset as u16).into(),
                file_type: file_type.dirent_type(),
                reserved: 0,
            };
            out.put(entry.as_bytes())?;
            name_offset += name.len();
        }
        self.entries.iter().try_for_each(|(name, _)| out.put(name))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::emit::Stream;
    use crate::{Inode, InodeKind, Metadata, Tree};

    fn content(names: &[Vec<u8>]) -> Vec<u8> {
        let mut tree = Tree::new();
        let root = tree.root();
        for name in names {
            let id = tree.add(Inode { metadata: Metadata::default(), kind: InodeKind::Fifo }).unwrap();
            tree.set_child(root, name, id).unwrap();
        }
        let mut bytes = Vec::new();
        let mut stream = Stream::new(&mut bytes);
        let locate = |id: InodeId| (id.index() as u64, FileType::Fifo);
        emit(BlockSize::PAGE, tree.directory(root).unwrap(), root, root, locate, &mut stream).unwrap();
        bytes
    }

    #[test]
    fn dots_are_sorted_among_the_children() {
        let bytes = content(&[b"-x".to_vec(), b"...".to_vec(), b"a".to_vec()]);
        assert_eq!(bytes.len(), 5 * 12 + 9);
        assert_eq!(&bytes[60..], b"-x......a");
        assert_eq!(&bytes[8..12], &[60, 0, 5, 0]);
        assert_eq!(&bytes[4 * 12..4 * 12 + 12], &[3, 0, 0, 0, 0, 0, 0, 0, 68, 0, 5, 0]);
    }

    #[test]
    fn blocks_but_the_last_are_filled_to_the_last_byte() {
        // The dots take 27 bytes. 4069 bytes more fill one block: 19 names of 200 bytes and one of 29.
        let mut names: Vec<Vec<u8>> = (0..19).map(|number| format!("{number:0>200}").into_bytes()).collect();
        names.push(vec![b'z'; 29]);
        assert_eq!(content(&names).len(), 4096 + 41);
        names.push(vec![b'z'; 30]);
        assert_eq!(content(&names).len(), 4096 + 42);
        names.remove(19);
        names[18].push(b'x');
        let bytes = content(&names);
        assert_eq!(bytes.len(), 4096 + 42);
        assert_eq!(&bytes[4096 - 40..4096], &[0; 40]);
    }
}
