//! An inspection as text: one fact a line, the same for the same image, so that two can be compared with `diff`.

use std::fmt::{self, Display, Formatter};

use super::report::{
    BlobSection, InspectedBlob, InspectedChunk, InspectedFile, InspectedFileSystem, InspectedImage,
    Inspection, Stored,
};

impl Display for Inspection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reference)?;
        writeln!(f, "media type: {}", self.media_type)?;
        self.images.iter().try_for_each(|image| write_image(f, image))
    }
}

fn write_image(f: &mut Formatter<'_>, image: &InspectedImage) -> fmt::Result {
    writeln!(f)?;
    writeln!(f, "{}: {} {}", image.platform.as_deref().unwrap_or("image"), image.kind, image.digest)?;
    writeln!(f, "  media type: {}", image.media_type)?;
    if let Some(config) = &image.config {
        writeln!(f, "  config: {config}")?;
    }
    for (key, value) in &image.annotations {
        writeln!(f, "  annotation {key:?}: {value:?}")?;
    }
    for (position, layer) in image.layers.iter().enumerate() {
        writeln!(f, "  layer {}: {} {}, {} bytes", position + 1, layer.content, layer.digest, layer.size)?;
        writeln!(f, "    media type: {}", layer.media_type)?;
        if let Some(diff_id) = &layer.diff_id {
            writeln!(f, "    diff id: {diff_id}")?;
        }
        for (key, value) in &layer.annotations {
            writeln!(f, "    annotation {key:?}: {value:?}")?;
        }
    }
    image.file_system.iter().try_for_each(|file_system| write_file_system(f, file_system))
}

fn write_file_system(f: &mut Formatter<'_>, fs: &InspectedFileSystem) -> fmt::Result {
    writeln!(f, "  file system: RAFS v{}, {} bytes", fs.fs_version, fs.bootstrap_bytes)?;
    writeln!(f, "    flags: {}", fs.flags.join(" "))?;
    writeln!(f, "    compressor {}, digester {}, chunk size {}", fs.compressor, fs.digester, fs.chunk_size)?;
    let remembers = if fs.remembers_original { "yes" } else { "no" };
    writeln!(f, "    remembers its original: {remembers}")?;
    for table in &fs.tables {
        writeln!(f, "    {} @ {:#x} +{:#x}", table.name, table.offset, table.size)?;
    }
    let counts = &fs.inodes;
    writeln!(
        f,
        "    {} directories, {} files of {} bytes, {} symlinks, {} devices, {} pipes, {} further names",
        counts.directories,
        counts.files,
        counts.file_bytes,
        counts.symlinks,
        counts.devices,
        counts.pipes,
        counts.further_names
    )?;
    writeln!(f, "    {}", Used(&fs.chunks))?;
    for path in &fs.prefetch {
        writeln!(f, "    prefetch: {path}")?;
    }
    fs.blobs.iter().try_for_each(|blob| write_blob(f, blob))?;
    fs.files.iter().flatten().try_for_each(|file| write_file(f, file))
}

fn write_blob(f: &mut Formatter<'_>, blob: &InspectedBlob) -> fmt::Result {
    writeln!(f, "    blob {}: {}", blob.index, blob.id)?;
    writeln!(f, "      features: {}", blob.features.join(" "))?;
    writeln!(f, "      compressor {}, digester {}", blob.compressor, blob.digester)?;
    writeln!(
        f,
        "      {} chunks, {} bytes of {}",
        blob.chunk_count, blob.compressed_size, blob.uncompressed_size
    )?;
    writeln!(f, "      {}", Used(&blob.used))?;
    if let Some(place) = &blob.chunk_information {
        writeln!(f, "      {}", Section(place))?;
    }
    if let Some(id) = &blob.metadata_blob {
        writeln!(f, "      metadata blob: {id}")?;
    }
    if blob.encrypted {
        writeln!(f, "      encrypted")?;
    }
    for section in blob.sections.iter().flatten() {
        writeln!(f, "      section {}", Section(section))?;
    }
    for (number, batch) in blob.batches.iter().enumerate() {
        writeln!(f, "      batch {number} @ {:#x} +{:#x} of {:#x}", batch.offset, batch.stored, batch.plain)?;
    }
    blob.chunks.iter().flatten().try_for_each(|chunk| writeln!(f, "      {}", Chunk(chunk)))
}

fn write_file(f: &mut Formatter<'_>, file: &InspectedFile) -> fmt::Result {
    write!(f, "    {}", file.listed)?;
    file.chunks.iter().try_for_each(|chunk| write!(f, " {}:{}", chunk.blob, chunk.index))?;
    writeln!(f)
}

/// What files use.
struct Used<'a>(&'a Stored);

impl Display for Used<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Stored { uses, used, use_bytes, plain_bytes, stored_bytes } = self.0;
        write!(
            f,
            "used: {uses} times {used} chunks; {use_bytes} bytes of files are {plain_bytes} different ones, stored as {stored_bytes}"
        )
    }
}

struct Section<'a>(&'a BlobSection);

impl Display for Section<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let BlobSection { name, offset, stored, plain, compressor } = self.0;
        write!(f, "{name} @ {offset:#x} +{stored:#x} {compressor} of {plain:#x}")
    }
}

struct Chunk<'a>(&'a InspectedChunk);

impl Display for Chunk<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let chunk = self.0;
        write!(
            f,
            "chunk {} @ {:#x} +{:#x} → {:#x} +{:#x}",
            chunk.index, chunk.offset, chunk.stored, chunk.plain_offset, chunk.plain
        )?;
        chunk.flags.iter().try_for_each(|flag| write!(f, " {flag}"))?;
        if let Some(crc) = &chunk.crc32c {
            write!(f, " crc32c:{crc}")?;
        }
        if let Some(digest) = &chunk.digest {
            write!(f, " {digest}")?;
        }
        write!(f, " used {}", chunk.uses)
    }
}
