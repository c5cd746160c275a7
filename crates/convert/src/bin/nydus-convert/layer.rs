//! `layer pack | merge | unpack`.

use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use nydus_convert::layer_verbs::{
    LayerBootstrap, NamedStream, PackLayerOptions, UnpackFiles, merge_layers, pack_layer, unpack_layer,
};
use nydus_convert::oci::StreamLimits;
use nydus_convert::{ChunkDictionary, Error, Run};
use serde::Serialize;

use crate::args::{Fidelity, Format, Output, Prefetch, Replay, Resources};
use crate::open::open_dictionary;
use crate::print::{print_line, show_losses, show_report};
use crate::registries::Registry;
use crate::streams::{self, Target};
use crate::{progress, signals};

#[derive(Debug, Subcommand)]
pub enum Layer {
    /// Make a blob of a layer: a tar, plain or compressed with gzip or zstd
    Pack(Box<Pack>),
    /// Make the bootstrap of an image of the bootstraps of its layers
    Merge(Merge),
    /// Make a tar of a blob; of one that remembers its layer, the original tar
    Unpack(Unpack),
}

#[derive(Debug, Args)]
pub struct Pack {
    /// The layer; `-` is stdin
    pub source: PathBuf,
    #[command(flatten)]
    pub target: To,
    #[command(flatten)]
    pub format: Format,
    #[command(flatten)]
    pub prefetch: Prefetch,
    /// Leave the layer as it is, gzip or a plain tar, and only tell where in it files lie
    ///
    /// The blob refers to the layer, which must be where the image goes to: it is not copied.
    #[arg(long, conflicts_with_all = ["fs_version", "compressor", "batch_size", "aligned_chunk", "digester", "kernel_mountable", "replay", "chunk_dict"], env = "NYDUS_CONVERT_OCI_REF")]
    pub oci_ref: bool,
    /// Use chunks of these images where the layer brings the same: a reference, or bootstrap:FILE
    ///
    /// The blob refers to the dictionary's blobs, which must be where the image goes to: they are not copied.
    #[arg(long, value_name = "REF|bootstrap:FILE", env = "NYDUS_CONVERT_CHUNK_DICT")]
    pub chunk_dict: Option<String>,
    /// What is kept for the exact way back (`proven` is for whole images)
    #[arg(long, value_enum, default_value_t = Replay::Auto, env = "NYDUS_CONVERT_REPLAY")]
    pub replay: Replay,
    /// What to do with files that the target format cannot hold: fail, or change them and say so
    #[arg(long, value_enum, default_value_t = Fidelity::Strict, env = "NYDUS_CONVERT_FIDELITY")]
    pub fidelity: Fidelity,
    #[command(flatten)]
    pub resources: Resources,
    #[command(flatten)]
    pub registry: Registry,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Merge {
    /// Blobs, or bootstraps in files named after their blobs' digests; the lowest layer first
    #[arg(required = true, value_name = "LAYER")]
    pub layers: Vec<PathBuf>,
    /// Bootstrap of an image that the layers are put on
    #[arg(long, value_name = "FILE", env = "NYDUS_CONVERT_PARENT")]
    pub parent: Option<PathBuf>,
    #[command(flatten)]
    pub prefetch: Prefetch,
    #[command(flatten)]
    pub target: To,
    #[command(flatten)]
    pub resources: Resources,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Unpack {
    /// The blob
    pub blob: PathBuf,
    /// The bootstrap, where it is not in the blob
    #[arg(long, value_name = "FILE", env = "NYDUS_CONVERT_BOOTSTRAP")]
    pub bootstrap: Option<PathBuf>,
    /// Directory with further blobs that the layer uses, named by their digests
    #[arg(long, value_name = "DIR", env = "NYDUS_CONVERT_BLOB_DIR")]
    pub blob_dir: Option<PathBuf>,
    #[command(flatten)]
    pub target: To,
    #[command(flatten)]
    pub resources: Resources,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct To {
    /// Where the result goes: a file, a pipe, or `-` for stdout
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FILE",
        default_value = "-",
        env = "NYDUS_CONVERT_OUTPUT"
    )]
    pub path: PathBuf,
    /// Write the report as one JSON object to this file
    #[arg(short = 'J', long, value_name = "FILE", env = "NYDUS_CONVERT_OUTPUT_JSON")]
    pub output_json: Option<PathBuf>,
}

/// Runs one of the verbs.
pub fn run(layer: &Layer) -> Result<ExitCode> {
    match layer {
        Layer::Pack(args) => pack(args),
        Layer::Merge(args) => merge(args),
        Layer::Unpack(args) => unpack(args),
    }
}

impl To {
    fn open(&self, output: &Output) -> Result<Target> {
        let target = Target::new(&self.path)?;
        if target.is_stdout() && stdout().is_terminal() {
            bail!(
                "the result is binary, and stdout is a terminal: name a file by --output FILE, or use a pipe"
            );
        }
        if output.json && target.is_stdout() {
            bail!(
                "stdout cannot take the result and --json; --output-json FILE or --output FILE keeps them apart"
            );
        }
        Ok(target)
    }

