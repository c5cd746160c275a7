//! What a run of the program takes.

use std::fs;

use super::cli::{Run, end};
use super::tools::Tool;

/// Peak memory in MiB of any verb on any of these inputs.
pub const PEAK: u64 = 256;

/// Seconds of processor time: many times what they take.
pub const SECONDS: f64 = 30.0;

/// A run, its largest resident set in MiB, and its seconds of processor time.
pub struct Measured {
    pub run: Run,
    pub peak: u64,
    pub seconds: f64,
}

pub fn measured(args: &[&str]) -> Measured {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut timed = Tool::get("time").command();
    timed.args(["-f", "%M %U %S", "-o"]).arg(file.path()).arg(env!("CARGO_BIN_EXE_nydus-convert"));
    timed.args(args).env("NYDUS_CONVERT_NO_STORE", "true");
    let run = end(&mut timed);
    let text = fs::read_to_string(file.path()).unwrap();
    // A line about the exit code may come first.
    let numbers: Vec<f64> =
        text.lines().last().unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
    Measured { run, peak: numbers[0] as u64 >> 10, seconds: numbers[1] + numbers[2] }
}
