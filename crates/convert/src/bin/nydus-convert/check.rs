//! `check`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use nydus_convert::{CheckReport, Run, Stop, check};

use crate::args::{Output, Resources};
use crate::open::open_source;
use crate::print::print_result;
use crate::registries::Registry;
use crate::values::{count, show_size};
use crate::{progress, usage};

#[derive(Debug, Args)]
pub struct Check {
    /// Image to verify
    pub image: String,
    /// Images of an index to verify: `all`, or platforms like linux/amd64
    #[arg(long, default_value = "all", env = "NYDUS_CONVERT_PLATFORM")]
    pub platform: String,
    #[command(flatten)]
    pub registry: Registry,
    #[command(flatten)]
    pub resources: Resources,
    #[command(flatten)]
    pub output: Output,
}

/// Verifies.
pub fn run(args: &Check) -> Result<ExitCode> {
    let name = usage::reference(&args.image)?;
    let source = open_source(&name, &args.registry.source())?;
    let observer = progress::display(&args.output);
    let platforms = usage::platforms(&args.platform)?;
    let resources = args.resources.lower(args.registry.common.max_zstd_window());
    let stop = Stop::new();
    let run = Run::new(resources, observer.as_ref(), &stop);
    let report = check(source.as_ref(), &platforms, &run)?;
    for problem in &report.problems {
        eprintln!("problem: {problem}");
    }
    if !args.output.quiet {
        summarise(&report);
    }
    print_result(&args.output, &report, &report.reference)?;
    // Verification mismatch.
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn summarise(report: &CheckReport) {
    for image in &report.images {
        let platform = image.platform.as_deref().unwrap_or("image");
        eprintln!(
            "{platform}: {} image, {}, {}",
            image.kind,
            count(image.layers, "layer"),
            match image.kind {
                "nydus" => format!(
                    "{}, {} of {} compared",
                    count(image.inodes, "file"),
                    count(image.chunks, "chunk"),
                    show_size(image.bytes)
                ),
                _ => "digests compared".to_owned(),
            }
        );
    }
    match report.problems.len() as u64 {
        0 => eprintln!("no problems found"),
        problems => eprintln!("{} found", count(problems, "problem")),
    }
}
