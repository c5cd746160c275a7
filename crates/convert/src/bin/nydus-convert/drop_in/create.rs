//! `nydus-image create`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use nydus_convert::layer_verbs::{NamedStream, PackLayerOptions, pack_layer};
use nydus_convert::{ChunkDictionary, Error, FsOptions, Resources, Run};

use super::args::Create;
use super::refusals::{self, Refusal};
use super::result::{Outcome, warn};
use crate::signals;
use crate::streams::{self, Target};
use crate::usage::UsageError;

/// Makes a blob of a layer.
pub fn run(args: &Create) -> Result<ExitCode> {
    if refusals::is_tarfs(args)? {
        return super::tarfs::run(args);
    }
    let oci_ref = refusals::of_create(args)?;
    let Some(blob) = &args.blob else {
        let reason = "it names the file or pipe that the blob goes to";
        return Err(Refusal::Missing { flag: "--blob", reason }.into());
    };
    // A layer on stdin leaves no room for them.
    let policy = if args.source == Path::new("-") { "none" } else { args.prefetch_policy.as_str() };
    let prefetch = super::read_patterns(policy)?;
    let fs = FsOptions {
        version: args.fs_version.lower(),
        compression: args.compressor,
        digester: args.digester,
        chunk_size: args.chunk_size,
        batch_size: args.batch_size,
        aligned_chunks: args.aligned_chunk,
        ..FsOptions::default()
    };
    fs.check().map_err(UsageError::from)?;
    let options = PackLayerOptions {
        fs,
        oci_ref,
        fidelity: args.fidelity.lower(),
        replay: args.replay.lower(),
        prefetch,
        tmpdir: None,
    };
    let dictionary = args.chunk_dict.as_deref().map(open_dictionary).transpose()?;
    let stop = signals::stop_on_signals().context("cannot listen to signals")?;
    let run = Run::new(Resources::default(), &(), &stop).with_dictionary(dictionary);
    let target = Target::new(blob)?;
    // The target first: whoever reads from it and writes to the source opens them in any order.
    let out = target.open()?;
    let name = args.source.display().to_string();
    let layer = NamedStream { stream: streams::open(&args.source)?, name: &name };
    let packed = pack_layer(layer, out, &options, &run);
    if let Err(Error::NotFaithful { losses }) = &packed {
        warn(losses);
    }
    let report = packed?;
    warn(&report.losses);
    target.publish()?;
    // What bootstraps know the blob by: of one that refers to a layer, that is the layer.
    let (digest, compressor) = match oci_ref {
        true => (&report.source_digest, "gzip".to_owned()),
        false => (&report.blob_digest, args.compressor.to_string()),
    };
    let id = digest.trim_start_matches("sha256:").to_owned();
    let compressor = compressor.split(':').next().unwrap_or_default().to_owned();
    let blobs = if report.stored_chunks > 0 { vec![id] } else { Vec::new() };
    Outcome::new(Path::new(""), blobs, fs.version, compressor).write(args.output_json.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// `bootstrap=FILE`, or the file alone.
fn open_dictionary(text: &str) -> Result<ChunkDictionary> {
    let file = match text.split_once('=') {
        None => text,
        Some(("bootstrap", file)) => file,
        Some(_) => return Err(Refusal::Dictionary { text: text.to_owned() }.into()),
    };
    ChunkDictionary::of_bootstrap(Path::new(file))
        .map_err(Error::from)
        .with_context(|| format!("chunk dictionary {file}"))
}
