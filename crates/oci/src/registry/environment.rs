//! Where this machine and its users keep what they say about registries.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// A variable that is set to something.
pub(super) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The user's home.
pub(super) fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

/// Where the user configures programs.
pub(super) fn config_home() -> Option<PathBuf> {
    variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| home().map(|home| home.join(".config")))
}
