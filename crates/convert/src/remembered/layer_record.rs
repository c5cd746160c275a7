//! How one layer's stream comes back from the chunks of its blob.
//!
//! ```text
//!   "NCLAYER\0" │ version u32 │ diff id │ tar length u64 │ layer digest │ layer length u64
//!   │ tar record │ stored as: u8 │ trust: u8 │ number of recipes u32 │ recipe …
//! ```
//! Numbers are little-endian; digests are text and the others bytes, each with its length (u64) in front. The tar
//! record is that of the `layer` crate, the recipes are those of the `recompress` crate.

use nydus_convert_oci::{DiffId, Digest};

use super::RecordError;
use super::bytes::{Fields, begin, put};

const MAGIC: &[u8; 8] = b"NCLAYER\0";
const WHAT: &str = "layer record";

/// The record of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRecord {
    /// Digest of the plain tar.
    pub diff_id: DiffId,
    /// Length of the plain tar in bytes.
    pub tar_size: u64,
    /// Digest of the stored layer.
    pub digest: Digest,
    /// Length of the stored layer in bytes.
    pub size: u64,
    /// How the tar comes back.
    pub tar: Vec<u8>,
    /// How the stored layer comes back from the tar.
    pub stored: Stored,
}

/// How a stored layer comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// It is the tar.
    Plain,
    /// The tar is compressed again by one of these recipes.
    Recipes {
        /// The recipes, the likeliest first: encoders can agree on a sample and differ later.
        recipes: Vec<Vec<u8>>,
        /// How sure the first one is.
        trust: Trust,
    },
    /// It is a section of the blob.
    Kept,
    /// It does not; the tar does.
    Unknown,
}

/// Most recipes that a record holds.
pub const MAX_RECIPES: usize = 8;

/// How sure a recipe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The whole layer was made again by it and compared.
    Proven,
    /// A part was.
    Sampled,
}

impl LayerRecord {
    /// The bytes of the section.
    pub fn write(&self) -> Vec<u8> {
        let mut record = begin(MAGIC);
        put(&mut record, self.diff_id.0.to_string().as_bytes());
        record.extend(self.tar_size.to_le_bytes());
        put(&mut record, self.digest.to_string().as_bytes());
        record.extend(self.size.to_le_bytes());
        put(&mut record, &self.tar);
        let (stored, trust, recipes): (u8, u8, &[Vec<u8>]) = match &self.stored {
            Stored::Plain => (0, 0, &[]),
            Stored::Recipes { recipes, trust: Trust::Proven } => (1, 0, recipes),
            Stored::Recipes { recipes, trust: Trust::Sampled } => (1, 1, recipes),
            Stored::Kept => (2, 0, &[]),
            Stored::Unknown => (3, 0, &[]),
        };
        record.extend([stored, trust]);
        record.extend((recipes.len() as u32).to_le_bytes());
        recipes.iter().for_each(|recipe| put(&mut record, recipe));
        record
    }

    /// Reads a section. The tar record and the recipes are only cut out.
    pub fn parse(record: &[u8]) -> Result<Self, RecordError> {
        let mut fields = Fields::open(WHAT, MAGIC, record)?;
        let (diff_id, tar_size) = (DiffId(fields.parsed("the diff id")?), fields.u64("the tar's length")?);
        let (digest, size) = (fields.parsed("the layer's digest")?, fields.u64("the layer's length")?);
        let tar = fields.bytes("the tar record")?.to_vec();
        let how = (fields.u8("the sort of the layer")?, fields.u8("the trust in the recipe")?);
        let count = fields.u32("the number of recipes")?;
        let count = usize::try_from(count).ok().filter(|count| *count <= MAX_RECIPES);
        let count = count.ok_or_else(|| fields.damaged("the number of recipes"))?;
        let recipes = (0..count).map(|_| Ok(fields.bytes("a recipe")?.to_vec()));
        let recipes = recipes.collect::<Result<Vec<_>, RecordError>>()?;
        let stored = match (how, recipes.len()) {
            ((0, 0), 0) => Stored::Plain,
            ((1, 0), 1..) => Stored::Recipes { recipes, trust: Trust::Proven },
            ((1, 1), 1..) => Stored::Recipes { recipes, trust: Trust::Sampled },
            ((2, 0), 0) => Stored::Kept,
            ((3, 0), 0) => Stored::Unknown,
            _ => return Err(fields.damaged("the sort of the layer")),
        };
        fields.end()?;
        Ok(Self { diff_id, tar_size, digest, size, tar, stored })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn records() -> Vec<LayerRecord> {
        let digest = Digest::sha256(b"layer");
        [
            Stored::Plain,
            Stored::Recipes { recipes: vec![b"recipe".to_vec()], trust: Trust::Proven },
            Stored::Recipes { recipes: vec![b"one".to_vec(), b"two".to_vec()], trust: Trust::Sampled },
            Stored::Kept,
            Stored::Unknown,
        ]
        .map(|stored| LayerRecord {
            diff_id: DiffId(Digest::sha256(b"tar")),
            tar_size: 10_240,
            digest,
            size: 1234,
            tar: b"framing".to_vec(),
            stored,
        })
        .to_vec()
    }

    #[test]
    fn come_back() {
        for record in records() {
            assert_eq!(LayerRecord::parse(&record.write()).unwrap(), record);
        }
    }

    #[test]
    fn damage_is_told_and_nothing_else_comes_of_it() {
        for record in records() {
            let bytes = record.write();
            for end in 0..bytes.len() {
                LayerRecord::parse(&bytes[..end]).unwrap_err();
            }
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= 1 << bit;
                    // What still parses says something else, and says it in one way only.
                    if let Ok(other) = LayerRecord::parse(&damaged) {
                        assert_ne!(other, record);
                        assert_eq!(other.write(), damaged);
                    }
                }
            }
        }
        let mut newer = records().remove(0).write();
        newer[8] = 2;
        assert_eq!(LayerRecord::parse(&newer), Err(RecordError::Version { what: WHAT, version: 2 }));
        assert_eq!(LayerRecord::parse(b"something else"), Err(RecordError::NotARecord { what: WHAT }));
    }
}
