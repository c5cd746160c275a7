//! `nydus-image merge`.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use nydus_convert::layer_verbs::{LayerBootstrap, merge_layers};
use nydus_convert::rafs::BlobId;
use nydus_convert::{Error, Resources};

use super::args::Merge;
use super::refusals::Refusal;
use super::result::Outcome;
use crate::streams;

/// Makes the bootstrap of an image.
pub fn run(args: &Merge) -> Result<ExitCode> {
    let Some(bootstrap) = &args.bootstrap else {
        let reason = "it names the file that the merged bootstrap goes to";
        return Err(Refusal::Missing { flag: "--bootstrap", reason }.into());
    };
    if args.blob_dir.is_some() {
        return Err(Refusal::Flag { flag: "--blob-dir", reason: "--bootstrap names the file" }.into());
    }
    if args.config.is_some() {
        return Err(Refusal::Flag { flag: "--config", reason: "no storage backend is used" }.into());
    }
    let prefetch = super::read_patterns(&args.prefetch_policy)?;
    let jobs = Resources::default().jobs;
    let mut layers = Vec::with_capacity(args.sources.len() + 1);
    if let Some(parent) = &args.parent_bootstrap {
        layers.push(LayerBootstrap::read(parent, None, jobs).map_err(Error::from)?);
    }
    let told = Told::parse(args)?;
    for (number, source) in args.sources.iter().enumerate() {
        layers.push(told.read(number, source, jobs)?);
    }
    let merged = merge_layers(layers, &prefetch)?;
    streams::write(bootstrap, &merged.bootstrap)?;
    Outcome::of_image(bootstrap, &merged.image, merged.version).write(args.output_json.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// What the command line tells of each layer's blob; lists are empty or have an item for each layer.
struct Told<'a> {
    args: &'a Merge,
    original_ids: Vec<BlobId>,
    digests: Vec<BlobId>,
    toc_digests: Vec<BlobId>,
}

impl<'a> Told<'a> {
    fn parse(args: &'a Merge) -> Result<Self> {
        let told = Self {
            args,
            original_ids: ids("--original-blob-ids", &args.original_blob_ids)?,
            digests: ids("--blob-digests", &args.blob_digests)?,
            toc_digests: ids("--blob-toc-digests", &args.blob_toc_digests)?,
        };
        let lengths = [
            ("--original-blob-ids", told.original_ids.len()),
            ("--blob-digests", told.digests.len()),
            ("--blob-sizes", args.blob_sizes.len()),
            ("--blob-toc-digests", told.toc_digests.len()),
            ("--blob-toc-sizes", args.blob_toc_sizes.len()),
        ];
        let layers = args.sources.len();
        match lengths.into_iter().find(|(_, length)| ![0, layers].contains(length)) {
            Some((flag, length)) => bail!("{flag} has {length} items for {layers} layers"),
            None => Ok(told),
        }
    }

    fn read(&self, number: usize, source: &Path, jobs: NonZeroUsize) -> Result<LayerBootstrap> {
        let digest = self.digests.get(number).copied();
        let id = self.original_ids.get(number).copied().or(digest);
        let mut layer = LayerBootstrap::read(source, id, jobs).map_err(Error::from)?;
        // The id of such a blob is the original layer's, and stands in the bootstrap.
        if let Some(blob) = layer.separate_blob() {
            if let Some(BlobId(digest)) = digest {
                blob.meta_digest = digest;
            }
            blob.meta_size = self.args.blob_sizes.get(number).copied().unwrap_or(blob.meta_size);
            if let Some(BlobId(digest)) = self.toc_digests.get(number).copied() {
                blob.toc_digest = digest;
            }
            blob.toc_size = self.args.blob_toc_sizes.get(number).copied().unwrap_or(blob.toc_size);
        }
        Ok(layer)
    }
}

fn ids(flag: &'static str, list: &[String]) -> Result<Vec<BlobId>> {
    list.iter().map(|id| id.parse::<BlobId>().with_context(|| format!("{flag} '{id}'"))).collect()
}
