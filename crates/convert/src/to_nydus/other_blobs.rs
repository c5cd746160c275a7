//! What one layer may take from other blobs: whole chunks by reference, stored forms by copying.

use std::io::Write;
use std::sync::Arc;

use nydus_convert_chunk::store::Forms;
use nydus_convert_chunk::{BlobWriter, Candidates, ChunkLookup, Foreign, Others, Packing};
use nydus_convert_rafs::{ChunkDigest, ChunkRef, Compressor};

use super::elsewhere::{Elsewhere, Used};
use super::layer::LayerRun;
use crate::dictionary::ChunkDictionary;
use crate::error::LayerFailure;
use crate::options::Dedup;
use crate::reuse::{Lower, Reuse, that_pay};

/// Who else has chunks, and what was found there.
pub struct OtherBlobs<'a> {
    dictionary: Option<&'a ChunkDictionary>,
    lower: Option<&'a Lower>,
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
    Lower(&'a Lower),
}

impl<'a> Lookup<'a> {
    /// A chunk that was found.
    fn at(self, hit: ChunkRef) -> Option<Used<'a>> {
        match self {
            Self::Dictionary(dictionary) => dictionary.at(hit),
            Self::Lower(lower) => lower.at(hit),
        }
    }
}

impl ChunkLookup for Lookup<'_> {
    fn find(&mut self, digest: &ChunkDigest, length: u32) -> Option<ChunkRef> {
        match self {
            Self::Dictionary(dictionary) => dictionary.find(digest, length),
            Self::Lower(lower) => lower.find(digest, length),
        }
    }
}

impl<'a> OtherBlobs<'a> {
    /// What the run allows; `lower` are the layers below.
    pub fn new(run: &LayerRun<'a>, lower: &'a Lower) -> Self {
        let refers = run.dedup == Dedup::Store && run.reuse.is_some();
        // Raw chunks are not worth a look, unless it is to do without them.
        let worth = refers || run.fs.compression.compressor() != Compressor::None;
        Self {
            dictionary: run.dictionary,
            lower: (run.dedup != Dedup::Layer).then_some(lower),
            reuse: run.reuse,
            forms: run.reuse.filter(|_| worth).map(Reuse::forms),
            candidates: refers.then(Candidates::default),
        }
    }

    /// What is asked chunk by chunk.
    pub fn lookup(&self) -> Option<Lookup<'a>> {
        self.dictionary.map(Lookup::Dictionary).or(self.lower.map(Lookup::Lower))
    }

    /// For one run of packing.
    pub fn of<'x, 'f>(&'x mut self, foreign: Option<&'x mut Foreign<'f>>) -> Others<'x, 'f> {
        Others { foreign, forms: self.forms.clone(), candidates: self.candidates.as_mut() }
    }

    /// Decides what stays elsewhere, and writes the rest. `hits` are what the look-ups found.
    pub fn settle<W: Write>(
        self,
        writer: &mut BlobWriter<W>,
        packing: &mut Packing,
        hits: Vec<ChunkRef>,
    ) -> Result<(Elsewhere, Option<Arc<Forms>>), LayerFailure> {
        let lookup = self.lookup();
        let settled = match (self.candidates, self.reuse, self.lower) {
            (Some(candidates), Some(reuse), Some(lower)) => {
                let pay = that_pay(&candidates.savings(), packing.stored, lower, &reuse.options);
                // Below 2²⁴ for every blob that they lie in.
                let foreign = hits.len() as u32;
                candidates.settle::<LayerFailure, _>(reuse.store(), writer, packing, foreign, |blob| {
                    pay.contains(&blob)
                })?
            }
            _ => Default::default(),
        };
        let found = hits.iter().filter_map(|hit| lookup?.at(*hit));
        let stored = settled.elsewhere.iter().filter_map(|candidate| {
            let blob = settled.heads.get(&candidate.blob)?;
            Some(Used { blob, index: candidate.number, chunk: candidate.chunk })
        });
        Ok((Elsewhere::new(found.chain(stored), packing.new_chunks > 0), self.forms))
    }
}
