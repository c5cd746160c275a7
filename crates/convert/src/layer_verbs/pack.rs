//! A layer as a stream → a blob as a stream.

use std::io::{Read, Write};
use std::path::PathBuf;

use nydus_convert_chunk::ordered::Pool;

use super::error::VerbError;
use super::streams::{StreamSink, StreamSource};
use crate::dictionary::{ChunkDictionary, DictionaryError};
use crate::error::Error;
use crate::layer::failure::LayerFailure;
use crate::layer::{ConvertedLayer, Form, LayerInput, LayerRun, Packed, Spare};
use crate::options::{Dedup, Fidelity, FsOptions, Replay, Resources};
use crate::prefetch::Prefetch;
use crate::report::{LossReport, PackReport, SCHEMA_VERSION, ToolReport};
use crate::reuse::Below;
use crate::run::{LayerLabel, Observer, Stop};

/// Everything that `pack_layer` can be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackLayerOptions {
    /// The file system.
    pub fs: FsOptions,
    /// Leave the layer as it is, and tell only where in it files lie (OCI-ref). The layer is gzip or a plain tar and must
    /// be where the image goes to; of `fs` the chunk size counts, and nothing is recorded or deduplicated.
    pub oci_ref: bool,
    /// Strict or lenient.
    pub fidelity: Fidelity,
    /// What is kept for the way back. [`Replay::Proven`] is refused: it reads a layer twice.
    pub replay: Replay,
    /// What clients fetch first; it lies in front.
    pub prefetch: Prefetch,
    /// Chunks that need not be stored again. Its blobs must be where the image goes to.
    pub chunk_dict: Option<ChunkDictionary>,
    /// Threads and memory.
    pub resources: Resources,
    /// Where temporary files are made; the system's directory for them if not told.
    pub tmpdir: Option<PathBuf>,
}

impl PackLayerOptions {
    /// What the layer becomes.
    fn form(&self) -> Form<'_> {
        if self.oci_ref {
            return Form::Referred(self.fs.chunk_size);
        }
        Form::Packed(Packed {
            fs: self.fs,
            fidelity: self.fidelity,
            dictionary: self.chunk_dict.as_ref(),
            dedup: Dedup::Layer,
            reuse: None,
        })
    }
}

/// Makes a blob, with the layer's bootstrap in it, of a layer: a tar, plain or compressed with gzip or zstd. Both
/// are read and written from front to end, so both may be pipes. `name` is the layer in errors.
///
/// Bytes that were written before a failure stay written: what came of it is known when this returns.
///
/// # Errors
/// Beside those of the layer: [`Error::NotFaithful`] under [`Fidelity::Strict`], after the last byte.
pub fn pack_layer(
    (layer, name): (Box<dyn Read + Send>, &str),
    out: Box<dyn Write + Send>,
    options: &PackLayerOptions,
    observer: &dyn Observer,
    stop: &Stop,
) -> Result<PackReport, Error> {
    if options.replay == Replay::Proven {
        return Err(VerbError::ProvenStream.into());
    }
    if let Some(dictionary) = &options.chunk_dict {
        dictionary.check(&options.fs)?;
        if options.oci_ref {
            return Err(DictionaryError::Referred.into());
        }
    }
    let (source, sink) = (StreamSource::new(layer), StreamSink::new(out));
    let pool = Pool::new(options.resources.jobs);
    let run = LayerRun {
        source: &source,
        sink: &sink,
        form: options.form(),
        replay: options.replay,
        prefetch: &options.prefetch,
        tmpdir: options.tmpdir.as_deref(),
        // All of the memory is this layer's.
        resources: Resources { parallel_layers: std::num::NonZeroUsize::MIN, ..options.resources },
        spare: Spare::new(options.resources.max_metadata),
        pool: &pool,
        observer,
        stop,
    };
    let label = LayerLabel { platform: None, number: 1, count: 1, digest: name.to_owned(), size: 0 };
    let placeholder = nydus_convert_oci::Source::root(&source);
    let input = LayerInput::Stream { placeholder, read: &|| source.read_so_far() };
    let packed =
        run.convert(&input, &label, &Below::default(), &|| false).map_err(|failure| match failure {
            LayerFailure::Interrupted { signal } => Error::Interrupted { signal },
            failure => VerbError::Layer { name: name.to_owned(), source: Box::new(failure) }.into(),
        })?;
    let report = report(&source, &packed);
    if options.fidelity == Fidelity::Strict && !report.losses.is_empty() {
        return Err(Error::NotFaithful { losses: report.losses });
    }
    Ok(report)
}

fn report(source: &StreamSource, packed: &ConvertedLayer) -> PackReport {
    let read = source.read_so_far();
    let losses = packed.losses.iter().map(|lost| LossReport {
        layer: read.digest.to_string(),
        path: lost.path.to_string(),
        problem: lost.loss.to_string(),
    });
    PackReport {
        schema_version: SCHEMA_VERSION,
        blob_digest: packed.blob.digest.to_string(),
        blob_bytes: packed.blob.size,
        source_digest: read.digest.to_string(),
        source_bytes: read.size,
        diff_id: packed.diff_id.to_string(),
        tar_bytes: packed.tar_bytes,
        entries: packed.entries,
        chunks: packed.chunks,
        stored_chunks: packed.stored_chunks,
        foreign_chunks: packed.foreign_chunks,
        replay: packed.replay.clone(),
        losses: losses.collect(),
        tool: ToolReport::current(),
    }
}
