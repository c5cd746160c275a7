//! The seam for exact replay: whoever watches the reader through a [`Tape`] sees every byte of the tar once, in order,
//! sorted by what it is. All calls concatenated (a count of zero blocks standing for that many blocks) are the stream
//! up to where the reader stopped, and all of it once [`LayerReader::finish`](crate::LayerReader::finish) is through.
//!
//! ```text
//! header │ extension │ padding      PAX records, GNU long name: block, body, zeros up to the next block
//! header │ content… │ padding       a regular file
//! header │ extension… │ content…    a sparse file with its map in blocks of its own
//! header │ opaque… │ padding        data behind an entry that is no regular file
//! zero_blocks │ opaque…             the end, and whatever follows it
//! ```
//! Content and opaque bytes that the reader passes over because nobody asked for them can be told apart from those
//! that were handed out: `content` and `unclaimed` are in the caller's hands, `skipped` and `opaque` are not.

/// Size of a tar block in bytes.
pub const BLOCK: usize = 512;

/// A watcher of the raw tar.
pub trait Tape {
    /// A header block with a correct checksum.
    fn header(&mut self, block: &[u8; BLOCK]);
    /// The whole body of an extension header, or a sparse map: one extension block of the old GNU form, or all blocks
    /// of the map in front of the content.
    fn extension(&mut self, body: &[u8]);
    /// Stored content of a regular file that the caller reads; sparse holes are not stored. Any number of calls a file.
    fn content(&mut self, bytes: &[u8]);
    /// Stored content of a regular file that nobody reads. Any number of calls a file.
    fn skipped(&mut self, bytes: &[u8]) {
        self.content(bytes);
    }
    /// A hole of a sparse file, `length` bytes of zeros in what the caller reads with
    /// [`read_content`](crate::LayerReader::read_content): nothing of the tar. Any number of calls a hole.
    fn hole(&mut self, length: u64) {
        let _ = length;
    }
    /// What fills the last block of a body, at most 511 bytes in one call; not necessarily zeros, and not all of it if
    /// the stream ends there.
    fn padding(&mut self, bytes: &[u8]);
    /// Blocks of 512 zeros where a header could stand.
    fn zero_blocks(&mut self, count: u64);
    /// Bytes with no meaning for the tree: data behind an entry that is no regular file, what follows the end of the
    /// archive, and everything from the first byte that could not be understood.
    fn opaque(&mut self, bytes: &[u8]);
    /// The same, read by the caller with [`read_stored`](crate::LayerReader::read_stored).
    fn unclaimed(&mut self, bytes: &[u8]) {
        self.opaque(bytes);
    }
}

/// Watches nothing.
impl Tape for () {
    fn header(&mut self, _: &[u8; BLOCK]) {}
    fn extension(&mut self, _: &[u8]) {}
    fn content(&mut self, _: &[u8]) {}
    fn padding(&mut self, _: &[u8]) {}
    fn zero_blocks(&mut self, _: u64) {}
    fn opaque(&mut self, _: &[u8]) {}
}

impl<T: Tape + ?Sized> Tape for &mut T {
    fn header(&mut self, block: &[u8; BLOCK]) {
        (**self).header(block);
    }

    fn extension(&mut self, body: &[u8]) {
        (**self).extension(body);
    }

    fn content(&mut self, bytes: &[u8]) {
        (**self).content(bytes);
    }

    fn skipped(&mut self, bytes: &[u8]) {
        (**self).skipped(bytes);
    }

    fn hole(&mut self, length: u64) {
        (**self).hole(length);
    }

    fn padding(&mut self, bytes: &[u8]) {
        (**self).padding(bytes);
    }

    fn zero_blocks(&mut self, count: u64) {
        (**self).zero_blocks(count);
    }

    fn opaque(&mut self, bytes: &[u8]) {
        (**self).opaque(bytes);
    }

    fn unclaimed(&mut self, bytes: &[u8]) {
        (**self).unclaimed(bytes);
    }
}
