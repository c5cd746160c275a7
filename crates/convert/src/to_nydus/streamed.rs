//! OCI → Nydus for a layer that comes as a stream and can be read only once.
//!
//! The layer is converted first; by then its digests are known, and the image around it is made and converted as any
//! other, without the layer being read again.

use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use nydus_convert_chunk::ordered::Pool;
use nydus_convert_oci::{Blob, Compression, LayerSource, ManifestKind, Platform, Reference, Sink, Source};

use super::layers::identities;
use super::{Conversion, check_options, layer_run, publish};
use crate::error::Error;
use crate::image::find as images;
use crate::layer::failure::LayerFailure;
use crate::layer::{LayerInput, LayerRun};
use crate::layer_verbs::{StreamSource, VerbError};
use crate::options::{Resources, ToNydusOptions};
use crate::report::ToNydusReport;
use crate::reuse::{Below, Reuse};
use crate::run::{LayerLabel, Observer, Stop};

/// Converts the image whose one layer is what `layer` gives, and publishes it in `sink`: as
/// [`to_nydus`](crate::to_nydus) of an [`LayerSource`] for `platform`, but reading forward only, so the layer may be a
/// pipe.
///
/// # Errors
/// Beside those of `to_nydus`: options under which a layer is read twice ([`ToNydusOptions::reads_once`]) are refused.
pub fn to_nydus_stream(
    (layer, source_name, platform): (Box<dyn Read + Send>, &Reference, &Platform),
    (sink, target_name): (Box<dyn Sink>, &Reference),
    options: &ToNydusOptions,
    observer: &dyn Observer,
    stop: &Stop,
) -> Result<ToNydusReport, Error> {
    check_options(options)?;
    if !options.reads_once() {
        return Err(VerbError::ProvenStream.into());
    }
    let options = &options.effective();
    let name = source_name.to_string();
    let in_layer = |failure| match failure {
        LayerFailure::Interrupted { signal } => Error::Interrupted { signal },
        failure => VerbError::Layer { name: name.clone(), source: Box::new(failure) }.into(),
    };
    let (compression, layer) = detect(layer).map_err(|error| in_layer(LayerFailure::Input(error)))?;
    let stream = StreamSource::new(layer);
    let pool = Pool::new(options.resources.jobs);
    let label = LayerLabel { platform: None, number: 1, count: 1, digest: name.clone(), size: 0 };
    let input = LayerInput::Stream { placeholder: stream.root(), read: &|| stream.read_so_far() };
    let reuse = Reuse::new(options)?;
    let ends = (&stream as &dyn Source, sink.as_ref(), reuse.as_ref());
    let run = layer_run(ends, options, &pool, observer, stop);
    // All of the memory is this layer's.
    let resources = Resources { parallel_layers: std::num::NonZeroUsize::MIN, ..options.resources };
    let converted = LayerRun { resources, ..run }
        .convert(&input, &label, &Below::default(), &|| false)
        .map_err(in_layer)?;

    let read = stream.read_so_far();
    let blob = Blob { digest: read.digest, size: read.size };
    let source =
        LayerSource::described(blob, compression, converted.diff_id, &PathBuf::from(&name), platform);
    let mut conversion = Conversion::new(
        layer_run((&source, sink.as_ref(), reuse.as_ref()), options, &pool, observer, stop),
        options,
    );
    if let (_, ManifestKind::Image(manifest)) = ManifestKind::read(&source, source.root())? {
        let config = images::read_config(&source, &manifest)?;
        let keys = identities(&manifest, &config, options.reuse.dedup);
        conversion.fresh.extend(&keys);
        conversion.done.extend(keys.into_iter().map(|key| (key, converted.clone())));
    }
    let root = conversion.convert(source.root(), 0)?;
    let found = conversion.finish(&source)?;
    publish(root, found, (source_name, sink, target_name), reuse.as_ref(), stop)
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
