//! Writing an image to a registry.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::access;
use super::client::{Client, Tried};
use super::error::{RegistryError, Unusual};
use super::http::{Payload, Request};
use super::options::RegistryOptions;
use super::rules::Rules;
use super::upload::{exists, mount};
use super::uploads::Uploads;
use super::{download::into_io, referrers};
use crate::descriptor::{Blob, Descriptor};
use crate::error::Error;
use crate::image::MAX_MANIFEST;
use crate::reference::{Reference, RegistryName};
use crate::sink::{BlobWriter, Sink, Upload, copy_content};
use crate::source::Source;
use crate::transfer::is_manifest;

/// Bytes collected before a staged file is written to.
const WRITE_BUFFER: usize = 256 << 10;

/// An image in the making. Until [`commit`](Sink::commit) the registry gets blobs only, which nothing names; its own
/// housekeeping removes them if the image never comes.
pub struct RegistrySink {
    name: Reference,
    client: Arc<Client>,
    staging: PathBuf,
    /// The tag, or the digest the name has.
    reference: Option<String>,
    host: String,
    repository: String,
    mount_from: Option<String>,
    uploads: Arc<Uploads>,
    /// Manifests and indexes in the order written: whatever one names comes before it.
    manifests: Mutex<Vec<(Descriptor, Vec<u8>)>>,
}

impl RegistrySink {
    /// Begins an image under the tag of `name`. Blobs that are copied from the repository `source` of the same
    /// registry are not sent over the line. The registry is asked whether we may write there.
    pub fn create(
        name: &RegistryName,
        source: Option<&RegistryName>,
        options: &RegistryOptions,
    ) -> Result<Self, Error> {
        let source = source.filter(|source| source.host == name.host && source.repository != name.repository);
        let mut scopes = vec![format!("repository:{}:pull,push", name.repository)];
        scopes.extend(source.map(|source| format!("repository:{}:pull", source.repository)));
        let place = Rules::of(options)?.push(name)?;
        let client = Arc::new(Client::new(&place, options, scopes)?);
        access::ask(&client)?;
        Ok(Self {
            name: Reference::Registry(name.clone()),
            uploads: Arc::new(Uploads::new(Arc::clone(&client), options.part)),
            client,
            staging: options.staging(),
            reference: name.tag.clone().or_else(|| name.digest.map(|digest| digest.to_string())),
            host: name.host.clone(),
            repository: name.repository.clone(),
            mount_from: source.map(|source| source.repository.clone()),
            manifests: Mutex::default(),
        })
    }

    fn manifests(&self) -> MutexGuard<'_, Vec<(Descriptor, Vec<u8>)>> {
        self.manifests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, descriptor: Descriptor, bytes: Vec<u8>) {
        let mut manifests = self.manifests();
        if !manifests.iter().any(|(kept, _)| kept.digest == descriptor.digest) {
            manifests.push((descriptor, bytes));
        }
    }

    /// Writes one manifest under a tag or its digest.
    fn put_manifest(
        &self,
        reference: &str,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let client = &self.client;
        let request = Request::new("PUT", client.url(&format!("manifests/{reference}")))
            .header("content-type", descriptor.media_type.clone())
            .payload(Payload::Bytes(bytes));
        let has_subject = client.retrying(|| {
            let answer = client.once(&request)?;
            if !matches!(answer.status(), 200..=202) {
                return Err(refused(client.status(&request, answer), bytes));
            }
            let has_subject = answer.header("oci-subject").is_some();
            let stored = answer.header("docker-content-digest").map(str::to_owned);
            answer.discard();
            match stored.filter(|stored| *stored != descriptor.digest.to_string()) {
                Some(actual) => {
                    let (host, expected) = (client.host(), descriptor.digest);
                    Err(Tried::Again(RegistryError::Corrupt { host, expected, actual }, None))
                }
                None => Ok(has_subject),
            }
        })?;
        if has_subject { Ok(()) } else { referrers::list(client, descriptor, bytes) }
    }
}

/// Whether a manifest may be taken at the next try. A registry that keeps its links in files calls a digest invalid when it
/// reads a link that another push of the same content is just writing; that passes.
fn refused(error: RegistryError, manifest: &[u8]) -> Tried {
    match &error {
        RegistryError::Status { status: 400, detail: Some(detail), .. }
            if detail.starts_with("DIGEST_INVALID") =>
        {
            Tried::Again(error, None)
        }
        RegistryError::Status { status: 400 | 405 | 406 | 415 | 422 | 501, .. } => {
            Tried::Failed(match Unusual::of(manifest) {
                Some(unusual) => RegistryError::Manifest { unusual, source: Box::new(error) },
                None => error,
            })
        }
        _ => Tried::Failed(error),
    }
}

