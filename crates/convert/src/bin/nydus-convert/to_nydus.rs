//! `to-nydus`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use nydus_convert::{
    Error, ImageReport, LayerReport, LossReport, PlatformFilter, RefusalReport, Run, SCHEMA_VERSION,
    StreamedLayer, ToNydusOptions, ToNydusReport, to_nydus, to_nydus_stream,
};

use crate::args::{Fidelity, Format, Prefetch, Replay, Transfer};
use crate::open::{open_dictionary, open_sink, open_source_for, open_stream};
use crate::overwriting::{self, Makes};
use crate::print::{print_line, print_result, show_losses, show_report};
use crate::store::Reuse;
use crate::usage::{self, UsageError};
use crate::values::{self, count, show_size};
use crate::{progress, signals};

#[derive(Debug, Args)]
pub struct ToNydus {
    /// Image to convert
    pub source: String,
    /// Where the result goes; a reference of that name is replaced
    pub target: String,
    #[command(flatten)]
    pub format: Format,
    /// Leave the layers as they are, gzip or plain tars, and only tell where in them files lie
    ///
    /// The layers become part of the image, beside small blobs that refer to them. Chunks are named by SHA-256; how they
    /// are stored the layers decide.
    #[arg(long, conflicts_with_all = ["fs_version", "compressor", "batch_size", "aligned_chunk", "digester", "kernel_mountable", "replay"], env = "NYDUS_CONVERT_OCI_REF")]
    pub oci_ref: bool,
    /// Make every layer a plain tar that is a blob as it is (tarfs), for the kernel's EROFS: see mount-cmd
    ///
    /// The tars become the blobs, and files are ranges of them: nothing is stored twice, compressed, or deduplicated.
    #[arg(long, conflicts_with_all = ["fs_version", "compressor", "batch_size", "aligned_chunk", "digester", "kernel_mountable", "oci_ref", "chunk_dict"], env = "NYDUS_CONVERT_TARFS")]
    pub tarfs: bool,
    /// What is kept for the exact way back
    #[arg(long, value_enum, default_value_t = Replay::Auto, env = "NYDUS_CONVERT_REPLAY")]
    pub replay: Replay,
    /// What to do with files that the target format cannot hold: refuse the image, or change them and say so
    #[arg(long, value_enum, default_value_t = Fidelity::Strict, env = "NYDUS_CONVERT_FIDELITY")]
    pub fidelity: Fidelity,
    /// Use chunks of these images where a layer brings the same: a reference, or bootstrap:FILE
    ///
    /// The result refers to the dictionary's blobs and holds those that it uses. Beside a bootstrap file the blobs are
    /// files named by their ids.
    #[arg(long, value_name = "REF|bootstrap:FILE", help_heading = "Store", env = "NYDUS_CONVERT_CHUNK_DICT")]
    pub chunk_dict: Option<String>,
    #[command(flatten)]
    pub reuse: Reuse,
    #[command(flatten)]
    pub prefetch: Prefetch,
    /// What the result lists: Nydus images, or before them the images themselves, for clients that know no Nydus
    #[arg(long, value_enum, default_value_t = IndexForm::NydusOnly, help_heading = "Result", env = "NYDUS_CONVERT_INDEX")]
    pub index: IndexForm,
    /// Name the source image as the subject of its Nydus image, so that registries list it as a referrer
    #[arg(long, visible_alias = "with-referrer", help_heading = "Result", env = "NYDUS_CONVERT_REFERRER")]
    pub referrer: bool,
    /// Annotation for every manifest made; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::annotation, help_heading = "Result", env = "NYDUS_CONVERT_ANNOTATION")]
    pub annotation: Vec<(String, String)>,
    #[command(flatten)]
    pub transfer: Transfer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IndexForm {
    /// Nydus images; one image stays one image
    NydusOnly,
    /// Always an index: the images, each with an empty layer more, then their Nydus variants
    WithOci,
}

impl ToNydus {
    /// The conversion asked for.
    fn options(&self) -> Result<ToNydusOptions, UsageError> {
        Ok(ToNydusOptions {
            fs: self.format.lower()?,
            oci_ref: self.oci_ref,
            tarfs: self.tarfs,
            fidelity: self.fidelity.lower(),
            platforms: usage::platforms(&self.transfer.platform)?,
            reuse: self.reuse.lower(),
            prefetch: self.prefetch.lower()?,
            replay: self.replay.lower(),
            index: match self.index {
                IndexForm::NydusOnly => nydus_convert::IndexForm::NydusOnly,
                IndexForm::WithOci => nydus_convert::IndexForm::WithOci,
            },
            referrer: self.referrer,
            annotations: self.annotation.clone(),
            tmpdir: self.transfer.registries.common.tmpdir.clone(),
        })
    }
}

/// Converts.
pub fn run(args: &ToNydus) -> Result<ExitCode> {
    let options = args.options()?;
    let dictionary = args.chunk_dict.as_deref();
    let dictionary =
        dictionary.map(|text| open_dictionary(text, &args.transfer.registries.source())).transpose()?;
    // Before anything is made that an end without warning would leave behind.
    let stop = signals::stop_on_signals().context("cannot listen to signals")?;
    let (source_name, target_name) = (usage::reference(&args.source)?, usage::reference(&args.target)?);
    if !args.transfer.force {
        overwriting::check(Makes::Nydus, &source_name, &target_name, &args.transfer.registries.target())?;
    }
    // What a tar or a directory is for, if anybody says it.
    let platform = match &options.platforms {
        PlatformFilter::Only(platforms) if platforms.len() == 1 => platforms[0].clone(),
        _ => usage::unnamed_platform(),
    };
    let observer = progress::display(&args.transfer.output);
    let store = args.reuse.open(observer.as_ref())?;
    let run = Run::new(args.transfer.bounds(), observer.as_ref(), &stop)
        .with_store(store.clone())
        .with_dictionary(dictionary);
    let stream = if options.reads_once() { open_stream(&source_name)? } else { None };
    let result = match stream {
        Some(stream) => {
            let sink = open_sink(&target_name, &source_name, &args.transfer.registries.target())?;
            let layer = StreamedLayer { stream, name: &source_name, platform: &platform };
            to_nydus_stream(layer, sink, &options, &run)
        }
        None => {
            let source = open_source_for(&source_name, &args.transfer.registries.source(), &platform)?;
            let sink = open_sink(&target_name, &source_name, &args.transfer.registries.target())?;
            to_nydus(source.as_ref(), sink, &options, &run)
        }
    };
    match &result {
        Err(error @ Error::NotFaithful { losses }) => {
            show_losses(losses, "RAFS cannot hold");
            refuse(args, &error.to_string(), losses)?;
        }
        Ok(report) => show_report(&report.losses, &report.notes, args.transfer.output.quiet),
        Err(_) => {}
    }
    let report = result?;
    args.reuse.keep_limit(store.as_ref(), observer.as_ref());
    args.transfer.write_digest(&report.digest)?;
    if !args.transfer.output.quiet {
        summarise(&report);
    }
    print_result(&args.transfer.output, &report, &report.reference)?;
    Ok(ExitCode::SUCCESS)
}

/// Under `--json` the list goes to stdout for a refused image too.
fn refuse(args: &ToNydus, error: &str, losses: &[LossReport]) -> Result<()> {
    if !args.transfer.output.json {
        return Ok(());
    }
    let (source, target) = (args.source.as_str(), args.target.as_str());
    let report = RefusalReport { schema_version: SCHEMA_VERSION, source, target, error, losses };
    print_line(&serde_json::to_string_pretty(&report)?)
}

/// What people want to know at the end, on stderr.
fn summarise(report: &ToNydusReport) {
    for image in &report.images {
        let platform = image.platform.as_deref().unwrap_or("image");
        let sum = |of: fn(&LayerReport) -> u64| image.layers.iter().map(of).sum::<u64>();
        let (chunks, stored) = (sum(|layer| layer.chunks), sum(|layer| layer.stored_chunks));
        if image.layers.is_empty() {
            eprintln!("{platform}: unchanged");
            continue;
        }
        eprintln!(
            "{platform}: {}, {} → {} ({} unpacked), {}, {}, {} of them duplicates, bootstrap {}",
            count(image.layers.len() as u64, "layer"),
            show_size(sum(|layer| layer.source_bytes)),
            show_size(sum(|layer| layer.blob_bytes) + image.bootstrap_bytes),
            show_size(sum(|layer| layer.tar_bytes)),
            count(image.inodes, "file"),
            count(chunks, "chunk"),
            chunks - stored,
            show_size(image.bootstrap_bytes),
        );
        summarise_reuse(platform, image);
    }
}

/// What did not have to be made again, if there was anything.
fn summarise_reuse(platform: &str, image: &ImageReport) {
    let layers = image.layers.iter().filter(|layer| layer.from_store).count();
    let copied: u64 = image.layers.iter().map(|layer| layer.copied_chunks).sum();
    if layers > 0 || copied > 0 {
        let chunks = count(copied, "chunk");
        eprintln!(
            "{platform}: reused {layers} of {} and {chunks} of others from the chunk store",
            count(image.layers.len() as u64, "layer")
        );
    }
    for shared in image.layers.iter().flat_map(|layer| &layer.shared) {
        let of = shared.image.as_deref().unwrap_or("a layer below");
        let (chunks, saved) = (count(shared.chunks, "chunk"), show_size(shared.saved_bytes));
        eprintln!("{platform}: {saved} saved by {chunks} of {} ({of})", shared.blob_digest);
    }
}
