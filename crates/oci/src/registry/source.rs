//! Reading an image of a registry.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::client::{Client, Tried};
use super::credentials::Credentials;
use super::download::{Begun, Download};
use super::error::RegistryError;
use super::http::{Answer, Request};
use super::options::RegistryOptions;
use super::retry::Retry;
use super::rules::{Place, Rules};
use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::Error;
use crate::image::{ImageError, MAX_CONFIG, MAX_MANIFEST};
use crate::media_type as mt;
use crate::range::FileRange;
use crate::reference::{Reference, RegistryName};
use crate::source::Source;

/// What is understood, at least well enough to say that it is not supported.
const ACCEPTED: [&str; 7] = [
    mt::OCI_INDEX,
    mt::DOCKER_LIST,
    mt::OCI_MANIFEST,
    mt::DOCKER_MANIFEST,
    mt::OCI_ARTIFACT,
    mt::DOCKER_SCHEMA1_SIGNED,
    mt::DOCKER_SCHEMA1,
];

/// An image or index of a registry.
pub struct RegistrySource {
    name: Reference,
    client: Arc<Client>,
    options: RegistryOptions,
    root: Descriptor,
    /// Small content that was read: manifests and configs are read several times.
    small: Mutex<HashMap<Digest, Arc<Vec<u8>>>>,
    /// Blobs that were read by ranges, whole and verified, in files without a name. One lock each, so that a blob is
    /// fetched once.
    files: Mutex<HashMap<Digest, Arc<Mutex<Option<File>>>>>,
    begun: Begun,
}

impl RegistrySource {
    /// Reads the manifest or index that `name` leads to, in the first of its mirrors that gives it, else in its registry.
    /// With a digest in the name, it must have this digest.
    pub fn open(name: &RegistryName, options: &RegistryOptions) -> Result<Self, Error> {
        let mut places = Rules::of(options)?.pull(name)?;
        let Some(last) = places.pop() else { return Err(RegistryError::Closed.into()) };
        let mut mirrors = Vec::new();
        for place in &places {
            match Self::open_mirror(place, options) {
                Ok(source) => {
                    tracing::info!("{name} is read from a mirror, {}", source.client.host());
                    return Ok(Self { name: Reference::Registry(name.clone()), ..source });
                }
                Err(error) => {
                    let words = chain(&error);
                    tracing::info!("a mirror does not have {name}: {words}");
                    mirrors.push(words);
                }
            }
        }
        let opened =
            Self::open_at(&last, options, options.retry).map_err(|error| match mirrors.is_empty() {
                true => error,
                false => {
                    RegistryError::Mirrors { mirrors, kind: error.kind(), source: Box::new(error) }.into()
                }
            })?;
        Ok(Self { name: Reference::Registry(name.clone()), ..opened })
    }

    /// Reads what `name` leads to where it would be pushed to: no mirror is asked. One try.
    pub fn open_target(name: &RegistryName, options: &RegistryOptions) -> Result<Self, Error> {
        let place = Rules::of(options)?.push(name)?;
        Self::open_at(&place, options, Retry { times: 0, ..options.retry })
    }

    /// One try, there are others; and no word of what was given for the registry itself.
    fn open_mirror(place: &Place, options: &RegistryOptions) -> Result<Self, Error> {
        let mut options = options.clone();
        if let Credentials::Given(_) = options.credentials {
            options.credentials = Credentials::Environment;
        }
        Self::open_at(place, &options, Retry { times: 0, ..options.retry })
    }

    /// `first` is for the manifest; what follows is tried again as the options say.
    fn open_at(place: &Place, options: &RegistryOptions, first: Retry) -> Result<Self, Error> {
        let name = &place.name;
        let scopes = vec![format!("repository:{}:pull", name.repository)];
        let client = Client::new(place, options, scopes)?.with_retry(first);
        let reference = match (&name.digest, &name.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_else(|| "latest".to_owned()),
        };
        let (root, bytes) = fetch_manifest(&client, &reference, name.digest, &name.to_string())?;
        let client = Arc::new(client.with_retry(options.retry));
        let small = Mutex::new(HashMap::from([(root.digest, Arc::new(bytes))]));
        let options = options.clone();
        let name = Reference::Registry(name.clone());
        Ok(Self { name, client, options, root, small, files: Mutex::default(), begun: Begun::default() })
    }

