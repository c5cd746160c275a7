//! `ls` and `cat`.

use std::io::{self, Write, stdout};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use nydus_convert::oci::Platform;
use nydus_convert::rafs::EntryPath;
use nydus_convert::{Error, ImageError, NydusImage, open_nydus};

use crate::open::open_source;
use crate::registries::Registry;
use crate::usage::{self, UsageError};

#[derive(Debug, Args)]
pub struct Look {
    /// Image to look into
    pub image: String,
    /// Path inside the image [default: the root]
    pub path: Option<std::ffi::OsString>,
    /// Which image of an index [default: the one for this machine]
    #[arg(long, env = "NYDUS_CONVERT_PLATFORM")]
    pub platform: Option<String>,
    /// Print one JSON object per line
    #[arg(long, env = "NYDUS_CONVERT_JSON")]
    pub json: bool,
    #[command(flatten)]
    pub registry: Registry,
}

/// Lists files.
pub fn ls(args: &Look) -> Result<ExitCode> {
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

/// Prints a file.
pub fn cat(args: &Look) -> Result<ExitCode> {
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

fn open_image(args: &Look) -> Result<NydusImage> {
    let source = open_source(&usage::reference(&args.image)?, &args.registry.source())?;
    let platform: Option<Platform> =
        args.platform.as_deref().map(|text| text.parse().map_err(UsageError::BadPlatform)).transpose()?;
    Ok(open_nydus(source.as_ref(), platform.as_ref()).map_err(Error::from)?)
}
