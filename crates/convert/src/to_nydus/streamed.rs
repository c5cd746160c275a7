//! OCI → Nydus for a layer that comes as a stream and can be read only once.
//!
//! The layer is converted first; by then its digests are known, and the image around it is made and converted as any
//! other, without the layer being read again.

use std::io::{self, Cursor, Read};
use std::num::NonZeroUsize;

use nydus_convert_oci::{Blob, Compression, LayerSource, ManifestKind, Platform, Reference, Sink, Source};

use super::layers::identities;
use super::{Conversion, check_options, layer_run, publish};
use crate::error::Error;
use crate::image::find as images;
use crate::layer::failure::LayerFailure;
use crate::layer::{LayerInput, LayerRun};
use crate::layer_verbs::{StreamSource, VerbError};
use crate::options::ToNydusOptions;
use crate::report::ToNydusReport;
use crate::reuse::{Below, Reuse};
use crate::run::{LayerLabel, Run};

/// A layer that comes as a stream.
pub struct StreamedLayer<'a> {
    /// Its bytes: a tar, plain or compressed.
    pub stream: Box<dyn Read + Send>,
    /// What it is called.
    pub name: &'a Reference,
    /// What the image around it is for.
    pub platform: &'a Platform,
}

/// Converts the image whose one layer is `layer`, and publishes it in `sink`: as [`to_nydus`](crate::to_nydus) of an
/// [`LayerSource`], but reading forward only, so the layer may be a pipe.
///
/// # Errors
/// Beside those of `to_nydus`: options under which a layer is read twice ([`ToNydusOptions::reads_once`]) are refused.
pub fn to_nydus_stream(
    layer: StreamedLayer<'_>,
    sink: Box<dyn Sink>,
    options: &ToNydusOptions,
    run: &Run<'_>,
) -> Result<ToNydusReport, Error> {
    check_options(options, run)?;
    if !options.reads_once() {
        return Err(VerbError::ProvenStream.into());
    }
    let options = &options.effective();
    let StreamedLayer { stream, name, platform } = layer;
    let in_layer = |failure| match failure {
        LayerFailure::Interrupted { signal } => Error::Interrupted { signal },
        failure => VerbError::Layer { name: name.to_string(), source: Box::new(failure) }.into(),
    };
    let (compression, stream) = detect(stream).map_err(|error| in_layer(LayerFailure::Input(error)))?;
    let stream = StreamSource::new(stream);
    let label = LayerLabel { platform: None, number: 1, count: 1, digest: name.to_string(), size: 0 };
    let input = LayerInput::Stream { placeholder: stream.root(), read: &|| stream.read_so_far() };
    let reuse = Reuse::new(options, run)?;
    let layers = layer_run(&stream, sink.as_ref(), reuse.as_ref(), options, run);
    // All of the memory is this layer's.
    let converted = LayerRun { parallel_layers: NonZeroUsize::MIN, ..layers }
        .convert(&input, &label, &Below::default(), &|| false)
        .map_err(in_layer)?;

    let read = stream.read_so_far();
    let blob = Blob { digest: read.digest, size: read.size };
    let source = LayerSource::described(blob, compression, converted.diff_id, name, platform);
    let layers = layer_run(&source, sink.as_ref(), reuse.as_ref(), options, run);
    let mut conversion = Conversion::new(layers, options);
    if let (_, ManifestKind::Image(manifest)) = ManifestKind::read(&source, source.root())? {
        let config = images::read_config(&source, &manifest)?;
        let keys = identities(&manifest, &config, options.reuse.dedup);
        conversion.fresh.extend(&keys);
        conversion.done.extend(keys.into_iter().map(|key| (key, converted.clone())));
    }
    let root = conversion.convert(source.root(), 0)?;
    let found = conversion.finish()?;
    publish(root, found, name, sink, reuse.as_ref())
}

/// How a stream is compressed, and the stream.
fn detect(mut stream: Box<dyn Read + Send>) -> io::Result<(Compression, Box<dyn Read + Send>)> {
    let mut magic = Vec::new();
    stream.by_ref().take(Compression::MAGIC_LEN as u64).read_to_end(&mut magic)?;
    Ok((Compression::detect(&magic), Box::new(Cursor::new(magic).chain(stream))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_looked_at_comes_again() {
        for (bytes, compression) in [
            (&b"\x1f\x8b\x08\x00rest"[..], Compression::Gzip),
            (b"\x28\xb5\x2f\xfdrest", Compression::Zstd),
            (b"abcdefgh", Compression::None),
            (b"ab", Compression::None),
            (b"", Compression::None),
        ] {
            let (found, mut stream) = detect(Box::new(bytes)).unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            assert_eq!((found, all.as_slice()), (compression, bytes));
        }
    }
}
