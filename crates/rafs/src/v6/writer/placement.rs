//! Where inodes and their data go: the packing that the reference builder uses, without which bytes would differ.
//!
//! The area grows at its end. When a block is left behind half full, its free tail is remembered by the number of free
//! slots, and later inodes move in: the best fitting tail first, of equal ones the one freed first.
//!
//! Offsets are relative to the metadata area; its first block stays empty.

use std::collections::VecDeque;

use crate::v6::layout::{BLOCK, BlockSize, SLOT};

const BINS: usize = (BLOCK / SLOT) as usize;

/// The metadata area while it is laid out.
pub(super) struct Area {
    end: u64,
    block: BlockSize,
    /// `bins[i]`: starts of blocks with `i` free slots at their end.
    bins: [VecDeque<u64>; BINS],
}

/// Where an inode with content went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// Start of the inode.
    pub(super) inode: u64,
    /// Start of the content that does not follow the inode. Where there is none it is where it would be.
    pub(super) data: u64,
}

/// How many of `data` bytes of content follow their inode, whose `head` is inode and extended attributes: the last
/// partial block, if both fit one block, else nothing.
pub(super) fn inline_part(block: BlockSize, head: u64, data: u64) -> u64 {
    let tail = data % block.bytes();
    if head + tail <= block.bytes() { tail } else { 0 }
}

impl Area {
    pub(super) fn new(block: BlockSize) -> Self {
        Self { end: BLOCK, block, bins: std::array::from_fn(|_| VecDeque::new()) }
    }

    /// End of everything placed so far.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// A directory or symbolic link: `head` bytes of inode and extended attributes, `data` bytes of content.
    pub(super) fn place_with_content(&mut self, head: u64, data: u64) -> Placed {
        let placed = match inline_part(self.block, head, data) {
            0 => self.place_plain(head, data),
            tail => self.place_inline(head, data, tail),
        };
        self.align_to_slot();
        placed
    }

    fn place_inline(&mut self, head: u64, data: u64, tail: u64) -> Placed {
        let (size, block) = (head + tail, self.block.bytes());
        let inode = self.take(size).unwrap_or_else(|| {
            if block - self.end % block < size {
                self.leave_block();
            }
            self.append(size)
        });
        if data != tail {
            self.leave_block();
        }
        Placed { inode, data: self.append(data - tail) }
    }

    fn place_plain(&mut self, head: u64, data: u64) -> Placed {
        let inode = self.take(head).unwrap_or_else(|| self.append(head));
        self.leave_block();
        let data = self.append(data);
        self.end = self.end.next_multiple_of(self.block.bytes());
        Placed { inode, data }
    }

    /// A regular file with `chunks` index entries.
    pub(super) fn place_file(&mut self, head: u64, chunks: u64) -> u64 {
        let size = head.next_multiple_of(8) + 8 * chunks;
        let inode = self.take(size).unwrap_or_else(|| self.append(size));
        self.align_to_slot();
        inode
    }

    /// A device, pipe or socket. These never fill gaps.
    pub(super) fn place_special(&mut self, head: u64) -> u64 {
        let inode = self.append(head);
        self.align_to_slot();
        inode
    }

    fn append(&mut self, size: u64) -> u64 {
        let start = self.end;
        self.end += size;
        start
    }

    fn align_to_slot(&mut self) {
        self.end = self.end.next_multiple_of(SLOT);
    }

    /// Goes on at a block boundary and remembers what is free before it.
    fn leave_block(&mut self) {
        self.give(self.end);
        self.end = self.end.next_multiple_of(self.block.bytes());
    }

    fn give(&mut self, from: u64) {
        let block = self.block.bytes();
        let used = from % block;
        if used != 0 {
            let free = ((block - used) / SLOT) as usize;
            self.bins[free].push_back(from - used);
        }
    }

    fn take(&mut self, size: u64) -> Option<u64> {
        let block = self.block.bytes();
        if size >= block {
            return None;
        }
        let need = size.div_ceil(SLOT);
        let (free, start) =
            (need..block / SLOT).find_map(|free| Some((free, self.bins[free as usize].pop_front()?)))?;
        let start = start + block - SLOT * free;
        self.give(start + SLOT * need);
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_content_follows_its_inode() {
        let mut area = Area::new(BlockSize::PAGE);
        assert_eq!(area.place_with_content(64, 0x56), Placed { inode: 4096, data: 4246 });
        // The next inode starts at the next slot.
        assert_eq!(area.place_file(64, 1), 4256);
        assert_eq!(area.place_special(64), 4256 + 96);
    }

    #[test]
    fn content_without_a_tail_lies_in_blocks_of_its_own() {
        let mut area = Area::new(BlockSize::PAGE);
        assert_eq!(area.place_with_content(64, 8192), Placed { inode: 4096, data: 8192 });
        assert_eq!(area.end(), 16384);
        // The block that was left has room behind the inode.
        assert_eq!(area.place_file(64, 4), 4096 + 64);
        assert_eq!(area.place_special(64), 16384);
    }

    #[test]
    fn a_tail_that_leaves_no_room_for_the_inode_is_not_inline() {
        for (head, data, inline) in
            [(64, 1, 1), (64, 4032, 4032), (64, 4033, 0), (64, 4096, 0), (64, 8193, 1), (5000, 1, 0)]
        {
            assert_eq!(inline_part(BlockSize::PAGE, head, data), inline);
        }
    }

    #[test]
    fn full_blocks_start_at_block_boundaries() {
        let mut area = Area::new(BlockSize::PAGE);
        assert_eq!(area.place_with_content(64, 4096 + 10), Placed { inode: 4096, data: 8192 });
        // 4096 + 74 bytes are used; the free slots before 8192 start at the next slot boundary.
        assert_eq!(area.place_file(64, 1), 4096 + 96);
        assert_eq!(area.end(), 12288);
    }

    #[test]
    fn the_best_fitting_gap_is_taken_first() {
        let mut area = Area::new(BlockSize::PAGE);
        area.place_with_content(4000, 4096);
        area.place_with_content(2000, 4096);
        // Gaps: 3 slots at the end of the first block, 65 at the end of the block after its data.
        assert_eq!(area.place_file(64, 4), 4096 + 4000);
        assert_eq!(area.place_file(64, 4), 12288 + 2016);
    }
}
