//! The digests that inodes carry, recomputed as the reference reader does when it is told to.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use thiserror::Error;

use super::record::Head;
use super::{ReadError, Reading, walk};
use crate::file_type::FileType;
use crate::input::Bytes;
use crate::v5::digest;
use crate::v5::layout::ROOT_NUMBER;
use crate::{EntryPath, Tree};

/// Why the digests of a bootstrap are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DigestError {
    /// It cannot be read in the first place.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An inode's digest is not that of its content.
    #[error("{path}: @ {offset:#x}: the digest of the inode is not that of its content")]
    Mismatch {
        /// The file.
        path: EntryPath,
        /// Where its record lies.
        offset: u64,
    },
}

/// Recomputes the digest of every directory, regular file and symbolic link, from what each name's own record says. As in
/// the reference reader, those of other inodes are taken as they are.
pub fn check_digests(bytes: &[u8]) -> Result<(), DigestError> {
    let reading = super::read(bytes)?;
    let bytes = Bytes::new(bytes);
    for &position in &reading.positions {
        let offset =
            walk::offset(bytes, &reading.superblock, position).map_err(|(_, problem)| unread(problem))?;
        let head = Head::read(bytes, offset).map_err(unread)?;
        // Records of further names were not read to their ends before: what cannot be read has no digest.
        let fine = expected(bytes, &reading, &head).is_some_and(|digest| digest == head.raw.digest);
        if !fine {
            return Err(DigestError::Mismatch { path: path_of(&reading, position, &head), offset });
        }
    }
    Ok(())
}

/// What was read once can be read again; should it fail, the error of the root says so.
fn unread(problem: super::EntryProblem) -> DigestError {
    ReadError::Entry { path: EntryPath::root(), offset: 0, problem }.into()
}

fn expected(bytes: Bytes<'_>, reading: &Reading, head: &Head<'_>) -> Option<[u8; 32]> {
    let digester = reading.superblock.digester;
    let body = head.body(bytes).ok()?;
    Some(match head.file_type {
        FileType::Directory => {
            let count = head.raw.child_count.get();
            let mut children = Vec::new();
            for number in 0..count {
                let position = head.raw.child_index.get().checked_add(number)?;
                let offset = walk::offset(bytes, &reading.superblock, position).ok()?;
                children.push(bytes.read::<[u8; 32]>(offset)?);
            }
            digest::of_digests(digester, children.into_iter())
        }
        FileType::Regular => digest::of_digests(digester, body.records().map(|record| record.digest)),
        FileType::Symlink => digester.digest(body.target).0,
        FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => head.raw.digest,
    })
}

/// The path of a record: that of the directory it names, and its name.
fn path_of(reading: &Reading, position: u32, head: &Head<'_>) -> EntryPath {
    if position == ROOT_NUMBER {
        return EntryPath::root();
    }
    let tree: &Tree = &reading.image.tree;
    let parent = reading.numbers.iter().position(|number| *number == head.raw.parent.get());
    let parent = parent.and_then(|index| tree.id_at(index)).and_then(|id| tree.path_of(id));
    parent.unwrap_or_default().join(head.name)
}