impl Sink for RegistrySink {
    fn name(&self) -> &Reference {
        &self.name
    }

    fn blob(&self) -> Result<BlobWriter, Error> {
        self.uploads.check()?;
        let file = tempfile::tempfile_in(&self.staging)
            .map_err(|source| RegistryError::Staging { path: self.staging.clone(), source })?;
        Ok(BlobWriter::new(Box::new(Staged {
            file: BufWriter::with_capacity(WRITE_BUFFER, file),
            dir: self.staging.clone(),
            uploads: Arc::clone(&self.uploads),
        })))
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool, Error> {
        self.uploads.check()?;
        if is_manifest(&descriptor.media_type) {
            // Sent again, a manifest costs little, and surely has what it names.
            return Ok(self.manifests().iter().any(|(kept, _)| kept.digest == descriptor.digest));
        }
        if self.uploads.knows(&descriptor.digest) {
            return Ok(true);
        }
        let blob = Blob { digest: descriptor.digest, size: descriptor.size };
        let found = self.client.retrying(|| exists(&self.client, blob))?;
        if found {
            self.uploads.note(descriptor.digest);
        }
        Ok(found)
    }

    fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, Error> {
        let descriptor = Blob::of(bytes).descriptor(media_type);
        if is_manifest(media_type) {
            self.keep(descriptor.clone(), bytes.to_vec());
        } else if !self.has(&descriptor)? {
            let mut writer = self.blob()?.prehashed();
            writer.write_all(bytes).map_err(Error::writing)?;
            writer.finish_as(descriptor.digest, descriptor.size)?;
        }
        Ok(descriptor)
    }

    fn host(&self) -> Option<&str> {
        Some(&self.host)
    }

    fn mount(&self, repository: &str, blob: Blob) -> Result<bool, Error> {
        let mounted = repository != self.repository && mount(&self.client, &blob.digest, repository)?;
        if mounted {
            self.uploads.note(blob.digest);
        }
        Ok(mounted)
    }

    fn copy(&self, source: &dyn Source, descriptor: &Descriptor) -> Result<(), Error> {
        if self.has(descriptor)? {
            return Ok(());
        }
        if is_manifest(&descriptor.media_type) {
            self.keep(descriptor.clone(), source.read(descriptor, MAX_MANIFEST)?);
            return Ok(());
        }
        let blob = Blob { digest: descriptor.digest, size: descriptor.size };
        if let Some(from) = &self.mount_from
            && self.mount(from, blob)?
        {
            return Ok(());
        }
        copy_content(self, source, descriptor)
    }

    fn commit(self: Box<Self>, root: Descriptor) -> Result<(), Error> {
        self.uploads.wait()?;
        let manifests = std::mem::take(&mut *self.manifests());
        let mut named = None;
        for (descriptor, bytes) in &manifests {
            if descriptor.digest == root.digest {
                named = Some((descriptor, bytes));
            } else {
                self.put_manifest(&descriptor.digest.to_string(), descriptor, bytes)?;
            }
        }
        let (descriptor, bytes) = named.ok_or(RegistryError::Closed)?;
        let reference = self.reference.clone().unwrap_or_else(|| descriptor.digest.to_string());
        Ok(self.put_manifest(&reference, descriptor, bytes)?)
    }
}

/// One blob's bytes, in a file without a name.
struct Staged {
    file: BufWriter<File>,
    dir: PathBuf,
    uploads: Arc<Uploads>,
}

impl Staged {
    fn wrap(&self, source: io::Error) -> io::Error {
        match source.kind() {
            io::ErrorKind::Interrupted => source,
            kind => io::Error::new(kind, RegistryError::Staging { path: self.dir.clone(), source }),
        }
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| self.wrap(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| self.wrap(error))
    }
}

impl Upload for Staged {
    fn finish(self: Box<Self>, blob: Blob) -> Result<(), Error> {
        let Self { file, dir, uploads } = *self;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.map_err(|source| RegistryError::Staging { path: dir, source });
        uploads.add(blob, file.map_err(into_io).map_err(Error::writing)?)?;
        Ok(())
    }
}
