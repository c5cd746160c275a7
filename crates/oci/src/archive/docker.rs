//! Reading what `docker save` and `podman save` write.
//!
//! ```text
//!   manifest.json   [{"Config": NAME, "RepoTags": ["busybox:1.0", …] | null, "Layers": [NAME, …]}, …]
//!   NAME            a file of the archive, or a link to one (an old docker links equal layers)
//! ```
//! Such an archive has no manifest of the image, so one is made: an OCI manifest of the config and the layers as they
//! lie in the archive. The same archive always gives the same manifest, hence the same digest; it is not the digest that
//! a registry has for the image.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use crate::compression::Compression;
use crate::descriptor::{Annotations, Descriptor};
use crate::digest::{DiffId, Digest, HashingReader};
use crate::error::Error;
use crate::image::{Config, Format, ImageError, MAX_CONFIG, Manifest};
use crate::json::null_is_default;
use crate::layout::{MAX_INDEX_FILE, io_error};
use crate::media_type;
use crate::range::FileRange;
use crate::reference::{Reference, RegistryName};
use crate::source::Source;
use crate::text::excerpt;

use super::members::{Members, read_small};
use super::{ArchiveError, Part, Parts, Unpacking};

/// One image of an archive of `docker save`.
pub struct DockerArchiveSource {
    name: Reference,
    parts: Parts,
}

/// An entry of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default, deserialize_with = "null_is_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    layers: Vec<String>,
}

impl DockerArchiveSource {
    /// Opens the archive `file` and finds an image in it: by a name of it (`busybox:1.0`), by its place from 0 on (`@0`),
    /// or the only one there is. Only if the archive is compressed, it needs room for a file.
    pub fn open(file: impl AsRef<Path>, name: Option<&str>, unpacking: &Unpacking) -> Result<Self, Error> {
        let path = file.as_ref();
        let members = Members::open(path, unpacking)?;
        let list = members.read("manifest.json", MAX_INDEX_FILE)?;
        let list = list.ok_or_else(|| ArchiveError::NotDocker { path: path.to_owned() })?;
        let saved: Vec<Saved> = serde_json::from_slice(&list).map_err(|source| ArchiveError::Malformed {
            path: path.to_owned(),
            name: "manifest.json".to_owned(),
            source,
        })?;
        let parts = assemble(&members, find(path, &saved, name)?)?;
        let name = Reference::DockerArchive { file: path.to_owned(), name: name.map(str::to_owned) };
        Ok(Self { name, parts })
    }
}

impl Source for DockerArchiveSource {
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

/// The image that is meant.
fn find<'a>(path: &Path, saved: &'a [Saved], name: Option<&str>) -> Result<&'a Saved, ArchiveError> {
    let available = || {
        let name = |(place, saved): (usize, &Saved)| match saved.repo_tags.first() {
            Some(tag) => excerpt(tag),
            None => format!("@{place}"),
        };
        saved.iter().enumerate().map(name).collect()
    };
    let no_image = |wanted: &str| ArchiveError::NoImage {
        path: path.to_owned(),
        wanted: excerpt(wanted),
        available: available(),
    };
    match (name, saved) {
        (None, []) => Err(no_image("")),
        (None, [only]) => Ok(only),
        (None, _) => Err(ArchiveError::Ambiguous { path: path.to_owned(), available: available() }),
        (Some(name), _) => match name.strip_prefix('@') {
            Some(place) => place.parse::<usize>().ok().and_then(|place| saved.get(place)),
            None => saved.iter().find(|saved| saved.repo_tags.iter().any(|tag| is_same(tag, name))),
        }
        .ok_or_else(|| no_image(name)),
    }
}

/// Whether two names mean one image: docker writes `busybox:1.0`, podman `docker.io/library/busybox:1.0`.
fn is_same(tag: &str, name: &str) -> bool {
    match (tag.parse::<RegistryName>(), name.parse::<RegistryName>()) {
        (Ok(tag), Ok(name)) => tag == name,
        _ => tag == name,
    }
}

/// The image with a manifest.
fn assemble(members: &Members, saved: &Saved) -> Result<Parts, Error> {
    let mut parts = HashMap::new();
    let name = members.path().join(&saved.config);
    let bytes = read_small(&members.get(saved.config.as_bytes())?, MAX_CONFIG, &name)?;
    let config = Config::parse(&bytes)?;
    let (layers, diff_ids) = (saved.layers.len(), config.diff_ids().len());
    if layers != diff_ids {
        return Err(ImageError::LayerCount { layers, diff_ids }.into());
    }
    let mut descriptors = Vec::with_capacity(layers);
    for (name, diff_id) in saved.layers.iter().zip(config.diff_ids()) {
        let range = members.get(name.as_bytes())?;
        let layer = describe(&range, name, *diff_id).map_err(io_error("read", &members.path().join(name)))?;
        parts.insert(layer.digest, Part::Range(range));
        descriptors.push(layer);
    }
    let mut part = |media_type: &str, bytes: Vec<u8>| {
        let descriptor = crate::Blob::of(&bytes).descriptor(media_type);
        parts.insert(descriptor.digest, Part::Bytes(bytes.into()));
        descriptor
    };
    let manifest = Manifest {
        format: Format::Oci,
        artifact_type: None,
        config: part(media_type::OCI_CONFIG, bytes),
        layers: descriptors,
        subject: None,
        annotations: Annotations::new(),
        other: serde_json::Map::new(),
    };
    let root = part(media_type::OCI_MANIFEST, manifest.to_json());
    Ok(Parts { path: members.path().to_owned(), root, parts })
}

/// The descriptor of a layer. A plain tar has the digest that the config knows, a file in `blobs/` the one it is named by:
/// both are verified when they are read. Other compressed layers are hashed.
fn describe(range: &FileRange, name: &str, diff_id: DiffId) -> io::Result<Descriptor> {
    let mut magic = [0; Compression::MAGIC_LEN];
    let magic = match range.size() >= magic.len() as u64 {
        true => {
            range.read_exact_at(&mut magic, 0)?;
            &magic[..]
        }
        false => &[],
    };
    let compression = Compression::detect(magic);
    let media_type = match compression {
        Compression::None => media_type::OCI_LAYER,
        Compression::Gzip => media_type::OCI_LAYER_GZIP,
        Compression::Zstd => media_type::OCI_LAYER_ZSTD,
    };
    let named = name.strip_prefix("blobs/").map(|name| name.replace('/', ":").parse::<Digest>());
    let digest = match (named, compression) {
        (Some(Ok(digest)), _) => digest,
        (_, Compression::None) => diff_id.0,
        _ => {
            let mut reader = HashingReader::new(range.reader());
            io::copy(&mut reader, &mut io::sink())?;
            reader.finish().1
        }
    };
    Ok(Descriptor::new(media_type, digest, range.size()))
}
