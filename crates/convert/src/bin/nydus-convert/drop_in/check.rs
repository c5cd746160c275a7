//! `nydus-image check`.

use std::process::ExitCode;

use anyhow::Result;
use nydus_convert::layer_verbs::check_bootstrap;
use nydus_convert::{Error, Resources};

use super::args::Check;
use super::refusals::Refusal;
use super::result::{Outcome, id};
use crate::print::print_line;

/// Checks a bootstrap, and the blobs in a directory.
pub fn run(args: &Check) -> Result<ExitCode> {
    if args.config.is_some() {
        return Err(Refusal::Flag { flag: "--config", reason: "--blob-dir names the blobs" }.into());
    }
    let Some(bootstrap) = args.bootstrap.as_ref().or(args.positional.as_ref()) else {
        return Err(Refusal::Missing { flag: "--bootstrap", reason: "it names the bootstrap" }.into());
    };
    let jobs = Resources::default().jobs;
    let (version, image) = check_bootstrap(bootstrap, args.blob_dir.as_deref(), jobs).map_err(Error::from)?;
    print_line("RAFS filesystem metadata is valid, referenced data blobs: ")?;
    for (number, blob) in image.blobs.iter().enumerate() {
        print_line(&format!(
            "\t {number}: {}, compressed file size {:#x}, uncompressed file size {:#x}, chunks: {:#x}",
            id(blob.name),
            blob.compressed_size,
            blob.uncompressed_size,
            blob.chunk_count
        ))?;
    }
    Outcome::of_image(bootstrap, &image, version).write(args.output_json.as_deref())?;
    Ok(ExitCode::SUCCESS)
}
