//! `nydus-image unpack`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use nydus_convert::layer_verbs::{UnpackFiles, unpack_layer};
use nydus_convert::{Resources, Run};

use super::args::Unpack;
use super::refusals::Refusal;
use crate::signals;
use crate::streams::Target;

/// Makes a tar of a layer.
pub fn run(args: &Unpack) -> Result<ExitCode> {
    let refused = [
        (args.backend_type.is_some(), "--backend-type"),
        (args.backend_config.is_some(), "--backend-config"),
        (args.config.is_some(), "--config"),
    ];
    if let Some((_, flag)) = refused.into_iter().find(|(given, _)| *given) {
        return Err(Refusal::Flag { flag, reason: "--blob and --blob-dir name the blobs" }.into());
    }
    let Some(bootstrap) = args.bootstrap.clone().or_else(|| args.positional.clone()) else {
        return Err(Refusal::Missing { flag: "--bootstrap", reason: "it names the bootstrap" }.into());
    };
    let files =
        UnpackFiles { bootstrap: Some(bootstrap), blob: args.blob.clone(), blob_dir: args.blob_dir.clone() };
    let stop = signals::stop_on_signals().context("cannot listen to signals")?;
    let target = Target::new(&args.output)?;
    unpack_layer(&files, target.open_late()?, &Run::new(Resources::default(), &Notes, &stop))?;
    target.publish()?;
    Ok(ExitCode::SUCCESS)
}

/// What no tar can hold is worth a warning.
struct Notes;

impl nydus_convert::Observer for Notes {
    fn note(&self, text: &str) {
        tracing::warn!("{text}");
    }
}
