//! Stable text of bootstraps and blob metadata: for people, and for tests that compare.
//!
//! One fact a line, in the order of the bytes; nothing depends on anything but them. Offsets and sizes on disk are
//! hexadecimal, sizes of files and times are decimal.

use std::fmt::{self, Display};

use crate::meta::ci::{ChunkInformation, CiHeader};
use crate::meta::toc::TocEntry;
use crate::meta::zran::Zran;
use crate::{
    Blob, BlobFeatures, BlobName, Chunk, ChunkFlags, CiLocation, FsVersion, Image, InodeId, InodeKind,
    Metadata, ParseError, display_bytes, v5, v6,
};

/// Text of a whole bootstrap of either version, with the places of its tables and the numbers of its inodes. Keys of
/// encrypted blobs are not shown.
pub fn bootstrap(bytes: &[u8]) -> Result<impl Display + use<>, ParseError> {
    let version = FsVersion::detect(bytes).ok_or(ParseError::Unknown)?;
    let (image, numbers, flags, tables, area) = match version {
        FsVersion::V5 => {
            let v5::Reading { image, numbers, superblock, .. } = v5::read(bytes)?;
            (image, numbers, superblock.flags, superblock.tables().collect::<Vec<_>>(), None)
        }
        FsVersion::V6 => {
            let v6::Reading { image, nids, superblock } = v6::read(bytes)?;
            let tables = [superblock.devices, superblock.blobs, superblock.prefetch, superblock.chunks];
            (image, nids, superblock.flags, tables.to_vec(), Some(superblock.area))
        }
    };
    let length = bytes.len();
    Ok(Text(move |f: &mut fmt::Formatter<'_>| {
        writeln!(f, "bootstrap v{version}, {length:#x} bytes, flags {:#x}", flags.bits())?;
        for table in tables.iter().filter(|table| table.size != 0) {
            writeln!(f, "{} @ {:#x} +{:#x}", table.name, table.offset, table.size)?;
        }
        if let Some(area) = area {
            writeln!(f, "metadata @ {area:#x}")?;
        }
        write_image(f, &image, Some(&numbers))
    }))
}

/// Text of an image in memory.
pub fn image(image: &Image) -> impl Display + '_ {
    Text(move |f: &mut fmt::Formatter<'_>| write_image(f, image, None))
}

/// Text of a table of contents.
pub fn toc(entries: &[TocEntry]) -> impl Display + '_ {
    Text(move |f: &mut fmt::Formatter<'_>| {
        entries.iter().try_for_each(|entry| {
            writeln!(
                f,
                "{} @ {:#x} +{:#x} {} of {:#x} sha256:{}",
                display_bytes(entry.name.as_bytes()),
                entry.offset,
                entry.compressed_size,
                entry.compressor,
                entry.uncompressed_size,
                Hex(&entry.digest),
            )
        })
    })
}

/// Text of a blob's chunk information: its header and its chunks in order of their numbers.
pub fn chunk_information<'a>(header: &'a CiHeader, chunks: &'a [Chunk]) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let at = &header.location;
        writeln!(f, "chunk information of {} chunks, {}", header.entries, Features(header.features))?;
        writeln!(
            f,
            "payload @ {:#x} +{:#x} {} of {:#x}",
            at.offset, at.compressed_size, at.compressor, at.uncompressed_size
        )?;
        let table = &header.table;
        if table.size != 0 {
            writeln!(f, "contexts @ {:#x} +{:#x} {}", table.offset, table.size, table.entries)?;
        }
        (0..).zip(chunks).try_for_each(|(index, chunk)| write_chunk(f, index, chunk))
    })
}

