//! One section as a stream: nothing is held but a buffer, and the digest decides before the last bytes are given out.
//!
//! ```text
//!   stored bytes ──► zstd, where it is a frame ──► SHA-256, length ──► consumer
//!   (positional)                                   checked before the last piece
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::io::{self, BufReader, Cursor, Read};

use nydus_convert_rafs::Compressor;
use nydus_convert_rafs::meta::section;

use super::error::BlobError;
use super::reader::BlobReader;
use super::sections::{self, Section};
use super::source::ReadAt;
use crate::sha256::Sha256;

/// Bytes that are read at once from the blob.
const PIECE: usize = 128 << 10;

/// A section that is being read, made by [`BlobReader::section_reader`].
///
/// A section that is not what its digest or its length says ends in an [`io::Error`] with a [`BlobError`] in it, and
/// always before its last byte was given out: whoever has read all of it has read the right bytes.
pub struct SectionReader<'a, S> {
    reader: &'a BlobReader<S>,
    section: &'a Section,
    body: Body<'a, S>,
    hash: Sha256,
    /// Plain bytes that are still to come.
    left: u64,
    checked: bool,
}

enum Body<'a, S> {
    /// Nothing was read yet.
    Unopened,
    Stored(Range<'a, S>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Range<'a, S>>>>),
    /// What can only be decompressed as a whole.
    Whole(Cursor<Vec<u8>>),
}

impl<S: ReadAt> BlobReader<S> {
    /// The plain bytes of a section as a stream, for sections of any length; of the chunk data, the stored bytes.
    /// They are checked against the digest where the blob has one. `None` if there is no such section.
    pub fn section_reader(&self, name: &str) -> Option<SectionReader<'_, S>> {
        let section = self.find(name)?;
        let left = stream_length(section);
        let (body, hash) = (Body::Unopened, Sha256::default());
        Some(SectionReader { reader: self, section, body, hash, left, checked: false })
    }
}

/// Bytes that reading a section gives.
pub(super) fn stream_length(section: &Section) -> u64 {
    if section.name == section::IMAGE_BLOB { section.compressed_size } else { section.uncompressed_size }
}

impl<S: ReadAt> SectionReader<'_, S> {
    /// Plain bytes that are still to come: before the first read, the length of the section.
    pub fn remaining(&self) -> u64 {
        self.left
    }

    fn open(&mut self) -> io::Result<()> {
        let section = self.section;
        let range = Range { reader: self.reader, at: section.offset, end: section.end() };
        self.body = match section.compressor {
            Compressor::None => Body::Stored(range),
            Compressor::Zstd => {
                let buffered = BufReader::with_capacity(PIECE, range);
                Body::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(buffered)?.single_frame()))
            }
            Compressor::Lz4Block | Compressor::Gzip => {
                let whole = self.reader.section(&section.name).map_err(damaged)?;
                Body::Whole(Cursor::new(whole.unwrap_or_default()))
            }
        };
        Ok(())
    }

    fn fill(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Body::Unopened = self.body {
            self.open()?;
        }
        match &mut self.body {
            Body::Unopened => Ok(0),
            Body::Stored(range) => range.read(out),
            Body::Zstd(decoder) => decoder.read(out),
            Body::Whole(bytes) => bytes.read(out),
        }
    }

    /// The section ended where it should, and has its digest.
    fn check(&mut self) -> io::Result<()> {
        let longer = self.fill(&mut [0])? != 0;
        if self.section.name == section::IMAGE_BLOB {
            self.hash.update(&section::write(&self.section.name, self.section.compressed_size));
        }
        let other = self.section.digest.is_some_and(|digest| digest != self.hash.digest());
        if longer || other { Err(self.wrong()) } else { Ok(()) }
    }

    fn wrong(&self) -> io::Error {
        let &Section { ref name, offset, .. } = self.section;
        damaged(BlobError::SectionDigest { section: name.clone(), offset })
    }
}

impl<S: ReadAt> Read for SectionReader<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || self.checked && self.left == 0 {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let filled = self.fill(out.get_mut(..most).unwrap_or_default())?;
        if filled == 0 && most > 0 {
            return Err(self.wrong());
        }
        self.hash.update(out.get(..filled).unwrap_or_default());
        let left = self.left.saturating_sub(filled as u64);
        if left == 0 {
            // A failure is for good: every later read finds it again, by a hash that never fits.
            self.check()?;
            self.checked = true;
        }
        self.left = left;
        Ok(filled)
    }
}

/// Stored bytes from one place to another.
struct Range<'a, S> {
    reader: &'a BlobReader<S>,
    at: u64,
    end: u64,
}

impl<S: ReadAt> Read for Range<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.at);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(out.len()).min(PIECE);
        let out = out.get_mut(..length).unwrap_or_default();
        if length > 0 {
            sections::read(self.reader.source(), self.at, out).map_err(damaged)?;
            self.at = self.at.saturating_add(length as u64);
        }
        Ok(length)
    }
}

fn damaged(error: BlobError) -> io::Error {
    let kind = match &error {
        BlobError::Read { source, .. } => source.kind(),
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}
