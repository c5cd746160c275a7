//! A blob, with or without a bootstrap beside it → a tar as a stream.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use nydus_convert_oci::nydus::REFERENCE_LAYER;
use nydus_convert_oci::{Descriptor, Digest};
use nydus_convert_rafs::{Blob, BlobName, Image};

use super::error::VerbError;
use super::files::Files;
use super::streams::{StreamSink, placeholder};
use crate::error::Error;
use crate::image::nydus::MAX_BOOTSTRAP;
use crate::image::referred::is_referred;
use crate::layer::failure::LayerFailure;
use crate::options::{Layers, ToOciOptions};
use crate::report::{SCHEMA_VERSION, ToolReport, UnpackReport};
use crate::run::{LayerLabel, Resources};
use crate::to_oci::Run;
use crate::to_oci::blob::OpenBlob;
use crate::to_oci::layer::restore;
use crate::to_oci::rebuild;
use crate::to_oci::restoring::{LayerJob, RestoredTar, Restoring};

/// What is unpacked.
#[derive(Debug, Clone, Default)]
pub struct UnpackFiles {
    /// The file system; without it, that in the blob.
    pub bootstrap: Option<PathBuf>,
    /// The blob: a whole stream or, with a bootstrap beside it, its chunks alone. A layer without content has none.
    pub blob: Option<PathBuf>,
    /// Where further blobs are, named by their ids.
    pub blob_dir: Option<PathBuf>,
}

impl UnpackFiles {
    fn name(&self) -> String {
        let path = self.blob.as_ref().or(self.bootstrap.as_ref());
        path.map(|path| path.display().to_string()).unwrap_or_default()
    }
}

/// Makes the plain tar of a layer. From a blob with a record this is the tar that it was made from, bit for bit;
/// else, and whenever a bootstrap is given, a tar of the same files.
///
/// # Errors
/// Those of the files. A tar that turns out not to be the original is told after its last byte.
pub fn unpack_layer(
    files: &UnpackFiles,
    out: Box<dyn Write + Send>,
    run: &crate::Run<'_>,
) -> Result<UnpackReport, Error> {
    let name = files.name();
    let (mut source, bootstrap) = (Files::new(), files.read_bootstrap()?);
    let own = files.blob.as_ref().map(|path| own_blob(&mut source, path, bootstrap.as_ref())).transpose()?;
    let image = match (&bootstrap, &own) {
        (Some(image), _) => Some(image.clone()),
        (None, Some(own)) => OpenBlob::open(&source, own).map_err(|failure| in_layer(&name, failure))?.image,
        (None, None) => return Err(VerbError::NoBootstrap { name }.into()),
    };
    let refers = image.as_ref().and_then(|image| image.blobs.iter().find(|blob| is_referred(blob)));
    let own = match refers.map(|blob| blob.name) {
        // The tar is that of the layer, and comes out of it whole.
        Some(BlobName::Id(id)) if bootstrap.is_none() => {
            let layer = Digest::from_sha256(id.0).to_string();
            own.map(|own| own.annotated(REFERENCE_LAYER, layer))
        }
        Some(BlobName::Id(id)) => return Err(VerbError::Referred { name, id: id.to_string() }.into()),
        _ => own,
    };
    let others =
        image.as_ref().map_or(Ok(Vec::new()), |image| files.others(&mut source, image, own.as_ref()))?;
    let sink = StreamSink::new(out);
    let options = ToOciOptions { layers: Layers::Plain, ..ToOciOptions::default() };
    // All of the memory is this layer's.
    let resources = Resources { parallel_layers: std::num::NonZeroUsize::MIN, ..run.resources };
    let crate::Run { observer, stop, pool, .. } = run;
    let run =
        Run { source: &source, sink: &sink, options: &options, resources, pool, observer: *observer, stop };
    let unnamed = placeholder(0);
    let job = LayerJob {
        blob: own.as_ref().unwrap_or(&unnamed),
        all: &others,
        opened: None,
        tar: None,
        expected: None,
        label: LayerLabel { platform: None, number: 1, count: 1, digest: name.clone(), size: 0 },
    };
    let made = match &bootstrap {
        None => restore(&run, &job, &|| false).map(|(tar, _)| tar),
        Some(image) => with_bootstrap(&run, &job, image, own.as_ref()),
    };
    made.map(|tar| report(&tar)).map_err(|failure| in_layer(&name, failure))
}

