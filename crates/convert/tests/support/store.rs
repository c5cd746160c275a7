//! Conversions with a chunk store.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::cli::{command, latest};

/// A command for the program that may use chunk stores.
pub fn storing() -> Command {
    let mut command = command();
    command.env_remove("NYDUS_CONVERT_NO_STORE");
    command
}

/// The conversion of `source:latest` to `target:latest` with a store.
pub fn conversion(store: &Path, source: &Path, target: &Path, options: &[&str]) -> Command {
    let mut command = storing();
    command.args(["to-nydus", "--json", "-q", &latest(source), &latest(target), "--store"]);
    command.arg(store).args(options);
    command
}

/// Converts with a store and gives the JSON report.
pub fn convert_with(store: &Path, source: &Path, target: &Path, options: &[&str]) -> Value {
    let output = conversion(store, source, target, options).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The sum of a number of all layers of a report.
pub fn sum(report: &Value, field: &str) -> u64 {
    layers(report).map(|layer| layer[field].as_u64().unwrap()).sum()
}

/// How many layers came from the store whole.
pub fn from_store(report: &Value) -> usize {
    layers(report).filter(|layer| layer["from_store"] == true).count()
}

/// All layers of a report.
pub fn layers(report: &Value) -> impl Iterator<Item = &Value> {
    report["images"].as_array().unwrap().iter().flat_map(|image| image["layers"].as_array().unwrap())
}
