//! The commands, and what the program says of itself.

use std::fs;
use std::io::{self, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use nydus_convert::{Error, ToolReport};

use crate::check::Check;
use crate::inspect::Inspect;
use crate::layer::{self, Layer};
use crate::logging::Log;
use crate::look::Look;
use crate::mount::MountCmd;
use crate::print::print_line;
use crate::store_verbs::{self, Store};
use crate::to_nydus::ToNydus;
use crate::to_oci::ToOci;
use crate::{check, inspect, look, to_nydus, to_oci};

const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 failed   2 usage   3 not faithful, or verification failed   4 source not found or unsupported
  5 access refused   6 network or registry failed   7 a resource limit or a full disk   130, 143 interrupted

References:
  [docker://][HOST/]REPOSITORY[:TAG][@DIGEST]   an image in a registry; without a host, on Docker's
  oci:DIR[:REF][@DIGEST]                        an OCI image layout in a directory
  oci-archive:FILE[:REF][@DIGEST]               an OCI image layout in a tar
  docker-archive:FILE[:NAME[:TAG]|:@N]          what docker save and podman save write (source)
  dir:DIR[@DIGEST]                              what skopeo copy writes to dir: (source)
  tar:FILE, tar:-, rootfs:DIR                   one layer: a tar, a tar from a pipe, a directory tree (source)";

/// Converts OCI and Docker images to Nydus images, and back.
#[derive(Debug, Parser)]
#[command(name = "nydus-convert", version, about, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub log: Log,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Convert an OCI or Docker image (or index) to a Nydus image
    ToNydus(ToNydus),
    /// Convert a Nydus image (or index) back; by default to exactly the image it was made from
    ToOci(ToOci),
    /// Verify one image: digests, structure, every chunk
    Check(Check),
    /// Show what an image is made of: manifests, layers, bootstrap, blobs, chunks, files
    Inspect(Inspect),
    /// One layer at a time, for build systems
    #[command(subcommand)]
    Layer(Layer),
    /// The chunk store, where conversions keep finished work: what it has, whether it is sound, removing from it
    #[command(subcommand)]
    Store(Store),
    /// List files of an image without mounting it
    Ls(Look),
    /// Print a file of an image without mounting it
    Cat(Look),
    /// Print the command that mounts an image with the kernel alone, without a daemon
    MountCmd(MountCmd),
    /// Print a completion script
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory, or the main page to stdout
    Man {
        /// Where the pages go
        dir: Option<PathBuf>,
    },
    /// Print the versions of this program and of what its output depends on
    Version {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Runs one command.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::ToNydus(args) => to_nydus::run(&args),
        Command::ToOci(args) => to_oci::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Layer(args) => layer::run(&args),
        Command::Store(args) => store_verbs::run(&args),
        Command::Ls(args) => look::ls(&args),
        Command::Cat(args) => look::cat(&args),
        Command::MountCmd(args) => args.run(),
        Command::Completions { shell } => run_completions(shell),
        Command::Man { dir } => run_man(dir.as_deref()),
        Command::Version { json } => run_version(json),
    }
}

fn run_completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "nydus-convert", &mut script);
    let script = String::from_utf8(script).context("the completion script is not text")?;
    // The generator for bash writes the hyphen of our name in two ways, and then finds no subcommand.
    let script = script.replace("nydus__subcmd__convert", "nydus__convert");
    stdout().write_all(script.as_bytes()).map_err(Error::Output)?;
    Ok(ExitCode::SUCCESS)
}

fn run_man(dir: Option<&Path>) -> Result<ExitCode> {
    match dir {
        Some(dir) => {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
            clap_mangen::generate_to(Cli::command(), dir)
                .with_context(|| format!("cannot write to {}", dir.display()))?;
        }
        None => match clap_mangen::Man::new(Cli::command()).render(&mut stdout()) {
            // The reader has seen enough, as with `| head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            rendered => rendered.map_err(Error::Output)?,
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn run_version(json: bool) -> Result<ExitCode> {
    let tool = ToolReport::current();
    let text = if json {
        serde_json::to_string_pretty(&tool)?
    } else {
        format!("nydus-convert {} (libzstd {})", tool.version, tool.libzstd)
    };
    print_line(&text)?;
    Ok(ExitCode::SUCCESS)
}
