//! One layer: from the stored stream to a blob and what merging needs, in one pass. What the layer becomes is its [`Form`].
//!
//! ```text
//!   input.rs ─► entries.rs ─┬─► pack.rs        chunks, hashed and compressed, in a blob of their own
//!   (opened,    (tree and   ├─► refer.rs       the layer stays; a small blob says where in it files lie
//!    inflated,   chunks)    └─► plain_tar.rs   the tar itself is the blob
//!    hashed)                                        └─► converted.rs: what others may know of it
//! ```

mod allowance;
pub(crate) mod converted;
mod deferred;
pub(crate) mod elsewhere;
mod encoder;
mod entries;
pub(crate) mod failure;
mod form;
mod input;
pub(crate) mod loss;
mod neighbours;
mod pack;
pub(crate) mod plain_tar;
mod refer;
mod tape;
mod task;
mod way_back;

use std::io;

use nydus_convert_oci::{self as oci, Descriptor, ErrorKind};

use crate::kind::Kind;
use crate::reuse::Below;
use crate::run::LayerLabel;

pub use allowance::{Allowance, Meter, Spare, Stored};
pub use converted::{ConvertedLayer, LayerIdentity, MergeLayer};
pub use failure::LayerFailure;
pub use form::{Form, PLAIN_TAR, Packed};
pub use input::LayerInput;
pub use loss::{Lost, LostEntry};
pub use task::{LayerRun, Task};

impl LayerRun<'_> {
    /// Converts one layer; it may refer to those in `below`. Asked again and again, `give_up` says whether the result is
    /// not wanted any more.
    pub fn convert(
        &self,
        input: &LayerInput<'_>,
        label: &LayerLabel,
        below: &Below,
        give_up: &dyn Fn() -> bool,
    ) -> Result<ConvertedLayer, LayerFailure> {
        self.run.observer.layer_started(label);
        let task = &Task { layers: self, label, give_up };
        let converted = match &self.form {
            Form::Referred(chunk_size) => refer::refer(task, *chunk_size, input),
            Form::PlainTar(chunk_size) => plain_tar::keep(task, *chunk_size, input),
            Form::Packed(packed) => self.restore(packed, input, label).and_then(|restored| match restored {
                Some(restored) => Ok(restored),
                None => pack::pack(task, packed, input, below),
            }),
        };
        match (converted, input) {
            (Ok(converted), _) => {
                let from = if converted.from_store { "from the chunk store" } else { "converted" };
                tracing::info!("layer {} of {} ({}): {from}", label.number, label.count, label.digest);
                tracing::debug!("{} became {}", label.digest, converted.blob.digest);
                self.run.observer.layer_finished(label, converted.blob.size);
                Ok(converted)
            }
            (Err(failure), LayerInput::Listed { layer, .. }) => Err(self.root_cause(layer, failure)),
            (Err(failure), LayerInput::Stream { .. }) => Err(failure),
        }
    }

    /// The layer as the chunk store has it.
    fn restore(
        &self,
        packed: &Packed<'_>,
        input: &LayerInput<'_>,
        label: &LayerLabel,
    ) -> Result<Option<ConvertedLayer>, LayerFailure> {
        // Blobs that use a dictionary depend on it.
        let (LayerInput::Listed { layer, key }, Some(reuse), None) = (input, packed.reuse, packed.dictionary)
        else {
            return Ok(None);
        };
        let restored = reuse.restore(key, self.sink)?;
        if restored.is_some() {
            self.run.observer.layer_advanced(label, layer.size);
        }
        Ok(restored)
    }

    /// Damaged bytes break the parser before their digest is known to be wrong. The digest is the better error, so
    /// the stored layer is read once more to its end.
    fn root_cause(&self, layer: &Descriptor, failure: LayerFailure) -> LayerFailure {
        if !failure.may_be_damage()
            || failure.kind() == Kind::NotFaithful && !matches!(failure, LayerFailure::DiffId { .. })
        {
            return failure;
        }
        let verified = self.source.open(layer).and_then(|mut stored| {
            io::copy(&mut stored, &mut io::sink()).map_err(|error| oci::Error::reading(layer.digest, error))
        });
        match verified {
            Err(error) if matches!(error.kind(), ErrorKind::Verification | ErrorKind::Network) => {
                LayerFailure::Source(error)
            }
            _ => failure,
        }
    }
}

impl Form<'_> {
    /// The blobs of an image made of these layers, as its manifest lists them. `originals` are the layers as they were.
    pub fn describe(&self, layers: &[&ConvertedLayer], originals: &[Descriptor]) -> Vec<Descriptor> {
        let blobs = layers.iter().map(|layer| nydus_convert_oci::nydus::blob_descriptor(layer.blob));
        match self {
            Self::Packed(_) => blobs.collect(),
            Self::Referred(_) => refer::describe(blobs, originals),
            Self::PlainTar(_) => plain_tar::describe(layers, originals),
        }
    }
}
