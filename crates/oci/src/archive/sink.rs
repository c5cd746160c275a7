//! Writing an OCI layout in a tar.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::compression::StreamLimits;
use crate::descriptor::{Blob, Descriptor};
use crate::error::Error;
use crate::layout::index::IndexFile;
use crate::layout::lock::LayoutLock;
use crate::layout::publish::{Publication, sync_dir};
use crate::layout::staging::{Staged, Staging};
use crate::layout::{LayoutError, io_error, marker};
use crate::range::FileRange;
use crate::reference::Reference;
use crate::sink::{BlobWriter, Sink};
use crate::ustar::{self, BLOCK, TRAILER};

use super::members::Members;
use super::oci::{blob_name, read_index};
use super::{ArchiveError, Unpacking};

/// One image in the making, in an archive that may hold others: they are taken along.
///
/// ```text
///   oci-layout │ index.json │ blobs/ │ blobs/sha256/ │ blobs/sha256/<hex> …      in the order of names; root:root, time 0
/// ```
/// Until the commit, blobs are in a staging directory beside the archive. The archive appears whole, by its name being
/// moved to it; dropping the sink leaves everything as it was.
pub struct OciArchiveSink {
    reference: Reference,
    file: PathBuf,
    name: Option<String>,
    existing: Option<Members>,
    // In this order: the staging directory is gone before the directories that were made for it.
    staging: Staging,
    made: Publication,
}

/// Where the content of a file of the new archive is.
enum Content {
    Bytes(Vec<u8>),
    Staged(PathBuf),
    Kept(FileRange),
}

impl OciArchiveSink {
    /// Begins an image under `name` in the archive `file`, which may not exist, be empty, or be an OCI layout in a tar.
    pub fn create(file: impl AsRef<Path>, name: Option<&str>) -> Result<Self, Error> {
        let called = (file.as_ref().to_owned(), name.map(str::to_owned));
        let reference = Reference::OciArchive { file: called.0, name: called.1, digest: None };
        // What a symbolic link leads to is replaced, not the link.
        let file = fs::canonicalize(&file).unwrap_or_else(|_| file.as_ref().to_owned());
        let dir = parent(&file);
        let mut made = Publication::default();
        made.dir_all(dir)?;
        let lock = LayoutLock::acquire(dir)?;
        let existing = open_existing(&file, dir)?;
        let staging = Staging::create(dir)?;
        drop(lock);
        let name = name.map(str::to_owned);
        Ok(Self { reference, file, name, existing, staging, made })
    }

    /// Publishes `root` under the sink's name. Whatever fails, the archive stays as it was.
    pub fn commit(self, root: Descriptor) -> Result<(), Error> {
        let staged = self.staging.close();
        let dir = parent(&self.file);
        let lock = LayoutLock::acquire(dir)?;
        // Others may have put images in meanwhile.
        let existing = open_existing(&self.file, dir)?;
        check_complete(&self.file, &staged, existing.as_ref(), &root)?;
        let mut index = match &existing {
            Some(members) => read_index(members)?,
            None => IndexFile::empty(),
        };
        let malformed = |source| LayoutError::Malformed { path: self.file.join("index.json"), source };
        let json = index.insert(root, self.name.as_deref()).and_then(|()| index.to_json());
        let json = json.map_err(malformed)?;
        let archive = self.staging.path("archive");
        write(&archive, &json, &contents(&staged, existing.as_ref())).map_err(io_error("write", &archive))?;
        fs::rename(&archive, &self.file).map_err(io_error("write", &self.file))?;
        self.made.keep();
        let _ = sync_dir(dir);
        drop(self.staging);
        drop(lock);
        Ok(())
    }
}

impl Sink for OciArchiveSink {
    fn name(&self) -> &Reference {
        &self.reference
    }

