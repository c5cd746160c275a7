//! `nydus-image`: called by that name, this program takes the command lines that callers of the reference builder write.
//!
//! ```text
//!   converter library, nydusify, nerdctl, BuildKit ─► nydus-image create | merge | unpack | check │ --version │ --help
//!                                                         └► args.rs ─► refusals.rs ─► layer_verbs
//! ```
//! What they mean is in `docs/drop-in.md`. Whatever is not supported is refused by name, never ignored.

mod args;
mod check;
mod create;
mod merge;
mod refusals;
mod result;
mod tarfs;
mod unpack;

use std::ffi::OsStr;
use std::io::{self, Read, stdin};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use nydus_convert::Prefetch;
use nydus_convert::rafs::EntryPath;

use crate::logging::{self, LogFormat};
use args::{Cli, Command, LogLevel};
pub use refusals::Refusal;

/// The name that callers know.
const NAME: &str = "nydus-image";
/// A list of files longer than this is none.
const MAX_PATTERNS: u64 = 64 << 20;

/// Whether the program was called by the reference builder's name.
pub fn is_called_so(argument: Option<&OsStr>) -> bool {
    argument.and_then(|argument| Path::new(argument).file_name()) == Some(OsStr::new(NAME))
}

/// Runs one command line.
pub fn run() -> Result<ExitCode> {
    let cli = Cli::parse();
    if cli.version {
        return result::print_version();
    }
    let Some(command) = cli.command else {
        bail!("nydus-image needs a command: create, merge, unpack or check");
    };
    logging::start(cli.log_level.unwrap_or(LogLevel::Warn).filter(), LogFormat::Text);
    if cli.log_file.is_some() {
        return Err(refusals::Refusal::LogFile.into());
    }
    match command {
        Command::Create(args) => create::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Unpack(args) => unpack::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Other(words) => {
            let command = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
            Err(refusals::Refusal::Command { command }.into())
        }
    }
}

/// The patterns that a caller writes to stdin; with no policy nobody writes any.
fn read_patterns(policy: &str) -> Result<Prefetch> {
    match policy {
        "none" => return Ok(Prefetch::default()),
        "fs" => {}
        policy => return Err(refusals::Refusal::PrefetchPolicy { policy: policy.to_owned() }.into()),
    }
    let mut text = Vec::new();
    match stdin().take(MAX_PATTERNS).read_to_end(&mut text) {
        // A closed stdin has no patterns.
        Err(error) if error.kind() != io::ErrorKind::NotConnected && error.raw_os_error() != Some(EBADF) => {
            return Err(error.into());
        }
        _ => {}
    }
    // What the callers' users wrote: a bad line should not fail the image.
    let mut prefetch = Prefetch::default();
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        match Some(line).filter(|line| line.starts_with(b"/")).map(EntryPath::parse) {
            Some(Ok(path)) => prefetch.add(path),
            _ => tracing::warn!("'{}' is no absolute path: not prefetched", line.escape_ascii()),
        }
    }
    Ok(prefetch)
}

/// The error number of a descriptor that is not open.
const EBADF: i32 = 9;