fn in_layer(name: &str, failure: LayerFailure) -> Error {
    match failure {
        LayerFailure::Interrupted { signal } => Error::Interrupted { signal },
        failure => VerbError::Layer { name: name.to_owned(), source: Box::new(failure) }.into(),
    }
}

fn with_bootstrap(
    run: &Run<'_>,
    job: &LayerJob<'_>,
    image: &Image,
    own: Option<&Descriptor>,
) -> Result<RestoredTar, LayerFailure> {
    let proceed = || match run.stop.requested() {
        Some(signal) => Err(LayerFailure::Interrupted { signal }),
        None => Ok(()),
    };
    // A layer without content comes with an empty file, or with none.
    let own = own.filter(|own| own.size > 0).map(|own| OpenBlob::open(run.source, own)).transpose()?;
    rebuild::given(&Restoring::new(run, job, &proceed), image, own.as_ref())
}

/// The blob that is given: where the bootstrap names a single one, it is that, whatever the file is called; else it has
/// the digest that the file is named by, as in directories of blobs, if any.
fn own_blob(source: &mut Files, path: &Path, image: Option<&Image>) -> Result<Descriptor, VerbError> {
    let only = match image.map(|image| image.blobs.as_slice()) {
        Some([Blob { name: BlobName::Id(id), .. }]) => Some(Digest::from_sha256(id.0)),
        _ => None,
    };
    let stem = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let named = || format!("sha256:{stem}").parse().unwrap_or_else(|_| placeholder(0).digest);
    let failed = |error| VerbError::Read { name: path.display().to_string(), source: error };
    source.add(only.unwrap_or_else(named), path.to_owned()).map_err(failed)
}

impl UnpackFiles {
    fn read_bootstrap(&self) -> Result<Option<Image>, VerbError> {
        let Some(path) = &self.bootstrap else { return Ok(None) };
        let name = || path.display().to_string();
        let size = path.metadata().map_err(|source| VerbError::Read { name: name(), source })?.len();
        if size > MAX_BOOTSTRAP {
            return Err(VerbError::NoBootstrap { name: name() });
        }
        let bytes = fs::read(path).map_err(|source| VerbError::Read { name: name(), source })?;
        let parsed = nydus_convert_rafs::parse(&bytes);
        Ok(Some(parsed.map_err(|source| VerbError::Bootstrap { name: name(), source })?.1))
    }

    /// The blobs of an image beside the one that is given.
    fn others(
        &self,
        source: &mut Files,
        image: &Image,
        own: Option<&Descriptor>,
    ) -> Result<Vec<Descriptor>, VerbError> {
        let mut others = Vec::new();
        for blob in &image.blobs {
            let BlobName::Id(id) = blob.name else { continue };
            let digest = Digest::from_sha256(id.0);
            if own.is_some_and(|own| own.digest == digest) {
                continue;
            }
            let path =
                self.blob_dir.as_ref().map(|dir| dir.join(id.to_string())).filter(|path| path.is_file());
            let path = path.ok_or_else(|| VerbError::MissingBlob { id: id.to_string() })?;
            let name = path.display().to_string();
            others.push(source.add(digest, path).map_err(|source| VerbError::Read { name, source })?);
        }
        Ok(others)
    }
}

fn report(tar: &RestoredTar) -> UnpackReport {
    UnpackReport {
        schema_version: SCHEMA_VERSION,
        diff_id: tar.diff_id.to_string(),
        tar_bytes: tar.blob.size,
        exact: tar.exact_tar,
        tool: ToolReport::current(),
    }
}
