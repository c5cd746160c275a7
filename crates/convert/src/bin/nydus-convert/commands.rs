//! What each command does with the library: open, run, print.

use std::fs;
use std::io::{self, Write, stdout};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use nydus_convert::inspect::{InspectOptions, inspect};
use nydus_convert::oci::Platform;
use nydus_convert::rafs::EntryPath;
use nydus_convert::{
    CheckReport, Error, ImageError, PlatformFilter, RefusalReport, Restoration, Run, SCHEMA_VERSION, Stop,
    StreamedLayer, ToNydusReport, ToOciReport, ToolReport, check, open_nydus, to_nydus, to_nydus_stream,
    to_oci,
};
use serde::Serialize;

use crate::args::{Check, Cli, Command, Inspect, Look, Output, ToNydus, ToOci};
use crate::ends::{open_dictionary, open_sink, open_source, open_source_for, open_stream};
use crate::lower::{self, UsageError};
use crate::overwriting::{self, Makes};
use crate::values::show_size;
use crate::{layer, progress, signals, store_verbs};

/// Losses that are printed one by one; the JSON report has them all.
const SHOWN_LOSSES: usize = 20;

/// Runs one command.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::ToNydus(args) => run_to_nydus(&args),
        Command::ToOci(args) => run_to_oci(&args),
        Command::Check(args) => run_check(&args),
        Command::Inspect(args) => run_inspect(&args),
        Command::Layer(args) => layer::run(&args),
        Command::Store(args) => store_verbs::run(&args),
        Command::Ls(args) => run_ls(&args),
        Command::Cat(args) => run_cat(&args),
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