/// Text of the batches of a blob, and of the places of their members.
pub fn batches(information: &ChunkInformation) -> impl Display + '_ {
    Text(move |f: &mut fmt::Formatter<'_>| {
        for (number, batch) in information.batches.iter().enumerate() {
            writeln!(
                f,
                "  batch {number} @ {:#x} +{:#x} of {:#x}",
                batch.compressed_offset, batch.compressed_size, batch.uncompressed_size
            )?;
        }
        let members = &information.members;
        members.iter().try_for_each(|member| {
            writeln!(f, "  chunk {} in batch {} @ {:#x}", member.chunk, member.batch, member.offset)
        })
    })
}

/// Text of the places where a decoder of a gzip layer can start, and of the chunks behind them.
pub fn zran(zran: &Zran) -> impl Display + '_ {
    Text(move |f: &mut fmt::Formatter<'_>| {
        for (number, context) in zran.contexts.iter().enumerate() {
            write!(
                f,
                "  context {number} @ {:#x} +{:#x} → {:#x} +{:#x}",
                context.in_offset, context.in_len, context.out_offset, context.out_len
            )?;
            if context.bits != 0 {
                write!(f, " {} bits of {:#04x}", context.bits, context.byte)?;
            }
            if context.dictionary_len != 0 {
                write!(f, " dictionary @ {:#x} +{:#x}", context.dictionary_offset, context.dictionary_len)?;
            }
            writeln!(f)?;
        }
        (0_u32..).zip(&zran.places).try_for_each(|(chunk, place)| {
            writeln!(f, "  chunk {chunk} in context {} @ {:#x}", place.context, place.offset)
        })
    })
}

fn write_image(f: &mut fmt::Formatter<'_>, image: &Image, nids: Option<&[u64]>) -> fmt::Result {
    writeln!(
        f,
        "compressor {}, digester {}, chunk size {:?}",
        image.compressor, image.digester, image.chunk_size
    )?;
    for (index, blob) in image.blobs.iter().enumerate() {
        write_blob(f, index, blob)?;
    }
    Lister { image, nids, links: image.tree.link_counts() }.write(f)?;
    for id in &image.prefetch {
        match nids.and_then(|nids| nids.get(id.index())) {
            Some(nid) => writeln!(f, "prefetch inode {nid}")?,
            None => writeln!(f, "prefetch #{}", id.index())?,
        }
    }
    Ok(())
}

fn write_blob(f: &mut fmt::Formatter<'_>, index: usize, blob: &Blob) -> fmt::Result {
    match blob.name {
        BlobName::ThisBlob => writeln!(f, "blob {index} (this blob)")?,
        BlobName::Id(id) => writeln!(f, "blob {index} {id}")?,
    }
    writeln!(f, "  {} {}, {} chunks", blob.compressor, blob.digester, blob.chunk_count)?;
    writeln!(f, "  {}", Features(blob.features))?;
    writeln!(f, "  size {:#x} of {:#x}", blob.compressed_size, blob.uncompressed_size)?;
    let ci = &blob.ci;
    // Blobs of v5 have none.
    if *ci != CiLocation::default() {
        writeln!(
            f,
            "  chunk information @ {:#x} +{:#x} {} of {:#x}",
            ci.offset, ci.compressed_size, ci.compressor, ci.uncompressed_size
        )?;
    }
    if blob.toc_size != 0 || blob.toc_digest != [0; 32] {
        writeln!(f, "  table of contents +{:#x} sha256:{}", blob.toc_size, Hex(&blob.toc_digest))?;
    }
    if blob.meta_size != 0 || blob.meta_digest != [0; 32] {
        writeln!(f, "  metadata blob +{:#x} sha256:{}", blob.meta_size, Hex(&blob.meta_digest))?;
    }
    if blob.cipher != crate::Cipher::None {
        writeln!(f, "  encrypted")?;
    }
    blob.chunks.iter().try_for_each(|(index, chunk)| write_chunk(f, index, chunk))
}

