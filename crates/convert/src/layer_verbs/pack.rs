//! A layer as a stream → a blob as a stream.

use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::path::PathBuf;

use super::error::VerbError;
use super::streams::{StreamSink, StreamSource};
use crate::dictionary::{ChunkDictionary, DictionaryError};
use crate::error::Error;
use crate::layer::failure::LayerFailure;
use crate::layer::{ConvertedLayer, Form, LayerInput, LayerRun, Packed, Spare};
use crate::options::{Dedup, Fidelity, FsOptions, Replay};
use crate::prefetch::Prefetch;
use crate::report::{LossReport, PackReport, SCHEMA_VERSION, ToolReport};
use crate::reuse::Below;
use crate::run::{LayerLabel, Run};

/// Everything that `pack_layer` can be told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// Where temporary files are made; the system's directory for them if not told.
    pub tmpdir: Option<PathBuf>,
}

impl PackLayerOptions {
    /// What the layer becomes.
    fn form<'a>(&self, dictionary: Option<&'a ChunkDictionary>) -> Form<'a> {
        if self.oci_ref {
            return Form::Referred(self.fs.chunk_size);
        }
        let (fs, fidelity) = (self.fs, self.fidelity);
        Form::Packed(Packed { fs, fidelity, dictionary, dedup: Dedup::Layer, reuse: None })
    }
}

/// A layer, or a tar, that comes as a stream.
pub struct NamedStream<'a> {
    /// The layer from its first byte on.
    pub stream: Box<dyn Read + Send>,
    /// What it is called in errors.
    pub name: &'a str,
}

/// Makes a blob, with the layer's bootstrap in it, of a layer: a tar, plain or compressed with gzip or zstd. Both
/// are read and written from front to end, so both may be pipes. Blobs of the run's dictionary must be where the image goes
/// to; its store is not used.
///
/// Bytes that were written before a failure stay written: what came of it is known when this returns.
///
/// # Errors
/// Beside those of the layer: [`Error::NotFaithful`] under [`Fidelity::Strict`], after the last byte.
pub fn pack_layer(
    layer: NamedStream<'_>,
    out: Box<dyn Write + Send>,
    options: &PackLayerOptions,
    run: &Run<'_>,
) -> Result<PackReport, Error> {
    if options.replay == Replay::Proven {
        return Err(VerbError::ProvenStream.into());
    }
    if let Some(dictionary) = &run.dictionary {
        dictionary.check(&options.fs)?;
        if options.oci_ref {
            return Err(DictionaryError::Referred.into());
        }
    }
    let NamedStream { stream, name } = layer;
    let (source, sink) = (StreamSource::new(stream), StreamSink::new(out));
    let layers = LayerRun {
        source: &source,
        sink: &sink,
        form: options.form(run.dictionary.as_ref()),
        replay: options.replay,
        prefetch: &options.prefetch,
        tmpdir: options.tmpdir.as_deref(),
        // All of the memory is this layer's.
        parallel_layers: std::num::NonZeroUsize::MIN,
        spare: Spare::new(run.resources.max_metadata),
        run,
    };
    let label = LayerLabel { platform: None, number: 1, count: 1, digest: name.to_owned(), size: 0 };
    let placeholder = nydus_convert_oci::Source::root(&source);
    let input = LayerInput::Stream { placeholder, read: &|| source.read_so_far() };
    let packed =
        layers.convert(&input, &label, &Below::default(), &|| false).map_err(|failure| match failure {
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
    let report = |is_note| {
        let lost = packed.losses.iter().filter(move |lost| lost.loss.is_note() == is_note);
        lost.map(|lost| LossReport {
            layer: read.digest.to_string(),
            path: lost.path.to_string(),
            problem: lost.loss.to_string(),
        })
    };
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
        losses: report(false).collect(),
        notes: report(true).collect(),
        tool: ToolReport::current(),
    }
}
