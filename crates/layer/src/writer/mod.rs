//! Fresh layers: entries ⇄ tar, the way out.
//!
//! [`LayerWriter`] takes entries one by one; [`LayerPlan`] makes a whole layer of a tree. Both write the same bytes for
//! the same entries: ustar where all fits, PAX records where not, no clock, no names of users. What comes out is read
//! back by [`LayerReader`](crate::LayerReader) as it went in.
//!
//! ```text
//! Tree ─► walk ─► steps ─► head ─► blocks ─┐
//!           │               └ records      ├─► tar
//!           └─► files ─► (caller) content ─┘
//! ```

mod error;
mod head;
mod plan;
mod records;
mod walk;

use std::io::{ErrorKind, Read, Write};

use nydus_convert_rafs::{EntryPath, Metadata};

pub use error::LayerWriteError;
pub use plan::{LayerPlan, LayerTar, Misfit};
pub use walk::Whiteouts;

use crate::entry::EntryKind;
use crate::tape::BLOCK;
use head::{Kind, encode, padding};

/// What ends an archive.
const END: usize = 2 * BLOCK;

/// Writes a layer entry by entry. Headers and contents are written as they come: a file as target wants a `BufWriter`.
#[derive(Debug)]
pub struct LayerWriter<W> {
    out: W,
    /// The entry whose content is being written.
    path: EntryPath,
    /// Bytes of its content that are still to come.
    remaining: u64,
    /// Bytes that fill its last block.
    padding: usize,
    scratch: Vec<u8>,
}

impl<W: Write> LayerWriter<W> {
    /// Begins a tar; nothing is written yet.
    pub const fn new(out: W) -> Self {
        Self { out, path: EntryPath::root(), remaining: 0, padding: 0, scratch: Vec::new() }
    }

    /// Adds an entry. The content of a file, as long as its kind declares, follows with [`LayerWriter::write_content`]
    /// or [`LayerWriter::copy_content`].
    ///
    /// # Errors
    /// The content of the entry before is not complete; the entry cannot be in a tar; the target fails.
    pub fn append(
        &mut self,
        path: &EntryPath,
        kind: &EntryKind,
        metadata: &Metadata,
    ) -> Result<(), LayerWriteError> {
        self.check_complete()?;
        let kind = Kind::of(kind)
            .map_err(|typeflag| LayerWriteError::UnsupportedType { path: path.clone(), typeflag })?;
        self.scratch.clear();
        encode(path.as_bytes(), kind, metadata, &mut self.scratch)?;
        write(&mut self.out, &self.scratch)?;
        if let Kind::Regular { size } = kind {
            (self.remaining, self.padding) = (size, padding(size));
            self.path.clone_from(path);
        }
        Ok(())
    }

    /// The next bytes of the present file's content.
    ///
    /// # Errors
    /// They are more than declared, in which case none of them is written; the target fails.
    pub fn write_content(&mut self, bytes: &[u8]) -> Result<(), LayerWriteError> {
        let length = bytes.len() as u64;
        if length > self.remaining {
            let (path, surplus) = (self.path.clone(), length - self.remaining);
            return Err(LayerWriteError::ContentTooLong { path, surplus });
        }
        if bytes.is_empty() {
            return Ok(());
        }
        write(&mut self.out, bytes)?;
        self.remaining -= length;
        if self.remaining == 0 {
            write(&mut self.out, &[0; BLOCK][..self.padding])?;
        }
        Ok(())
    }

    /// The rest of the present file's content, of which the source has to give neither more nor less.
    ///
    /// # Errors
    /// The source gives more or less than declared, or fails; the target fails.
    pub fn copy_content(&mut self, mut source: impl Read) -> Result<(), LayerWriteError> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => return self.check_complete(),
                Ok(count) => count,
                Err(source) if source.kind() == ErrorKind::Interrupted => continue,
                Err(source) => return Err(LayerWriteError::Content { path: self.path.clone(), source }),
            };
            self.write_content(&buffer[..count])?;
        }
    }

    /// Ends the archive with two blocks of zeros and gives the target back, not flushed.
    ///
    /// # Errors
    /// The content of the last entry is not complete; the target fails.
    pub fn finish(mut self) -> Result<W, LayerWriteError> {
        self.check_complete()?;
        write(&mut self.out, &[0; END])?;
        Ok(self.out)
    }

    fn check_complete(&self) -> Result<(), LayerWriteError> {
        match self.remaining {
            0 => Ok(()),
            missing => Err(LayerWriteError::ContentTooShort { path: self.path.clone(), missing }),
        }
    }
}

fn write(out: &mut impl Write, bytes: &[u8]) -> Result<(), LayerWriteError> {
    out.write_all(bytes).map_err(|source| LayerWriteError::Write { source })
}
