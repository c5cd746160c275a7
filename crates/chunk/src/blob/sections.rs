//! Where the sections of a blob lie.
//!
//! ```text
//!   … │ section │ header 512 │ section │ header 512 │ table of contents │ header 512
//!                                                     entries name offsets ──┘
//!   without a table:   ◄── its size tells where ──┘ ◄── the one before ──┘
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use nydus_convert_rafs::meta::MetaError;
use nydus_convert_rafs::meta::section::{self, SectionHeader};
use nydus_convert_rafs::meta::toc;
use nydus_convert_rafs::{Compressor, limits};

use super::error::BlobError;
use super::source::ReadAt;
use crate::sha256::Sha256;

/// The table of contents, with its header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Toc {
    pub(super) offset: u64,
    pub(super) digest: [u8; 32],
    /// SHA-256 and lengths of chunk data that lie in another blob, as its first entry tells.
    pub(super) elsewhere: Option<([u8; 32], u64, u64)>,
}

const MAX_SECTIONS: usize = limits::MAX_TOC_ENTRIES;
/// Length of a section header.
const HEADER: u64 = section::HEADER_LEN as u64;

/// A part of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name, such as `image.blob`.
    pub name: String,
    /// Where it starts, in bytes from the start of the blob.
    pub offset: u64,
    /// How it is stored. Without table of contents nothing is compressed but the CI, which knows for itself.
    pub compressor: Compressor,
    /// Stored length in bytes, without its header.
    pub compressed_size: u64,
    /// Plain length in bytes. Of the chunk data, that of the plain address space.
    pub uncompressed_size: u64,
    /// SHA-256 of the plain bytes, if the blob has a table of contents. Of the chunk data, that of the stored bytes
    /// and their header.
    pub digest: Option<[u8; 32]>,
}

impl Section {
    /// Where it ends; only asked of sections that were checked.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(self.compressed_size)
    }
}

pub(super) fn read(source: &impl ReadAt, offset: u64, buffer: &mut [u8]) -> Result<(), BlobError> {
    let length = buffer.len() as u64;
    source.read_exact_at(buffer, offset).map_err(|source| BlobError::Read { offset, length, source })
}

/// Finds all sections of a stream of `size` bytes, in the order of the stream.
pub(super) fn find(source: &impl ReadAt, size: u64) -> Result<(Vec<Section>, Option<Toc>), BlobError> {
    let not_a_blob = BlobError::NotABlob { size };
    let Some(last) = size.checked_sub(HEADER) else { return Err(not_a_blob) };
    let Ok(header) = read_header(source, last)? else { return Err(not_a_blob) };
    if header.name == section::TOC {
        let (sections, toc) = by_table(source, last, header.size)?;
        Ok((sections, Some(toc)))
    } else {
        Ok((by_headers(source, size)?, None))
    }
}

type Header = Result<SectionHeader, MetaError>;

fn read_header(source: &impl ReadAt, offset: u64) -> Result<Header, BlobError> {
    let mut header = [0; section::HEADER_LEN];
    read(source, offset, &mut header)?;
    Ok(section::parse(&header))
}

fn by_table(source: &impl ReadAt, end: u64, length: u64) -> Result<(Vec<Section>, Toc), BlobError> {
    let start = end.checked_sub(length).ok_or_else(|| BlobError::Bounds {
        section: section::TOC.to_owned(),
        offset: 0,
        length,
        start: 0,
        end,
    })?;
    let most = MAX_SECTIONS.saturating_mul(toc::ENTRY_LEN);
    let Some(length) = usize::try_from(length).ok().filter(|length| *length <= most) else {
        return Err(BlobError::TooManySections { limit: MAX_SECTIONS });
    };
    let mut table = vec![0; length.saturating_add(section::HEADER_LEN)];
    read(source, start, &mut table)?;
    let digest = Sha256::of(&table);
    table.truncate(length);
    let entries = toc::parse(&table).map_err(|source| BlobError::Structure {
        section: section::TOC.to_owned(),
        offset: start,
        source,
    })?;
    let mut sections: Vec<Section> = Vec::with_capacity(entries.len());
    let mut elsewhere = None;
    for entry in entries {
        // Data in another blob: the reference lists them as if they ended where this blob begins.
        if entry.name == section::IMAGE_BLOB && entry.offset > start {
            elsewhere = Some((entry.digest, entry.compressed_size, entry.uncompressed_size));
            continue;
        }
        let section = Section {
            name: entry.name,
            offset: entry.offset,
            compressor: entry.compressor,
            compressed_size: entry.compressed_size,
            uncompressed_size: entry.uncompressed_size,
            digest: Some(entry.digest),
        };
        let previous_end = sections.last().map_or(0, Section::end);
        check_place(&section, previous_end, start)?;
        refuse_second(&sections, &section)?;
        sections.push(section);
    }
    Ok((sections, Toc { offset: start, digest, elsewhere }))
}

fn by_headers(source: &impl ReadAt, size: u64) -> Result<Vec<Section>, BlobError> {
    let mut sections: Vec<Section> = Vec::new();
    let mut end = size;
    while end > 0 {
        let behind = sections.last().map_or("", |section| section.name.as_str()).to_owned();
        let at = end.checked_sub(HEADER).ok_or_else(|| BlobError::Bounds {
            section: behind.clone(),
            offset: 0,
            length: HEADER,
            start: 0,
            end,
        })?;
        let header = read_header(source, at)?;
        let header = header.map_err(|source| BlobError::Structure { section: behind, offset: at, source })?;
        let section = Section {
            // A section too long for what is before it starts at 0, and is refused below.
            offset: at.saturating_sub(header.size),
            name: header.name,
            compressor: Compressor::None,
            compressed_size: header.size,
            uncompressed_size: header.size,
            digest: None,
        };
        check_place(&section, 0, at)?;
        refuse_second(&sections, &section)?;
        if sections.len() == MAX_SECTIONS {
            return Err(BlobError::TooManySections { limit: MAX_SECTIONS });
        }
        end = section.offset;
        sections.push(section);
    }
    sections.reverse();
    Ok(sections)
}

fn check_place(section: &Section, start: u64, end: u64) -> Result<(), BlobError> {
    let &Section { offset, compressed_size: length, .. } = section;
    match offset.checked_add(length) {
        Some(section_end) if offset >= start && section_end <= end => Ok(()),
        _ => Err(BlobError::Bounds { section: section.name.clone(), offset, length, start, end }),
    }
}

fn refuse_second(sections: &[Section], section: &Section) -> Result<(), BlobError> {
    if sections.iter().any(|other| other.name == section.name) {
        return Err(BlobError::Duplicate { section: section.name.clone() });
    }
    Ok(())
}