    /// The report, and the digest on a stdout that is free.
    fn tell(&self, output: &Output, digest: &str, report: &impl Serialize, free: bool) -> Result<()> {
        let json = serde_json::to_string_pretty(report)?;
        if let Some(path) = &self.output_json {
            streams::write(path, format!("{json}\n").as_bytes())?;
        }
        if free { print_line(if output.json { &json } else { digest }) } else { Ok(()) }
    }
}

impl Pack {
    fn dictionary(&self) -> Result<Option<ChunkDictionary>> {
        let open = |text| open_dictionary(text, &self.registry.source());
        self.chunk_dict.as_deref().map(open).transpose()
    }
}

fn pack(args: &Pack) -> Result<ExitCode> {
    let options = PackLayerOptions {
        fs: args.format.lower()?,
        oci_ref: args.oci_ref,
        fidelity: args.fidelity.lower(),
        replay: args.replay.lower(),
        prefetch: args.prefetch.lower()?,
        tmpdir: args.registry.common.tmpdir.clone(),
    };
    let stop = signals::stop_on_signals().context("cannot listen to signals")?;
    let target = args.target.open(&args.output)?;
    let observer = progress::display(&args.output);
    let resources = args.resources.lower(args.registry.common.max_zstd_window());
    let run = Run::new(resources, observer.as_ref(), &stop).with_dictionary(args.dictionary()?);
    let layer =
        NamedStream { stream: streams::open(&args.source)?, name: &args.source.display().to_string() };
    let packed = pack_layer(layer, target.open()?, &options, &run);
    match &packed {
        Err(Error::NotFaithful { losses }) => show_losses(losses, "RAFS cannot hold"),
        Ok(report) => show_report(&report.losses, &report.notes, args.output.quiet),
        Err(_) => {}
    }
    let (report, free) = (packed?, !target.is_stdout());
    target.publish()?;
    args.target.tell(&args.output, &report.blob_digest, &report, free)?;
    Ok(ExitCode::SUCCESS)
}

fn merge(args: &Merge) -> Result<ExitCode> {
    let target = args.target.open(&args.output)?;
    let jobs = args.resources.lower(StreamLimits::DEFAULT_ZSTD_WINDOW).jobs;
    let files = args.parent.iter().chain(&args.layers);
    let layers = files.map(|path| LayerBootstrap::read(path, None, jobs)).collect::<Result<Vec<_>, _>>();
    let merged = merge_layers(layers.map_err(Error::from)?, &args.prefetch.lower()?)?;
    let mut out = target.open()?;
    out.write_all(&merged.bootstrap).and_then(|()| out.flush()).map_err(Error::Output)?;
    let free = !target.is_stdout();
    target.publish()?;
    let report = merged.report(&args.target.path.display().to_string());
    args.target.tell(&args.output, &report.bootstrap_digest, &report, free)?;
    Ok(ExitCode::SUCCESS)
}

fn unpack(args: &Unpack) -> Result<ExitCode> {
    let files = UnpackFiles {
        bootstrap: args.bootstrap.clone(),
        blob: Some(args.blob.clone()),
        blob_dir: args.blob_dir.clone(),
    };
    let stop = signals::stop_on_signals().context("cannot listen to signals")?;
    let target = args.target.open(&args.output)?;
    let observer = progress::display(&args.output);
    let resources = args.resources.lower(StreamLimits::DEFAULT_ZSTD_WINDOW);
    let run = Run::new(resources, observer.as_ref(), &stop);
    let report = unpack_layer(&files, target.open_late()?, &run)?;
    let free = !target.is_stdout();
    target.publish()?;
    args.target.tell(&args.output, &report.diff_id, &report, free)?;
    Ok(ExitCode::SUCCESS)
}
