//! `store stat | ls | verify | gc | rm | export`.

use std::fmt::Display;
use std::io::{self, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use nydus_convert::Error;
use nydus_convert::store::ChunkStore;
use nydus_convert::store_verbs::{
    ExportOptions, GcOptions, ListOptions, RemoveOptions, VerifyStoreOptions, export, gc, list, remove, stat,
    verify,
};
use serde::Serialize;

use crate::store::{StoreLimit, StoreLocation};
use crate::usage::UsageError;
use crate::{signals, values};

#[derive(Debug, Subcommand)]
pub enum Store {
    /// Show how much the chunk store has
    Stat(Stat),
    /// List the images that the chunk store remembers, or its blobs
    Ls(Ls),
    /// Verify the chunk store; exit code 3 if something is wrong and not repaired
    Verify(Verify),
    /// Remove what ended runs left, and blobs by rules
    Gc(Gc),
    /// Delete images and the blobs that no other image uses; delete blobs
    Rm(Rm),
    /// Write the data blobs of an image into a directory, as files named by their ids
    Export(Export),
}

#[derive(Debug, Args)]
pub struct Common {
    #[command(flatten)]
    pub location: StoreLocation,
    /// Print one JSON object instead of text
    #[arg(long, env = "NYDUS_CONVERT_JSON")]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Stat {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub limit: StoreLimit,
}

#[derive(Debug, Args)]
pub struct Ls {
    /// List blobs instead of images; with --json beside them
    #[arg(long, env = "NYDUS_CONVERT_BLOBS")]
    pub blobs: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// Check a random PERCENT of the chunks instead of all bytes of all blobs
    #[arg(long, value_name = "PERCENT", value_parser = values::percent, env = "NYDUS_CONVERT_SAMPLE")]
    pub sample: Option<u8>,
    /// Forget what is damaged, so that the next conversions make it again
    #[arg(long, env = "NYDUS_CONVERT_REPAIR")]
    pub repair: bool,
    /// First rebuild the index from the stored objects, even if it is unreadable
    #[arg(long, env = "NYDUS_CONVERT_REBUILD")]
    pub rebuild: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Gc {
    /// Never remove this image's blobs; without other rules everything else goes. May be repeated
    #[arg(long, value_name = "IMAGE", env = "NYDUS_CONVERT_KEEP")]
    pub keep: Vec<String>,
    /// Remove blobs that no conversion used for longer, like 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = values::age, env = "NYDUS_CONVERT_MAX_AGE")]
    pub max_age: Option<Duration>,
    /// Remove the blobs that were not used for the longest time, until so many bytes are left
    #[arg(long, value_name = "SIZE", value_parser = values::size, env = "NYDUS_CONVERT_MAX_SIZE")]
    pub max_size: Option<u64>,
    /// Remove nothing, only say what would be
    #[arg(long, env = "NYDUS_CONVERT_DRY_RUN")]
    pub dry_run: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Rm {
    /// Images by the names they were made as or from, or digests of images and blobs, which may be cut
    #[arg(required = true, value_name = "IMAGE|BLOB")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Export {
    /// The image by the name it was made as or from, or by its digest, which may be cut
    pub image: String,
    /// Where the files go; it is made if it is not there
    pub dir: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

/// Runs one of the verbs.
pub fn run(verb: &Store) -> Result<ExitCode> {
    match verb {
        Store::Stat(Stat { common, limit }) => {
            let dir = common.dir()?;
            let mut report = stat(&common.open()?, &dir)?;
            report.limit = limit.of(&dir);
            common.tell(&report)?;
        }
        Store::Ls(Ls { blobs, common }) => {
            common.tell(&list(&common.open()?, &ListOptions { blobs: *blobs })?)?;
        }
        Store::Verify(args) => return run_verify(args),
        Store::Gc(Gc { keep, max_age, max_size, dry_run, common }) => {
            let (keep, max_age, max_bytes, dry_run) = (keep.clone(), *max_age, *max_size, *dry_run);
            common.tell(&gc(&common.open()?, &GcOptions { keep, max_age, max_bytes, dry_run })?)?;
        }
        Store::Rm(Rm { names, common }) => {
            common.tell(&remove(&common.open()?, &RemoveOptions { names: names.clone() })?)?;
        }
        Store::Export(Export { image, dir, common }) => {
            let stop = signals::stop_on_signals().context("cannot listen to signals")?;
            let options = ExportOptions { image: image.clone(), dir: dir.clone() };
            common.tell(&export(&common.open()?, &options, &stop)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run_verify(args: &Verify) -> Result<ExitCode> {
    let Verify { sample, repair, rebuild, common } = args;
    let store = match rebuild {
        true => ChunkStore::open_to_rebuild(&common.dir()?).map_err(Error::from)?,
        false => common.open()?,
    };
    let options = VerifyStoreOptions { sample: *sample, repair: *repair, rebuild: *rebuild };
    let report = verify(&store, &options)?;
    for problem in &report.problems {
        eprintln!("problem: {problem}");
    }
    common.tell(&report)?;
    // Verification mismatch.
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

impl Common {
    fn dir(&self) -> Result<PathBuf, UsageError> {
        self.location.dir().ok_or(UsageError::NoStoreDirectory)
    }

    fn open(&self) -> Result<ChunkStore> {
        Ok(ChunkStore::open_existing(&self.dir()?).map_err(Error::from)?)
    }

    fn tell(&self, report: &(impl Serialize + Display)) -> Result<()> {
        let mut out = io::BufWriter::new(stdout());
        let written = match self.json {
            true => serde_json::to_writer_pretty(&mut out, report)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out)),
            false => write!(out, "{report}"),
        };
        match written.and_then(|()| out.flush()) {
            // Whoever reads has seen enough, as with `| head`.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Output(error).into()),
            _ => Ok(()),
        }
    }
}