fn write_chunk(f: &mut fmt::Formatter<'_>, index: u32, chunk: &Chunk) -> fmt::Result {
    write!(
        f,
        "  chunk {index} @ {:#x} +{:#x} → {:#x} +{:#x}",
        chunk.compressed_offset, chunk.compressed_size, chunk.uncompressed_offset, chunk.uncompressed_size
    )?;
    let flags = chunk.flags.difference(ChunkFlags::HAS_CRC32);
    for (name, _) in flags.iter_names() {
        write!(f, " {}", name.to_lowercase())?;
    }
    if chunk.flags.contains(ChunkFlags::HAS_CRC32) {
        write!(f, " crc32c:{:08x}", chunk.crc32)?;
    }
    // Chunk information knows no digests.
    if chunk.digest != crate::ChunkDigest::default() {
        write!(f, " {}", chunk.digest)?;
    }
    writeln!(f)
}

/// Lists the tree by depth, two blanks a level: paths of deep trees would be longer than the trees.
struct Lister<'a> {
    image: &'a Image,
    nids: Option<&'a [u64]>,
    links: Vec<u32>,
}

impl Lister<'_> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = &self.image.tree;
        // The names of directories on the stack are looked up when they are written: no name is copied.
        let mut stack: Vec<(usize, &[u8], InodeId)> = vec![(0, b"/", tree.root())];
        while let Some((depth, name, id)) = stack.pop() {
            write!(f, "{:1$}", "", 2 * depth)?;
            self.write_entry(f, name, id)?;
            if let Some(directory) = tree.directory(id) {
                stack.extend(directory.iter().rev().map(|(name, id)| (depth + 1, name, id)));
            }
        }
        Ok(())
    }

    fn write_entry(&self, f: &mut fmt::Formatter<'_>, name: &[u8], id: InodeId) -> fmt::Result {
        let inode = self.image.tree.inode(id);
        let Metadata { mode, uid, gid, mtime, xattrs } = &inode.metadata;
        let nanos = if mtime.nanos == 0 { String::new() } else { format!(".{:09}", mtime.nanos) };
        write!(
            f,
            "{} {} {mode:04o} {uid}:{gid} {}{nanos}",
            display_bytes(name),
            kind_name(&inode.kind),
            mtime.seconds
        )?;
        if let Some(nid) = self.nids.and_then(|nids| nids.get(id.index())) {
            write!(f, " inode {nid}")?;
        }
        match self.links.get(id.index()) {
            Some(links) if *links > 1 && !matches!(inode.kind, InodeKind::Directory(_)) => {
                write!(f, " links {links}")?;
            }
            _ => {}
        }
        match &inode.kind {
            InodeKind::Regular { size, chunks } => {
                write!(f, " {size} bytes")?;
                chunks.iter().try_for_each(|chunk| write!(f, " {}:{}", chunk.blob, chunk.index))?;
            }
            InodeKind::Symlink { target } => write!(f, " → {}", display_bytes(target))?,
            InodeKind::CharDevice(number) | InodeKind::BlockDevice(number) => {
                write!(f, " {}:{}", number.major, number.minor)?;
            }
            InodeKind::Directory(_) | InodeKind::Fifo | InodeKind::Socket => {}
        }
        for (name, value) in xattrs.iter() {
            write!(f, " {}={}", display_bytes(name), Hex(value))?;
        }
        writeln!(f)
    }
}

fn kind_name(kind: &InodeKind) -> &'static str {
    match kind {
        InodeKind::Directory(_) => "directory",
        InodeKind::Regular { .. } => "file",
        InodeKind::Symlink { .. } => "symlink",
        InodeKind::CharDevice(_) => "char",
        InodeKind::BlockDevice(_) => "block",
        InodeKind::Fifo => "fifo",
        InodeKind::Socket => "socket",
    }
}

/// Text by a function.
struct Text<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> Display for Text<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// Names of feature bits, unknown ones as a number.
struct Features(BlobFeatures);

impl Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("features")?;
        self.0.iter_names().try_for_each(|(name, _)| write!(f, " {}", name.to_lowercase()))?;
        match self.0.bits() & !BlobFeatures::all().bits() {
            0 => Ok(()),
            unknown => write!(f, " {unknown:#x}"),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
