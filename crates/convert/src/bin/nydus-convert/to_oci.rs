//! `to-oci`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use nydus_convert::{Lacking, Layers, Restoration, Run, ToOciOptions, ToOciReport, to_oci};

use crate::args::Transfer;
use crate::open::{open_sink, open_source};
use crate::overwriting::{self, Makes};
use crate::print::print_result;
use crate::usage::{self, UsageError};
use crate::values::{self, count};
use crate::{progress, signals};

#[derive(Debug, Args)]
pub struct ToOci {
    /// Nydus image to convert back
    pub source: String,
    /// Where the result goes; a reference of that name is replaced
    pub target: String,
    /// How layers are stored: original, gzip[:LEVEL], zstd[:LEVEL] or none [default: original]
    ///
    /// `original` gives every layer bit for bit as it was before the image became a Nydus image, and fails with exit
    /// code 3 if one cannot be had; images that do not remember their layers get gzip. The others give the same tars
    /// with fresh compression, hence another digest of the image.
    ///
    /// Where an image remembers nothing and the layers that its blobs describe are not all that it has, one more layer
    /// holds the difference, with a note; if `original` is given explicitly, that is an error with exit code 3.
    #[arg(long, value_parser = values::layers, env = "NYDUS_CONVERT_LAYERS")]
    pub layers: Option<Layers>,
    #[command(flatten)]
    pub transfer: Transfer,
}

impl ToOci {
    /// The conversion asked for.
    fn options(&self) -> Result<ToOciOptions, UsageError> {
        // To ask for the originals is to want nothing else.
        let lacking = match self.layers {
            Some(Layers::Original) => Lacking::Refuse,
            _ => Lacking::Add,
        };
        let layers = self.layers.unwrap_or_default();
        Ok(ToOciOptions { layers, lacking, platforms: usage::platforms(&self.transfer.platform)? })
    }
}

/// Converts back.
pub fn run(args: &ToOci) -> Result<ExitCode> {
    let options = args.options()?;
    let stop = signals::stop_on_signals().context("cannot listen to signals")?;
    let (source_name, target_name) = (usage::reference(&args.source)?, usage::reference(&args.target)?);
    if !args.transfer.force {
        overwriting::check(Makes::Oci, &source_name, &target_name, &args.transfer.registries.target())?;
    }
    let source = open_source(&source_name, &args.transfer.registries.source())?;
    let sink = open_sink(&target_name, &source_name, &args.transfer.registries.target())?;
    let observer = progress::display(&args.transfer.output);
    let run = Run::new(args.transfer.bounds(), observer.as_ref(), &stop);
    let report = to_oci(source.as_ref(), sink, &options, &run)?;
    args.transfer.write_digest(&report.digest)?;
    if !args.transfer.output.quiet {
        summarise_restored(&report);
    }
    print_result(&args.transfer.output, &report, &report.reference)?;
    Ok(ExitCode::SUCCESS)
}

fn summarise_restored(report: &ToOciReport) {
    for image in &report.images {
        let platform = image.platform.as_deref().unwrap_or("image");
        match image.action {
            Restoration::Carried => eprintln!("{platform}: unchanged"),
            Restoration::Exact => {
                let layers = count(image.layers.len() as u64, "layer");
                eprintln!("{platform}: {layers}, all as they were, bit for bit");
            }
            Restoration::Rebuilt => {
                let tars = image.layers.iter().filter(|layer| layer.exact_tar).count();
                eprintln!(
                    "{platform}: {} made anew, {tars} of them with the original tar; the digest is new",
                    count(image.layers.len() as u64, "layer")
                );
            }
        }
    }
    if report.exact {
        eprintln!("the digest is the original's: {}", report.digest);
    }
}