    fn small(&self, descriptor: &Descriptor) -> Result<Arc<Vec<u8>>, Error> {
        let kept = || self.small.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = kept().get(&descriptor.digest) {
            return Ok(Arc::clone(bytes));
        }
        let digest = descriptor.digest;
        let bytes = if ACCEPTED.contains(&descriptor.media_type.as_str()) {
            let what = format!("{}@{digest}", self.client.repository());
            let (_, bytes) = fetch_manifest(&self.client, &digest.to_string(), Some(digest), &what)?;
            let actual = bytes.len() as u64;
            if actual != descriptor.size {
                let expected = descriptor.size;
                return Err(crate::VerifyError::SizeMismatch { digest, expected, actual }.into());
            }
            bytes
        } else {
            self.fetch_small(descriptor)?
        };
        let bytes = Arc::new(bytes);
        kept().insert(digest, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// A small blob; damaged, it is fetched again.
    fn fetch_small(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let digest = descriptor.digest;
        let mut tries = 0;
        loop {
            let mut bytes = Vec::new();
            let mut download = Download::start(Arc::clone(&self.client), descriptor, Begun::default())?;
            match download.read_to_end(&mut bytes).map_err(|error| Error::reading(digest, error)) {
                Ok(_) => return Ok(bytes),
                Err(Error::Registry(error)) if matches!(*error, RegistryError::Corrupt { .. }) => {
                    self.client.pause(Tried::Again(*error, None), &mut tries)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The file of a blob that was fetched before.
    fn fetched(&self, digest: &Digest) -> Option<File> {
        let place = self.files.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()?;
        let file = place.lock().unwrap_or_else(PoisonError::into_inner);
        file.as_ref()?.try_clone().ok()
    }

    fn fetch_file(&self, descriptor: &Descriptor) -> Result<File, Error> {
        let dir = self.options.staging();
        let staging = |source| RegistryError::Staging { path: dir.clone(), source };
        let mut file = tempfile::tempfile_in(&dir).map_err(staging)?;
        let mut reader = Download::start(Arc::clone(&self.client), descriptor, Arc::clone(&self.begun))?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let n = reader.read(&mut buffer).map_err(|error| Error::reading(descriptor.digest, error))?;
            if n == 0 {
                break;
            }
            io::Write::write_all(&mut file, buffer.get(..n).unwrap_or_default()).map_err(staging)?;
        }
        file.rewind().map_err(staging)?;
        Ok(file)
    }
}

impl Source for RegistrySource {
    fn is_whole(&self) -> bool {
        true
    }

    fn name(&self) -> &Reference {
        &self.name
    }

    fn root(&self) -> &Descriptor {
        &self.root
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        if ACCEPTED.contains(&descriptor.media_type.as_str()) {
            return Ok(Box::new(Bytes { bytes: self.small(descriptor)?, position: 0 }));
        }
        if let Some(file) = self.fetched(&descriptor.digest) {
            let range = FileRange::new(Arc::new(file), 0, descriptor.size);
            return Ok(Box::new(crate::VerifyingReader::new(range.reader(), descriptor)));
        }
        Ok(Box::new(Download::start(Arc::clone(&self.client), descriptor, Arc::clone(&self.begun))?))
    }

    fn open_file(&self, descriptor: &Descriptor) -> Result<FileRange, Error> {
        let place = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(files.entry(descriptor.digest).or_default())
        };
        let mut file = place.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = match file.take() {
            Some(ready) => ready,
            None => self.fetch_file(descriptor)?,
        };
        let clone = ready.try_clone().and_then(FileRange::whole);
        *file = Some(ready);
        Ok(clone.map_err(|source| RegistryError::Staging { path: self.options.staging(), source })?)
    }

    fn read(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        let (digest, size) = (descriptor.digest, descriptor.size);
        if size > limit {
            return Err(Error::TooLarge { digest, size, limit });
        }
        if size > MAX_CONFIG {
            let mut bytes = Vec::new();
            self.open(descriptor)?.read_to_end(&mut bytes).map_err(|error| Error::reading(digest, error))?;
            return Ok(bytes);
        }
        Ok(self.small(descriptor)?.to_vec())
    }
}

/// A manifest by tag or digest: its descriptor and its bytes, which have that digest.
pub(super) fn fetch_manifest(
    client: &Client,
    reference: &str,
    expected: Option<Digest>,
    what: &str,
) -> Result<(Descriptor, Vec<u8>), Error> {
    let request = Request::new("GET", client.url(&format!("manifests/{reference}")))
        .header("accept", ACCEPTED.join(", "));
    let (header, stated, bytes) = client.retrying(|| {
        let answer = client.once(&request)?;
        match answer.status() {
            200 => {}
            404 => return Err(client.not_found(what.to_owned()).into()),
            _ => return Err(client.status(&request, answer).into()),
        }
        read_manifest(client, &request, answer, expected)
    })?;
    let size = bytes.len() as u64;
    if size > MAX_MANIFEST {
        return Err(ImageError::TooLarge { what: "manifest", size, limit: MAX_MANIFEST }.into());
    }
    let digest = expected.or(stated).unwrap_or_else(|| Digest::sha256(&bytes));
    Ok((Descriptor::new(media_type(&header, &bytes), digest, size), bytes))
}

/// Media type by the header, digest by the header, bytes.
type Received = (String, Option<Digest>, Vec<u8>);

fn read_manifest(
    client: &Client,
    request: &Request<'_>,
    answer: Answer,
    expected: Option<Digest>,
) -> Result<Received, Tried> {
    let header = answer.header("content-type").unwrap_or_default();
    let header = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let stated = answer.header("docker-content-digest").and_then(|digest| digest.parse::<Digest>().ok());
    let cut_off = |source: io::Error| {
        let (host, request) = (client.host(), request.shown());
        Tried::Again(RegistryError::Transport { host, request, source: source.into() }, None)
    };
    let length = answer.length();
    let bytes = answer.read(MAX_MANIFEST + 1).map_err(cut_off)?;
    if length.is_some_and(|length| length <= MAX_MANIFEST && length != bytes.len() as u64) {
        return Err(cut_off(io::ErrorKind::UnexpectedEof.into()));
    }
    // The digest of a signed manifest of schema 1 is not of its bytes; it is refused later anyway.
    let is_schema1 = matches!(header.as_str(), mt::DOCKER_SCHEMA1 | mt::DOCKER_SCHEMA1_SIGNED);
    let wrong = expected.into_iter().chain(stated).find_map(|digest| {
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let actual = hasher.finish();
        (actual != digest).then_some((digest, actual))
    });
    match wrong {
        Some((expected, actual)) if !is_schema1 && bytes.len() as u64 <= MAX_MANIFEST => {
            let (host, actual) = (client.host(), actual.to_string());
            Err(Tried::Again(RegistryError::Corrupt { host, expected, actual }, None))
        }
        _ => Ok((header, stated.filter(|digest| digest.algorithm() == Algorithm::Sha256), bytes)),
    }
}

/// The media type by the document itself, else by the header if it is one of a document, else by the document's shape.
fn media_type(header: &str, bytes: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Own {
        media_type: Option<String>,
        manifests: Option<IgnoredAny>,
        config: Option<IgnoredAny>,
        layers: Option<IgnoredAny>,
    }
    let own = serde_json::from_slice::<Own>(bytes).unwrap_or_default();
    let said = own.media_type.as_deref().into_iter().chain([header]).find(|said| ACCEPTED.contains(said));
    match said {
        Some(said) => said.to_owned(),
        None if own.manifests.is_some() => mt::OCI_INDEX.to_owned(),
        None if own.config.is_some() && own.layers.is_some() => mt::OCI_MANIFEST.to_owned(),
        None => own.media_type.unwrap_or_else(|| header.to_owned()),
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Shared bytes as a stream.
struct Bytes {
    bytes: Arc<Vec<u8>>,
    position: usize,
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.bytes.get(self.position..).unwrap_or_default().read(buffer)?;
        self.position += n;
        Ok(n)
    }
}
