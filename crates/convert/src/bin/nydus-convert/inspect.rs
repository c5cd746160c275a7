//! `inspect`.

use std::io::{self, Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use nydus_convert::Error;
use nydus_convert::inspect::{InspectOptions, inspect};

use crate::open::open_source;
use crate::registries::Registry;
use crate::usage;

#[derive(Debug, Args)]
pub struct Inspect {
    /// Image to look at
    pub image: String,
    /// Images of an index to show: `all`, or platforms like linux/amd64
    #[arg(long, default_value = "all", env = "NYDUS_CONVERT_PLATFORM")]
    pub platform: String,
    /// Open the blobs and show their sections and batches
    #[arg(long, env = "NYDUS_CONVERT_BLOBS")]
    pub blobs: bool,
    /// Show every chunk; opens the blobs
    #[arg(long, env = "NYDUS_CONVERT_CHUNKS")]
    pub chunks: bool,
    /// Show every file with its chunks
    #[arg(long, env = "NYDUS_CONVERT_FILES")]
    pub files: bool,
    /// Print one JSON object instead of text
    #[arg(long, env = "NYDUS_CONVERT_JSON")]
    pub json: bool,
    #[command(flatten)]
    pub registry: Registry,
}

/// Shows.
pub fn run(args: &Inspect) -> Result<ExitCode> {
    let name = usage::reference(&args.image)?;
    let source = open_source(&name, &args.registry.source())?;
    let options = InspectOptions {
        platforms: usage::platforms(&args.platform)?,
        blobs: args.blobs,
        chunks: args.chunks,
        files: args.files,
    };
    let report = inspect(source.as_ref(), &options)?;
    let mut out = io::BufWriter::new(stdout());
    let written = if args.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        write!(out, "{report}")
    };
    match written.and_then(|()| out.flush()) {
        // Whoever reads has seen enough, as with `| head`.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Output(error).into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
