//! `nydus-image create --type tar-tarfs`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use nydus_convert::layer_verbs::{NamedStream, TarBootstrapOptions, bootstrap_of_tar};
use nydus_convert::rafs::{BlobId, FsVersion};
use nydus_convert::{Error, Resources, Run};

use super::args::Create;
use super::refusals::Refusal;
use super::result::{Outcome, warn};
use crate::{signals, streams};

/// Makes the bootstrap over a plain tar, which is left where it is.
pub fn run(args: &Create) -> Result<ExitCode> {
    if let Some((flag, reason)) = refused(args) {
        return Err(Refusal::Flag { flag, reason }.into());
    }
    let Some(bootstrap) = &args.refused.bootstrap else {
        let reason = "it names the file that the bootstrap goes to";
        return Err(Refusal::Missing { flag: "--bootstrap", reason }.into());
    };
    let blob_id = args.refused.blob_id.as_ref().map(|id| id.parse::<BlobId>());
    // A tar on stdin leaves no room for them.
    let policy = if args.source.as_os_str() == "-" { "none" } else { args.prefetch_policy.as_str() };
    let options = TarBootstrapOptions {
        chunk_size: args.chunk_size,
        fidelity: args.fidelity.lower(),
        blob_id: blob_id.transpose().context("--blob-id")?,
        prefetch: super::read_patterns(policy)?,
    };
    let stop = signals::stop_on_signals().context("cannot listen to signals")?;
    let name = args.source.display().to_string();
    let tar = NamedStream { stream: streams::open(&args.source)?, name: &name };
    let made = bootstrap_of_tar(tar, &options, &Run::new(Resources::default(), &(), &stop));
    if let Err(Error::NotFaithful { losses }) = &made {
        warn(losses);
    }
    let made = made?;
    warn(&made.losses);
    streams::write(bootstrap, &made.bootstrap)?;
    Outcome::of_image(bootstrap, &made.image, FsVersion::V6).write(args.output_json.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// What of a `create` means nothing where the tar is the blob. `--blob-dir` is where the caller has the tar, and says
/// nothing of the bootstrap.
fn refused(args: &Create) -> Option<(&'static str, &'static str)> {
    let refused = &args.refused;
    let flags = [
        (args.blob.is_some(), "--blob", "the tar is the blob, and stays where it is"),
        (args.blob_inline_meta, "--blob-inline-meta", "a tar has no place for the bootstrap"),
        (args.fs_version.lower() == FsVersion::V5, "--fs-version 5", "only version 6 has tarfs"),
        (args.batch_size != 0, "--batch-size", "chunks are ranges of the tar"),
        (args.aligned_chunk, "--aligned-chunk", "chunks are ranges of the tar"),
        (args.chunk_dict.is_some(), "--chunk-dict", "ranges of tars have no digests to find them by"),
        (refused.blob_data_size.is_some(), "--blob-data-size", "it belongs to estargztoc-ref"),
        (refused.parent_bootstrap.is_some(), "--parent-bootstrap", "merge puts layers on each other"),
        (refused.repeatable, "--repeatable", "owners are kept, and output is reproducible without it"),
        (refused.config.is_some(), "--config", "no storage backend is used"),
        (refused.attributes.is_some(), "--attributes", "external blobs are not made"),
    ];
    flags.into_iter().find(|(given, ..)| *given).map(|(_, flag, reason)| (flag, reason))
}
