//! What callers read: the JSON of an operation, and the version.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use nydus_convert::LossReport;
use nydus_convert::rafs::{BlobName, Image};
use serde::Serialize;

use crate::print::print_line;
use crate::streams;

/// What callers take for the builder's version: they look for a `v`.
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"), "-nydus-convert");

/// The JSON of an operation, with the reference builder's keys.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    version: &'static str,
    bootstrap: String,
    blobs: Vec<String>,
    external_bootstrap: String,
    external_blobs: Vec<String>,
    trace: Trace,
    fs_version: String,
    compressor: String,
}

/// Times depend on the machine: there are none.
#[derive(Debug, Default, Serialize)]
struct Trace {
    consumed_time: std::collections::BTreeMap<String, f64>,
    registered_events: std::collections::BTreeMap<String, u64>,
}

impl Outcome {
    /// Of a bootstrap with these blobs; an empty name is a bootstrap inside its blob.
    pub fn new(
        bootstrap: &Path,
        blobs: Vec<String>,
        version: impl ToString,
        compressor: impl ToString,
    ) -> Self {
        Self {
            version: VERSION,
            bootstrap: bootstrap.display().to_string(),
            blobs,
            fs_version: version.to_string(),
            compressor: compressor.to_string(),
            ..Self::default()
        }
    }

    /// Of a bootstrap.
    pub fn of_image(bootstrap: &Path, image: &Image, version: impl ToString) -> Self {
        let compressor = format!("{:?}", image.compressor).to_lowercase();
        let compressor = if compressor == "lz4block" { "lz4_block".to_owned() } else { compressor };
        Self::new(bootstrap, image.blobs.iter().map(|blob| id(blob.name)).collect(), version, compressor)
    }

    /// Writes it where the caller wants it.
    pub fn write(&self, path: Option<&Path>) -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        streams::write(path, serde_json::to_string_pretty(self)?.as_bytes())
    }
}

/// The id of a blob as text.
pub fn id(name: BlobName) -> String {
    match name {
        BlobName::Id(id) => id.to_string(),
        // As the format spells a name that is not known yet.
        BlobName::ThisBlob => "x".repeat(64),
    }
}

/// What callers look for in the output of `--version`.
pub fn print_version() -> Result<ExitCode> {
    print_line(&format!("Version: \t{VERSION}"))?;
    print_line("Git Commit: \tunknown")?;
    print_line("Build Time: \tunknown")?;
    print_line("Profile: \tunknown")?;
    print_line("Rustc: \t\tunknown")?;
    Ok(ExitCode::SUCCESS)
}

/// Callers do not know of losses: they are told where people look.
pub fn warn(losses: &[LossReport]) {
    for loss in losses {
        tracing::warn!("{}: {}", loss.path, loss.problem);
    }
}
