//! The record of one layer: how exactly it can come back, decided while its blob is being finished.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use nydus_convert_chunk::BlobTail;
use nydus_convert_oci::{
    self as oci, Compression, Descriptor, DiffId, Digest, Source, StreamLimits, decompress,
};
use nydus_convert_recompress::{Identified, Recipe, ReplayError, replay};

use super::failure::LayerFailure;
use crate::options::Replay;
use crate::remembered::{LAYER_SECTION, LayerRecord, MAX_RECIPES, ORIGINAL_SECTION, Stored, Trust};
use crate::report::{ReplayReport, WayBack};

/// Bytes compared at once.
const PIECE: usize = 128 << 10;

/// A layer that was read to its end.
pub struct Layer<'a> {
    /// Its descriptor.
    pub descriptor: &'a Descriptor,
    /// Digest of its plain tar.
    pub diff_id: DiffId,
    /// Length of its plain tar in bytes.
    pub tar_size: u64,
    /// How it is compressed.
    pub compression: Compression,
}

/// What is known of a layer's encoder.
pub struct Decision {
    stored: Stored,
    method: Option<String>,
}

impl Layer<'_> {
    /// How the stored layer comes back. Under [`Replay::Proven`] this makes the whole layer again, perhaps several times.
    pub fn decide(
        &self,
        wanted: Replay,
        identified: Option<Identified>,
        (source, limits): (&dyn Source, StreamLimits),
        proceed: &dyn Fn() -> Result<(), LayerFailure>,
    ) -> Result<Decision, LayerFailure> {
        let unknown = Decision { stored: Stored::Unknown, method: None };
        if self.compression == Compression::None {
            return Ok(Decision { stored: Stored::Plain, method: Some("not compressed".to_owned()) });
        }
        let candidates = identified.map(|identified| identified.candidates).unwrap_or_default();
        match wanted {
            Replay::Tar | Replay::None => Ok(unknown),
            Replay::Auto if candidates.is_empty() => Ok(unknown),
            Replay::Auto => Ok(by_recipes(&candidates, Trust::Sampled)),
            Replay::Proven => {
                for recipe in &candidates {
                    if self.is_proved(recipe, (source, limits), proceed)? {
                        return Ok(by_recipes(std::slice::from_ref(recipe), Trust::Proven));
                    }
                }
                Ok(Decision { stored: Stored::Kept, method: Some("kept as it was".to_owned()) })
            }
        }
    }

    /// Whether a recipe makes exactly the stored bytes of the plain ones.
    fn is_proved(
        &self,
        recipe: &Recipe,
        (source, limits): (&dyn Source, StreamLimits),
        proceed: &dyn Fn() -> Result<(), LayerFailure>,
    ) -> Result<bool, LayerFailure> {
        let reading = |error| oci::Error::reading(self.descriptor.digest, error);
        let plain = decompress(source.open(self.descriptor)?, limits).map_err(reading)?;
        let mut same = Same::with(source, self.descriptor, proceed)?;
        // Layers are proved side by side already.
        let result = replay(recipe, plain, &mut same, NonZeroUsize::MIN);
        match (result, same.failed) {
            (_, Some(Difference::Failed(failure))) => Err(failure),
            (_, Some(Difference::Bytes)) => Ok(false),
            (Err(ReplayError::Read(error)), None) => Err(reading(error).into()),
            (Err(_), None) => Ok(false),
            (Ok(_), None) => {
                same.original.read(&mut [0; 1]).map(|more| more == 0).map_err(|error| reading(error).into())
            }
        }
    }

    /// The record, and what is kept by it.
    pub fn record(&self, tar: Vec<u8>, decision: Decision) -> (LayerRecord, ReplayReport) {
        let Decision { stored, method } = decision;
        let (way_back, kept) = match &stored {
            Stored::Plain | Stored::Recipes { trust: Trust::Proven, .. } => (WayBack::Proven, 0),
            Stored::Recipes { trust: Trust::Sampled, .. } => (WayBack::Sampled, 0),
            Stored::Kept => (WayBack::Proven, self.descriptor.size),
            Stored::Unknown => (WayBack::Tar, 0),
        };
        let record = LayerRecord {
            diff_id: self.diff_id,
            tar_size: self.tar_size,
            digest: self.descriptor.digest,
            size: self.descriptor.size,
            tar,
            stored,
        };
        let bytes = record.write().len() as u64 + kept;
        (record, ReplayReport { way_back, method, bytes })
    }

    /// Writes the sections and says what was kept.
    pub fn write<W: Write>(
        &self,
        tail: &mut BlobTail<W>,
        tar: Vec<u8>,
        decision: Decision,
        source: &dyn Source,
    ) -> Result<ReplayReport, LayerFailure> {
        let (record, report) = self.record(tar, decision);
        tail.section(LAYER_SECTION, &record.write(), false)?;
        if record.stored == Stored::Kept {
            tail.section_from(ORIGINAL_SECTION, self.descriptor.size, source.open(self.descriptor)?)?;
        }
        Ok(report)
    }
}

fn by_recipes(recipes: &[Recipe], trust: Trust) -> Decision {
    Decision {
        stored: Stored::Recipes {
            recipes: recipes.iter().take(MAX_RECIPES).map(Recipe::write).collect(),
            trust,
        },
        method: recipes.first().map(|recipe| recipe.method().to_string()),
    }
}

/// Compares what is written with the original, and fails at the first difference.
struct Same<'a> {
    original: Box<dyn Read + Send>,
    digest: Digest,
    piece: Vec<u8>,
    failed: Option<Difference>,
    proceed: &'a dyn Fn() -> Result<(), LayerFailure>,
}

enum Difference {
    /// Other bytes, or more of them.
    Bytes,
    /// Comparing cannot go on.
    Failed(LayerFailure),
}

impl<'a> Same<'a> {
    fn with(
        source: &dyn Source,
        layer: &Descriptor,
        proceed: &'a dyn Fn() -> Result<(), LayerFailure>,
    ) -> Result<Self, LayerFailure> {
        let original = source.open(layer)?;
        Ok(Self { original, digest: layer.digest, piece: vec![0; PIECE], failed: None, proceed })
    }

    fn compare(&mut self, bytes: &[u8]) -> Result<(), Difference> {
        (self.proceed)().map_err(Difference::Failed)?;
        for bytes in bytes.chunks(PIECE) {
            let piece = &mut self.piece[..bytes.len()];
            match self.original.read_exact(piece) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Difference::Bytes),
                Err(error) => return Err(Difference::Failed(oci::Error::reading(self.digest, error).into())),
                Ok(()) if piece != bytes => return Err(Difference::Bytes),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

impl Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.compare(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(difference) => {
                self.failed = Some(difference);
                Err(io::Error::other("another stream"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
