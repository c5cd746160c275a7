//! What one layer may take from other blobs: whole chunks by reference, stored forms by copying.

use std::io::Write;
use std::sync::Arc;

use nydus_convert_chunk::store::Forms;
use nydus_convert_chunk::{BlobWriter, Candidates, ChunkLookup, Foreign, Others, Packing};
use nydus_convert_rafs::{ChunkDigest, ChunkRef, Compressor};

use super::elsewhere::{Elsewhere, Used};
use super::failure::LayerFailure;
use super::form::Packed;
use crate::dictionary::ChunkDictionary;
use crate::options::Dedup;
use crate::reuse::{Below, Reuse, worth_referring};

/// Who else has chunks, and what was found there.
pub struct Neighbours<'a> {
    dictionary: Option<&'a ChunkDictionary>,
    below: Option<&'a Below>,
    reuse: Option<&'a Reuse>,
    forms: Option<Arc<Forms>>,
    candidates: Option<Candidates>,
}

/// Who is asked.
#[derive(Clone, Copy)]
pub enum Lookup<'a> {
    /// Images that the user named.
    Dictionary(&'a ChunkDictionary),
    /// The layers below.
    Below(&'a Below),
}

impl<'a> Lookup<'a> {
    /// A chunk that was found.
    fn at(self, hit: ChunkRef) -> Option<Used<'a>> {
        match self {
            Self::Dictionary(dictionary) => dictionary.at(hit),
            Self::Below(below) => below.at(hit),
        }
    }
}

impl ChunkLookup for Lookup<'_> {
    fn find(&mut self, digest: &ChunkDigest, length: u32) -> Option<ChunkRef> {
        match self {
            Self::Dictionary(dictionary) => dictionary.find(digest, length),
            Self::Below(below) => below.find(digest, length),
        }
    }
}

impl<'a> Neighbours<'a> {
    /// What is allowed; `below` are the layers below.
    pub fn new(packed: &Packed<'a>, below: &'a Below) -> Self {
        let refers = packed.dedup == Dedup::Store && packed.reuse.is_some();
        // Raw chunks are not worth a look, unless it is to do without them.
        let worth = refers || packed.fs.compression.compressor() != Compressor::None;
        Self {
            dictionary: packed.dictionary,
            below: (packed.dedup != Dedup::Layer).then_some(below),
            reuse: packed.reuse,
            forms: packed.reuse.filter(|_| worth).map(Reuse::forms),
            candidates: refers.then(Candidates::default),
        }
    }

    /// What is asked chunk by chunk.
    pub fn lookup(&self) -> Option<Lookup<'a>> {
        self.dictionary.map(Lookup::Dictionary).or(self.below.map(Lookup::Below))
    }

    /// For one run of packing.
    pub fn of<'x, 'f>(&'x mut self, foreign: Option<&'x mut Foreign<'f>>) -> Others<'x, 'f> {
        Others { foreign, forms: self.forms.clone(), candidates: self.candidates.as_mut() }
    }

    /// Decides what stays elsewhere, and writes the rest. `hits` are what the look-ups found.
    pub fn resolve<W: Write>(
        self,
        writer: &mut BlobWriter<W>,
        packing: &mut Packing,
        hits: Vec<ChunkRef>,
    ) -> Result<(Elsewhere, Option<Arc<Forms>>), LayerFailure> {
        let lookup = self.lookup();
        let resolved = match (self.candidates, self.reuse, self.below) {
            (Some(candidates), Some(reuse), Some(below)) => {
                let worth = worth_referring(&candidates.savings(), packing.stored, below, &reuse.options);
                // Below 2²⁴ for every blob that they lie in.
                let foreign = hits.len() as u32;
                candidates.resolve::<LayerFailure, _>(reuse.store(), writer, packing, foreign, |blob| {
                    worth.contains(&blob)
                })?
            }
            _ => Default::default(),
        };
        let found = hits.iter().filter_map(|hit| lookup?.at(*hit));
        let stored = resolved.elsewhere.iter().filter_map(|candidate| {
            let blob = resolved.heads.get(&candidate.blob)?;
            Some(Used { blob, index: candidate.number, chunk: candidate.chunk })
        });
        Ok((Elsewhere::new(found.chain(stored), packing.new_chunks > 0), self.forms))
    }
}
