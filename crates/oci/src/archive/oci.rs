//! Reading an OCI layout that is in a tar.

use std::io::Read;
use std::path::Path;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::layout::find::find_root;
use crate::layout::index::IndexFile;
use crate::layout::{Instead, LayoutError, MAX_INDEX_FILE, MAX_LAYOUT_FILE, NoLayout, check_marker};
use crate::range::FileRange;
use crate::reference::Reference;
use crate::source::Source;
use crate::verify::{VerifyError, VerifyingReader};

use super::members::Members;
use super::{ArchiveError, Unpacking};

/// One image or index of an OCI layout in a tar.
pub struct OciArchiveSource {
    name: Reference,
    members: Members,
    root: Descriptor,
}

impl OciArchiveSource {
    /// Opens the archive `file` and finds an image in it, as [`LayoutSource::open`](crate::LayoutSource::open) does.
    /// Only if the archive is compressed, it needs room for a file.
    pub fn open(
        file: impl AsRef<Path>,
        name: Option<&str>,
        pin: Option<&Digest>,
        unpacking: &Unpacking,
    ) -> Result<Self, Error> {
        let file = file.as_ref();
        let members = Members::open(file, unpacking)?;
        let index = read_index(&members)?;
        let root = find_root(file, &index, (name, pin), |entry| open_blob(&members, entry))?;
        let file = file.to_owned();
        let name = Reference::OciArchive { file, name: name.map(str::to_owned), digest: pin.copied() };
        Ok(Self { name, members, root })
    }
}

impl Source for OciArchiveSource {
    fn name(&self) -> &Reference {
        &self.name
    }

    fn root(&self) -> &Descriptor {
        &self.root
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        open_blob(&self.members, descriptor)
    }

    fn open_file(&self, descriptor: &Descriptor) -> Result<FileRange, Error> {
        find_blob(&self.members, descriptor)
    }
}

/// The index of a layout in an archive.
pub(super) fn read_index(members: &Members) -> Result<IndexFile, Error> {
    let not = |reason| LayoutError::NotALayout { path: members.path().to_owned(), reason };
    let marker = members.read("oci-layout", MAX_LAYOUT_FILE)?;
    let instead = || Instead::of(|name| members.has(name.as_bytes()));
    check_marker(members.path(), &marker.ok_or_else(|| not(NoLayout::NoMarkerInArchive(instead())))?)?;
    let index = members.read("index.json", MAX_INDEX_FILE)?.ok_or_else(|| not(NoLayout::NoIndex))?;
    let malformed = |source| LayoutError::Malformed { path: members.path().join("index.json"), source };
    Ok(IndexFile::parse(&index).map_err(malformed)?)
}

/// Where a blob is in an archive that is a layout.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn open_blob(members: &Members, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
    Ok(Box::new(VerifyingReader::new(find_blob(members, descriptor)?.reader(), descriptor)))
}

fn find_blob(members: &Members, descriptor: &Descriptor) -> Result<FileRange, Error> {
    let (digest, expected) = (descriptor.digest, descriptor.size);
    let missing = || ArchiveError::MissingBlob { path: members.path().to_owned(), digest };
    let range = members.find(blob_name(&digest).as_bytes())?.ok_or_else(missing)?;
    match range.size() {
        actual if actual == expected => Ok(range),
        actual => Err(VerifyError::SizeMismatch { digest, expected, actual }.into()),
    }
}
