//! An image made of one layer that nobody has described: a tar.
//!
//! ```text
//!   manifest ─┬─ config   os and architecture as told, the layer's diff id, one entry of history
//!             └─ layer    the tar as it is: plain, gzip or zstd
//! ```
//! No clock and no name of this machine is in it: the same tar is the same image.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::compression::{Compression, decompress};
use crate::descriptor::{Annotations, Blob, Descriptor};
use crate::digest::{DiffId, HashingReader, HashingWriter};
use crate::error::Error;
use crate::image::{Format, Manifest};
use crate::layout::io_error;
use crate::media_type;
use crate::platform::Platform;
use crate::range::FileRange;
use crate::reference::Reference;
use crate::source::Source;

use super::{ArchiveError, Part, Parts, Unpacking};

/// An image of one layer.
pub struct LayerSource {
    name: Reference,
    parts: Parts,
}

impl LayerSource {
    /// The tar `file` as an image for `platform`. It is read once to learn its digests. A pipe is kept in a file.
    pub fn open(file: &Path, platform: &Platform, unpacking: &Unpacking) -> Result<Self, Error> {
        let name = Reference::Tar { file: Some(file.to_owned()) };
        let opened = match File::open(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ArchiveError::NotFound { path: file.to_owned() }.into());
            }
            opened => opened.map_err(io_error("read", file))?,
        };
        match fs::metadata(file).map_err(io_error("read", file))? {
            metadata if metadata.is_dir() => Err(ArchiveError::NotAFile { path: file.to_owned() }.into()),
            metadata if metadata.is_file() => {
                let whole = FileRange::whole(opened).map_err(io_error("read", file))?;
                Self::of_range(whole, &name, platform, unpacking)
            }
            _ => Self::spool(opened, &name, platform, unpacking),
        }
    }

    /// The tar that `stream` gives, kept in a file there; `name` is what it is called.
    pub fn spool(
        mut stream: impl Read,
        name: &Reference,
        platform: &Platform,
        unpacking: &Unpacking,
    ) -> Result<Self, Error> {
        let dir = &unpacking.dir;
        let mut file = tempfile::tempfile_in(dir).map_err(io_error("create a file in", dir))?;
        let path = &PathBuf::from(name.to_string());
        io::copy(&mut stream, &mut file).map_err(io_error("read", path))?;
        Self::of_range(FileRange::whole(file).map_err(io_error("read", path))?, name, platform, unpacking)
    }

    /// A layer that was read and is gone: all of the image but its content.
    pub fn described(
        layer: Blob,
        compression: Compression,
        diff_id: DiffId,
        name: &Reference,
        platform: &Platform,
    ) -> Self {
        let mut parts = HashMap::new();
        let mut part = |media_type: &str, bytes: Vec<u8>| {
            let descriptor = Blob::of(&bytes).descriptor(media_type);
            parts.insert(descriptor.digest, Part::Bytes(bytes.into()));
            descriptor
        };
        let mut config = json!({
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
            "history": [{ "created_by": "nydus-convert", "comment": "one layer from files" }],
        });
        if let (Some(variant), Some(fields)) = (&platform.variant, config.as_object_mut()) {
            fields.insert("variant".to_owned(), variant.as_str().into());
        }
        let media_type = match compression {
            Compression::None => media_type::OCI_LAYER,
            Compression::Gzip => media_type::OCI_LAYER_GZIP,
            Compression::Zstd => media_type::OCI_LAYER_ZSTD,
        };
        let manifest = Manifest {
            format: Format::Oci,
            artifact_type: None,
            config: part(media_type::OCI_CONFIG, config.to_string().into_bytes()),
            layers: vec![layer.descriptor(media_type)],
            subject: None,
            annotations: Annotations::new(),
            other: serde_json::Map::new(),
        };
        let root = part(media_type::OCI_MANIFEST, manifest.to_json());
        let path = PathBuf::from(name.to_string());
        Self { name: name.clone(), parts: Parts { path, root, parts } }
    }

    fn of_range(
        range: FileRange,
        name: &Reference,
        platform: &Platform,
        unpacking: &Unpacking,
    ) -> Result<Self, Error> {
        let in_stream = |error: io::Error| match error.downcast::<crate::DecompressError>() {
            Ok(error) => Error::from(error),
            Err(error) => io_error("read", &PathBuf::from(name.to_string()))(error).into(),
        };
        let mut stored = HashingReader::new(range.reader());
        let mut plain = decompress(&mut stored, unpacking.limits()).map_err(in_stream)?;
        let compression = plain.compression();
        let mut hashed = HashingWriter::new(io::sink());
        io::copy(&mut plain, &mut hashed).map_err(in_stream)?;
        let (_, diff_id, _) = hashed.finish();
        drop(plain);
        let (_, digest, size) = stored.finish();
        let mut source = Self::described(Blob { digest, size }, compression, DiffId(diff_id), name, platform);
        source.parts.parts.insert(digest, Part::Range(range));
        Ok(source)
    }
}

impl Source for LayerSource {
    fn name(&self) -> &Reference {
        &self.name
    }

    fn root(&self) -> &Descriptor {
        self.parts.root()
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        self.parts.open(descriptor)
    }

    fn open_file(&self, descriptor: &Descriptor) -> Result<FileRange, Error> {
        self.parts.open_file(descriptor)
    }
}