    fn blob(&self) -> Result<BlobWriter, Error> {
        Ok(BlobWriter::new(self.staging.upload()?))
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool, Error> {
        let (digest, size) = (descriptor.digest, descriptor.size);
        if self.staging.has_written(&digest) {
            return Ok(true);
        }
        let found = self.existing.as_ref().is_some_and(|members| holds(members, descriptor));
        if found {
            self.staging.reuse(Blob { digest, size });
        }
        Ok(found)
    }

    fn commit(self: Box<Self>, root: Descriptor) -> Result<(), Error> {
        OciArchiveSink::commit(*self, root)
    }
}

/// The directory that an archive is in.
fn parent(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The archive there is. An empty file is what `mktemp` leaves: nothing that harm could be done to.
fn open_existing(file: &Path, staging: &Path) -> Result<Option<Members>, Error> {
    match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Ok(None),
        _ => {
            let unpacking =
                Unpacking { dir: staging.to_owned(), max_zstd_window: StreamLimits::DEFAULT_ZSTD_WINDOW };
            let members = Members::open(file, &unpacking)?;
            read_index(&members)?;
            Ok(Some(members))
        }
    }
}

fn holds(members: &Members, descriptor: &Descriptor) -> bool {
    let found = members.find(blob_name(&descriptor.digest).as_bytes());
    matches!(found, Ok(Some(range)) if range.size() == descriptor.size)
}

/// The root and what was found in the archive must be there still.
fn check_complete(
    file: &Path,
    staged: &Staged,
    existing: Option<&Members>,
    root: &Descriptor,
) -> Result<(), Error> {
    let found = |digest, size| {
        let descriptor = Blob { digest, size }.descriptor("");
        staged.written.contains_key(&digest) || existing.is_some_and(|members| holds(members, &descriptor))
    };
    let mut needed =
        staged.reused.iter().map(|(digest, size)| (*digest, *size)).chain([(root.digest, root.size)]);
    match needed.find(|(digest, size)| !found(*digest, *size)) {
        Some((digest, _)) => Err(ArchiveError::MissingBlob { path: file.to_owned(), digest }.into()),
        None => Ok(()),
    }
}

/// Every file of the new archive but marker and index.
fn contents(staged: &Staged, existing: Option<&Members>) -> BTreeMap<String, Content> {
    let mut all = BTreeMap::new();
    for (name, range) in existing.iter().flat_map(|members| members.files()) {
        // Names that are no text are none of a layout.
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if !matches!(name, "oci-layout" | "index.json") && fits(name) {
            all.insert(name.to_owned(), Content::Kept(range));
        }
    }
    let written = staged.written.iter();
    all.extend(written.map(|(digest, path)| (blob_name(digest), Content::Staged(path.clone()))));
    all
}

/// Whether a header has room for a name.
fn fits(name: &str) -> bool {
    name.len() <= 100
        || name.rsplit_once('/').is_some_and(|(dir, last)| dir.len() <= 155 && last.len() <= 100)
}

fn write(path: &Path, index: &[u8], contents: &BTreeMap<String, Content>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(256 << 10, File::create_new(path)?);
    add(&mut out, "oci-layout", &Content::Bytes(marker().into_bytes()))?;
    add(&mut out, "index.json", &Content::Bytes(index.to_vec()))?;
    let mut dirs: Vec<&str> = Vec::new();
    for (name, content) in contents {
        for (slash, _) in name.match_indices('/') {
            let dir = name.get(..slash).unwrap_or_default();
            if !dirs.contains(&dir) && fits(dir) {
                out.write_all(&ustar::header(&format!("{dir}/"), b'5', 0o755, 0))?;
                dirs.push(dir);
            }
        }
        add(&mut out, name, content)?;
    }
    out.write_all(&[0; TRAILER])?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn add(out: &mut impl Write, name: &str, content: &Content) -> io::Result<()> {
    let (size, mut reader): (u64, Box<dyn Read + '_>) = match content {
        Content::Bytes(bytes) => (bytes.len() as u64, Box::new(bytes.as_slice())),
        Content::Staged(path) => {
            let file = File::open(path)?;
            (file.metadata()?.len(), Box::new(file))
        }
        Content::Kept(range) => (range.size(), Box::new(range.reader())),
    };
    out.write_all(&ustar::header(name, b'0', 0o644, size))?;
    if io::copy(&mut reader, out)? != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let padding = size.next_multiple_of(BLOCK as u64).saturating_sub(size);
    io::copy(&mut io::repeat(0).take(padding), out).map(drop)
}
