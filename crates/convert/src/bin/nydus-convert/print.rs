//! What is printed: the result alone on stdout, what people read on stderr.

use std::io::{Write, stdout};

use anyhow::Result;
use nydus_convert::{Error, LossReport};
use serde::Serialize;

use crate::args::Output;

/// Losses that are printed one by one; the JSON report has them all.
const SHOWN_LOSSES: usize = 20;

/// What a conversion that succeeded lost, and what it passed over.
pub fn show_report(losses: &[LossReport], notes: &[LossReport], quiet: bool) {
    if !quiet {
        show_losses(losses, "RAFS could not hold");
        show_losses(notes, "note: passed over, as container engines do");
    }
}

/// The first losses of a list under a heading, and the number of the others.
pub fn show_losses(losses: &[LossReport], heading: &str) {
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

/// Prints the result alone on stdout.
pub fn print_result(output: &Output, report: &impl Serialize, reference: &str) -> Result<()> {
    let text = if output.json { serde_json::to_string_pretty(report)? } else { reference.to_owned() };
    print_line(&text)
}

/// Prints a line of the result.
pub fn print_line(text: &str) -> Result<()> {
    writeln!(stdout(), "{text}").map_err(|error| Error::Output(error).into())
}
