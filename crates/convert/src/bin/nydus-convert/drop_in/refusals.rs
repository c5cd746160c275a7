//! What the reference builder does and this one does not, by name.

use nydus_convert::rafs::FsVersion;
use thiserror::Error;

use super::args::{Create, RefusedByCreate};
use crate::usage::UsageError;

/// Something that is understood and not done.
#[derive(Debug, Error)]
pub enum Refusal {
    /// A command.
    #[error(
        "nydus-image {command}: not among the commands that nydus-convert does by this name: create, merge, unpack, \
         check ('nydus-convert help' tells what it does by its own)"
    )]
    Command { command: String },
    /// A log file.
    #[error("--log-file: logs go to stderr; send it where they should go")]
    LogFile,
    /// A kind of conversion.
    #[error(
        "--type {kind}: not supported; tar-rafs, targz-rafs, estargz-rafs, targz-ref, estargz-ref and tar-tarfs are"
    )]
    Type { kind: String },
    /// A directory as the source.
    #[error(
        "--type {kind}: directories are not supported; make a tar of it and use --type tar-rafs (unset NYDUS_DISABLE_TAR2RAFS)"
    )]
    Directory { kind: String },
    /// A policy.
    #[error("--prefetch-policy {policy}: not supported; fs and none are")]
    PrefetchPolicy { policy: String },
    /// A dictionary that is not a bootstrap.
    #[error("--chunk-dict {text}: not supported; bootstrap=FILE is")]
    Dictionary { text: String },
    /// Something of `create`.
    #[error("{flag}: not supported: {reason}")]
    Flag { flag: &'static str, reason: &'static str },
    /// A result without a place.
    #[error("{flag} is missing: {reason}")]
    Missing { flag: &'static str, reason: &'static str },
}

/// Whether a `create` is for a tar that stays as it is.
pub fn is_tarfs(args: &Create) -> Result<bool, anyhow::Error> {
    let RefusedByCreate { encrypt, source_type, inline_bootstrap, .. } = &args.refused;
    if *encrypt {
        return Err(UsageError::Encrypt.into());
    }
    Ok(source_type.as_ref().unwrap_or(&args.kind) == "tar-tarfs" && !*inline_bootstrap)
}

/// What of a `create` cannot be done, the first thing; else whether the blob only refers to the layer.
pub fn of_create(args: &Create) -> Result<bool, anyhow::Error> {
    let RefusedByCreate { encrypt, source_type, inline_bootstrap, .. } = &args.refused;
    if *encrypt {
        return Err(UsageError::Encrypt.into());
    }
    let kind = source_type.clone().unwrap_or_else(|| args.kind.clone());
    let refers = match kind.as_str() {
        "tar-rafs" | "targz-rafs" | "estargz-rafs" if !*inline_bootstrap => false,
        "targz-ref" | "estargz-ref" if !*inline_bootstrap => true,
        "dir-rafs" | "directory" => return Err(Refusal::Directory { kind }.into()),
        _ => return Err(Refusal::Type { kind }.into()),
    };
    let flag = flag_of_create(&args.refused).or_else(|| flag_of_ref(args).filter(|_| refers));
    if let Some((flag, reason)) = flag {
        return Err(Refusal::Flag { flag, reason }.into());
    }
    if !args.blob_inline_meta {
        let reason = "a bootstrap apart from its blob is not written";
        return Err(Refusal::Missing { flag: "--blob-inline-meta", reason }.into());
    }
    Ok(refers)
}

/// What means nothing where the layer stays as it is.
fn flag_of_ref(args: &Create) -> Option<(&'static str, &'static str)> {
    let flags = [
        (args.fs_version.lower() == FsVersion::V5, "--fs-version 5", "only version 6 refers to layers"),
        (args.batch_size != 0, "--batch-size", "chunks are ranges of the layer"),
        (args.aligned_chunk, "--aligned-chunk", "chunks are ranges of the layer"),
        (args.chunk_dict.is_some(), "--chunk-dict", "all chunks are ranges of the layer"),
    ];
    flags.into_iter().find(|(given, ..)| *given).map(|(_, flag, reason)| (flag, reason))
}

fn flag_of_create(args: &RefusedByCreate) -> Option<(&'static str, &'static str)> {
    let flags = [
        (args.bootstrap.is_some(), "--bootstrap", "with --blob-inline-meta the bootstrap goes into the blob"),
        (args.blob_dir.is_some(), "--blob-dir", "--blob names the file or pipe that the blob goes to"),
        (args.blob_id.is_some(), "--blob-id", "a blob is named by its digest"),
        (args.blob_data_size.is_some(), "--blob-data-size", "it belongs to estargztoc-ref"),
        (args.parent_bootstrap.is_some(), "--parent-bootstrap", "create stands alone; merge takes a parent"),
        (args.repeatable, "--repeatable", "owners are kept, and output is reproducible without it"),
        (args.config.is_some(), "--config", "no storage backend is used"),
        (args.attributes.is_some(), "--attributes", "external blobs are not made"),
    ];
    flags.into_iter().find(|(given, ..)| *given).map(|(_, flag, reason)| (flag, reason))
}
