//! A layer's tree to bytes.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::collections::HashMap;

use super::numbers::{put, put_bytes, put_signed};
use super::{Before, MAGIC_TREE, MAX_IN_RUNS, head};
use crate::{ChunkRef, Inode, InodeId, InodeKind, LayerTree, Metadata, Tree};

impl LayerTree {
    /// Everything of a [finished](LayerTree::finish) layer that laying it over others needs, for [`LayerTree::parse`].
    ///
    /// Inodes that no name leads to are left out. Equal layers give equal bytes, however they came about.
    pub fn write(&self) -> Vec<u8> {
        let mut writer =
            Writer { out: MAGIC_TREE.to_vec(), numbers: HashMap::new(), before: Before::default() };
        writer.tree(self.tree());
        put(&mut writer.out, self.links().len() as u64);
        for link in self.links() {
            put_bytes(&mut writer.out, link.path.as_bytes());
            put_bytes(&mut writer.out, link.target.as_bytes());
            let placeholder = writer.reference(link.placeholder);
            put(&mut writer.out, placeholder);
            put(&mut writer.out, link.earlier.into());
            let forward = link.forward.map_or(0, |id| writer.reference(id).saturating_add(1));
            put(&mut writer.out, forward);
        }
        writer.out
    }
}

struct Writer {
    out: Vec<u8>,
    /// The numbers of the inodes that are written.
    numbers: HashMap<InodeId, u64>,
    before: Before,
}

impl Writer {
    fn tree(&mut self, tree: &Tree) {
        let mut stack: Vec<(Option<&[u8]>, InodeId)> = vec![(None, tree.root())];
        while let Some((name, id)) = stack.pop() {
            if let Some(name) = name {
                put_bytes(&mut self.out, name);
            }
            if let Some(number) = self.numbers.get(&id) {
                self.out.push(head::LINK);
                put(&mut self.out, *number);
                continue;
            }
            self.numbers.insert(id, self.numbers.len() as u64);
            self.inode(tree.inode(id));
            if let Some(directory) = tree.directory(id) {
                stack.extend(directory.iter().rev().map(|(name, child)| (Some(name), child)));
            }
        }
    }

    fn inode(&mut self, inode: &Inode) {
        let kind = match &inode.kind {
            InodeKind::Directory(directory) if directory.implicit => head::DIRECTORY | head::IMPLICIT,
            InodeKind::Directory(_) => head::DIRECTORY,
            InodeKind::Regular { .. } => head::REGULAR,
            InodeKind::Symlink { .. } => head::SYMLINK,
            InodeKind::CharDevice(_) => head::CHAR_DEVICE,
            InodeKind::BlockDevice(_) => head::BLOCK_DEVICE,
            InodeKind::Fifo => head::FIFO,
            InodeKind::Socket => head::SOCKET,
        };
        self.metadata(kind, &inode.metadata);
        match &inode.kind {
            InodeKind::Directory(directory) => put(&mut self.out, directory.len() as u64),
            InodeKind::Regular { size, chunks } => {
                put(&mut self.out, *size);
                self.chunks(chunks);
            }
            InodeKind::Symlink { target } => put_bytes(&mut self.out, target),
            InodeKind::CharDevice(number) | InodeKind::BlockDevice(number) => {
                put(&mut self.out, number.major.into());
                put(&mut self.out, number.minor.into());
            }
            InodeKind::Fifo | InodeKind::Socket => {}
        }
    }

    fn metadata(&mut self, kind: u8, metadata: &Metadata) {
        let (out, before) = (&mut self.out, &mut self.before);
        let mode = metadata.mode != before.mode;
        let owner = (metadata.uid, metadata.gid) != (before.uid, before.gid);
        let mtime = metadata.mtime != before.mtime;
        let xattrs = !metadata.xattrs.is_empty();
        let bits = [(mode, head::MODE), (owner, head::OWNER), (mtime, head::MTIME), (xattrs, head::XATTRS)];
        out.push(bits.iter().filter(|(is, _)| *is).fold(kind, |all, (_, bit)| all | bit));
        if mode {
            put(out, metadata.mode.into());
            before.mode = metadata.mode;
        }
        if owner {
            put(out, metadata.uid.into());
            put(out, metadata.gid.into());
            (before.uid, before.gid) = (metadata.uid, metadata.gid);
        }
        if mtime {
            put_signed(out, metadata.mtime.seconds.wrapping_sub(before.mtime.seconds));
            put(out, metadata.mtime.nanos.into());
            before.mtime = metadata.mtime;
        }
        if xattrs {
            put(out, metadata.xattrs.len() as u64);
            for (name, value) in metadata.xattrs.iter() {
                put_bytes(out, name);
                put_bytes(out, value);
            }
        }
    }

    fn chunks(&mut self, chunks: &[ChunkRef]) {
        let follows =
            |a: &ChunkRef, b: &ChunkRef| a.blob == b.blob && a.index.checked_add(1) == Some(b.index);
        let mut runs: Vec<&[ChunkRef]> = Vec::new();
        for run in chunks.chunk_by(follows) {
            let in_runs = self.before.in_runs.saturating_add(run.len() as u64);
            if run.len() == 1 {
                runs.push(run);
            } else if in_runs <= MAX_IN_RUNS {
                self.before.in_runs = in_runs;
                runs.push(run);
            } else {
                runs.extend(run.chunks(1));
            }
        }
        put(&mut self.out, runs.len() as u64);
        runs.into_iter().for_each(|run| self.run(run));
    }

    fn run(&mut self, run: &[ChunkRef]) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        let (out, before) = (&mut self.out, &mut self.before);
        let elsewhere = (first.blob, i64::from(first.index)) != (before.blob, before.index);
        let more = (run.len() as u64).saturating_sub(1);
        put(out, (more << 1) | u64::from(elsewhere));
        if elsewhere {
            put(out, first.blob.into());
            put_signed(out, i64::from(first.index).wrapping_sub(before.index));
        }
        (before.blob, before.index) = (last.blob, i64::from(last.index).wrapping_add(1));
    }

    fn reference(&self, id: InodeId) -> u64 {
        self.numbers.get(&id).map_or(0, |number| number.saturating_add(1))
    }
}