fn run_to_nydus(args: &ToNydus) -> Result<ExitCode> {
    let options = args.options()?;
    let dictionary = args.chunk_dict.as_deref();
    let dictionary = dictionary.map(|text| open_dictionary(text, &args.registries.source())).transpose()?;
    // Before anything is made that an end without warning would leave behind.
    let stop = signals::stop_on_signals().context("cannot listen to signals")?;
    let (source_name, target_name) = (lower::reference(&args.source)?, lower::reference(&args.target)?);
    if !args.force {
        overwriting::check(Makes::Nydus, &source_name, &target_name, &args.registries.target())?;
    }
    // What a tar or a directory is for, if anybody says it.
    let platform = match &options.platforms {
        PlatformFilter::Only(platforms) if platforms.len() == 1 => platforms[0].clone(),
        _ => lower::unnamed_platform(),
    };
    let observer = progress::display(&args.output);
    let run = Run::new(args.bounds(), observer.as_ref(), &stop)
        .with_store(args.reuse.open(observer.as_ref())?)
        .with_dictionary(dictionary);
    let stream = if options.reads_once() { open_stream(&source_name)? } else { None };
    let result = match stream {
        Some(stream) => {
            let sink = open_sink(&target_name, &source_name, &args.registries.target())?;
            let layer = StreamedLayer { stream, name: &source_name, platform: &platform };
            to_nydus_stream(layer, sink, &options, &run)
        }
        None => {
            let source = open_source_for(&source_name, &args.registries.source(), &platform)?;
            let sink = open_sink(&target_name, &source_name, &args.registries.target())?;
            to_nydus(source.as_ref(), sink, &options, &run)
        }
    };
    match &result {
        Err(error @ Error::NotFaithful { losses }) => {
            show_losses(losses, "RAFS cannot hold");
            refuse(args, &error.to_string(), losses)?;
        }
        Ok(report) => show_report(&report.losses, &report.notes, args.output.quiet),
        Err(_) => {}
    }
    let report = result?;
    if let Some(file) = &args.digest_file {
        fs::write(file, &report.digest).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if !args.output.quiet {
        summarise(&report);
    }
    print_result(&args.output, &report, &report.reference)?;
    Ok(ExitCode::SUCCESS)
}

/// Under `--json` the list goes to stdout for a refused image too.
fn refuse(args: &ToNydus, error: &str, losses: &[nydus_convert::LossReport]) -> Result<()> {
    if !args.output.json {
        return Ok(());
    }
    let (source, target) = (args.source.as_str(), args.target.as_str());
    let report = RefusalReport { schema_version: SCHEMA_VERSION, source, target, error, losses };
    print_line(&serde_json::to_string_pretty(&report)?)
}

/// What a conversion that succeeded lost, and what it passed over.
pub fn show_report(losses: &[nydus_convert::LossReport], notes: &[nydus_convert::LossReport], quiet: bool) {
    if !quiet {
        show_losses(losses, "RAFS could not hold");
        show_losses(notes, "note: passed over, as container engines do");
    }
}

/// The first losses of a list under a heading, and the number of the others.
pub fn show_losses(losses: &[nydus_convert::LossReport], heading: &str) {
    if losses.is_empty() {
        return;
    }
    eprintln!("{heading}:");
    for loss in losses.iter().take(SHOWN_LOSSES) {
        eprintln!("  {}: {} (layer {})", loss.path, loss.problem, loss.layer);
    }
    if losses.len() > SHOWN_LOSSES {
        eprintln!("  … and {} more; --json lists them all", losses.len() - SHOWN_LOSSES);
    }
}

/// What people want to know at the end, on stderr.
fn summarise(report: &ToNydusReport) {
    for image in &report.images {
        let platform = image.platform.as_deref().unwrap_or("image");
        let sum = |of: fn(&nydus_convert::LayerReport) -> u64| image.layers.iter().map(of).sum::<u64>();
        let (chunks, stored) = (sum(|layer| layer.chunks), sum(|layer| layer.stored_chunks));
        if image.layers.is_empty() {
            eprintln!("{platform}: unchanged");
            continue;
        }
        eprintln!(
            "{platform}: {} layers, {} → {} ({} unpacked), {} files, {chunks} chunks, {} of them duplicates, bootstrap {}",
            image.layers.len(),
            show_size(sum(|layer| layer.source_bytes)),
            show_size(sum(|layer| layer.blob_bytes) + image.bootstrap_bytes),
            show_size(sum(|layer| layer.tar_bytes)),
            image.inodes,
            chunks - stored,
            show_size(image.bootstrap_bytes),
        );
        summarise_reuse(platform, image);
    }
}

/// What did not have to be made again, if there was anything.
fn summarise_reuse(platform: &str, image: &nydus_convert::ImageReport) {
    let layers = image.layers.iter().filter(|layer| layer.from_store).count();
    let copied: u64 = image.layers.iter().map(|layer| layer.copied_chunks).sum();
    if layers > 0 || copied > 0 {
        eprintln!("{platform}: {layers} layers and {copied} chunks of others from the chunk store");
    }
    for shared in image.layers.iter().flat_map(|layer| &layer.shared) {
        let of = shared.image.as_deref().unwrap_or("a layer below");
        let (chunks, saved) = (shared.chunks, show_size(shared.saved_bytes));
        eprintln!("{platform}: {saved} saved by {chunks} chunks of {} ({of})", shared.blob_digest);
    }
}

fn run_to_oci(args: &ToOci) -> Result<ExitCode> {
    let options = args.options()?;
    let stop = signals::stop_on_signals().context("cannot listen to signals")?;
    let (source_name, target_name) = (lower::reference(&args.source)?, lower::reference(&args.target)?);
    if !args.force {
        overwriting::check(Makes::Oci, &source_name, &target_name, &args.registries.target())?;
    }
    let source = open_source(&source_name, &args.registries.source())?;
    let sink = open_sink(&target_name, &source_name, &args.registries.target())?;
    let observer = progress::display(&args.output);
    let run = Run::new(args.bounds(), observer.as_ref(), &stop);
    let report = to_oci(source.as_ref(), sink, &options, &run)?;
    if let Some(file) = &args.digest_file {
        fs::write(file, &report.digest).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if !args.output.quiet {
        summarise_restored(&report);
    }
    print_result(&args.output, &report, &report.reference)?;
    Ok(ExitCode::SUCCESS)
}

fn summarise_restored(report: &ToOciReport) {
    for image in &report.images {
        let platform = image.platform.as_deref().unwrap_or("image");
        match image.action {
            Restoration::Carried => eprintln!("{platform}: unchanged"),
            Restoration::Exact => {
                eprintln!("{platform}: {} layers, all as they were, bit for bit", image.layers.len());
            }
            Restoration::Rebuilt => {
                let tars = image.layers.iter().filter(|layer| layer.exact_tar).count();
                eprintln!(
                    "{platform}: {} layers made anew, {tars} of them with the original tar; the digest is new",
                    image.layers.len()
                );
            }
        }
    }
    if report.exact {
        eprintln!("the digest is the original's: {}", report.digest);
    }
}

fn run_check(args: &Check) -> Result<ExitCode> {
    let name = lower::reference(&args.image)?;
    let source = open_source(&name, &args.registry.source())?;
    let observer = progress::display(&args.output);
    let platforms = lower::platforms(&args.platform)?;
    let resources = args.resources.lower(args.registry.common.max_zstd_window());
    let stop = Stop::new();
    let run = Run::new(resources, observer.as_ref(), &stop);
    let report = check(source.as_ref(), &platforms, &run)?;
    if !args.output.quiet {
        summarise_check(&report);
    }
    for problem in &report.problems {
        eprintln!("problem: {problem}");
    }
    print_result(&args.output, &report, &report.reference)?;
    // Verification mismatch.
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn summarise_check(report: &CheckReport) {
    for image in &report.images {
        let platform = image.platform.as_deref().unwrap_or("image");
        eprintln!(
            "{platform}: {} image, {} layers, {} files, {} chunks of {} compared",
            image.kind,
            image.layers,
            image.inodes,
            image.chunks,
            show_size(image.bytes)
        );
    }
}

/// Prints the result alone on stdout.
fn print_result(output: &Output, report: &impl Serialize, reference: &str) -> Result<()> {
    let text = if output.json { serde_json::to_string_pretty(report)? } else { reference.to_owned() };
    print_line(&text)
}

/// Prints a line of the result.
pub fn print_line(text: &str) -> Result<()> {
    writeln!(stdout(), "{text}").map_err(|error| Error::Output(error).into())
}

fn run_inspect(args: &Inspect) -> Result<ExitCode> {
    let name = lower::reference(&args.image)?;
    let source = open_source(&name, &args.registry.source())?;
    let options = InspectOptions {
        platforms: lower::platforms(&args.platform)?,
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

fn run_ls(args: &Look) -> Result<ExitCode> {
    let image = open_image(args)?;
    let mut out = io::BufWriter::new(stdout());
    for listed in image.list(&path(args)?).map_err(Error::from)? {
        let line = if args.json { serde_json::to_string(&listed)? } else { listed.to_string() };
        match writeln!(out, "{line}") {
            // Whoever reads has seen enough, as with `| head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            result => result.map_err(Error::Output)?,
        }
    }
    out.flush().map_err(Error::Output)?;
    Ok(ExitCode::SUCCESS)
}

fn run_cat(args: &Look) -> Result<ExitCode> {
    let image = open_image(args)?;
    match image.cat(&path(args)?, &mut stdout().lock()) {
        Err(ImageError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        result => {
            result.map_err(Error::from)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn path(args: &Look) -> Result<EntryPath> {
    let raw = args.path.as_deref().unwrap_or_default();
    Ok(EntryPath::parse(raw.as_bytes()).map_err(UsageError::BadPath)?)
}

fn open_image(args: &Look) -> Result<nydus_convert::NydusImage> {
    let source = open_source(&lower::reference(&args.image)?, &args.registry.source())?;
    let platform: Option<Platform> =
        args.platform.as_deref().map(|text| text.parse().map_err(UsageError::BadPlatform)).transpose()?;
    Ok(open_nydus(source.as_ref(), platform.as_ref()).map_err(Error::from)?)
}

fn run_man(dir: Option<&Path>) -> Result<ExitCode> {
    match dir {
        Some(dir) => {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
            clap_mangen::generate_to(Cli::command(), dir)
                .with_context(|| format!("cannot write to {}", dir.display()))?;
        }
        None => clap_mangen::Man::new(Cli::command()).render(&mut stdout()).map_err(Error::Output)?,
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
