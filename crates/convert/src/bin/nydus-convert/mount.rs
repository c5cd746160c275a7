//! `mount-cmd`: prints the command that mounts an image of a layout with the kernel's EROFS.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use nydus_convert::oci::{Digest, LayoutSource, Platform, Reference};
use nydus_convert::{Error, kernel_mount};

use crate::print::print_line;
use crate::usage::{self, UsageError};

#[derive(Debug, Args)]
pub struct MountCmd {
    /// Image made with --kernel-mountable or --tarfs, in an OCI layout: the blobs are used where they lie
    pub image: String,
    /// Where to write the bootstrap that the command mounts
    #[arg(long, value_name = "FILE", env = "NYDUS_CONVERT_BOOTSTRAP")]
    pub bootstrap: PathBuf,
    /// Where the command mounts
    #[arg(long, value_name = "DIR", default_value = "/mnt", env = "NYDUS_CONVERT_MOUNTPOINT")]
    pub mountpoint: PathBuf,
    /// Which image of an index [default: the one for this machine]
    #[arg(long, env = "NYDUS_CONVERT_PLATFORM")]
    pub platform: Option<String>,
}

impl MountCmd {
    /// Writes the bootstrap and prints the command.
    pub fn run(&self) -> Result<ExitCode> {
        let reference = usage::reference(&self.image)?;
        let Reference::Oci { dir, name, digest } = &reference else {
            return Err(UsageError::NotALayout { reference: self.image.clone() }.into());
        };
        let source =
            LayoutSource::open(dir, name.as_deref(), digest.as_ref()).map_err(nydus_convert::Error::from)?;
        let platform: Option<Platform> =
            self.platform.as_deref().map(|text| text.parse().map_err(UsageError::BadPlatform)).transpose()?;
        let mount = kernel_mount(&source, platform.as_ref()).map_err(Error::from)?;
        self.write_bootstrap(&mount.bootstrap)?;
        let blobs = absolute(Path::new(dir))?.join("blobs");
        let bootstrap = absolute(&self.bootstrap)?;
        print_line(&command(&blobs, &mount.devices, &bootstrap, &absolute(&self.mountpoint)?))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl MountCmd {
    /// Nothing half-written under the final name.
    fn write_bootstrap(&self, bytes: &[u8]) -> Result<()> {
        let cannot = || format!("cannot write {}", self.bootstrap.display());
        let dir = absolute(&self.bootstrap)?.parent().map(Path::to_owned).with_context(cannot)?;
        let mut file = tempfile::NamedTempFile::new_in(dir).with_context(cannot)?;
        file.write_all(bytes).with_context(cannot)?;
        file.persist(&self.bootstrap).with_context(cannot)?;
        Ok(())
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot tell where {} is", path.display()))
}

/// Devices are block devices, so every blob gets a loop device; `mount` makes the bootstrap's own. A device that cannot be
/// made ends the line before anything is mounted.
fn command(blobs: &Path, devices: &[Digest], bootstrap: &Path, mountpoint: &Path) -> String {
    let (mut line, mut options) = (String::new(), String::from("ro"));
    for (number, digest) in devices.iter().enumerate() {
        let blob = blobs.join(digest.to_string().replacen(':', "/", 1));
        line.push_str(&format!("d{number}=$(losetup --find --show --read-only {}) && ", quote(&blob)));
        options.push_str(&format!(",device=$d{number}"));
    }
    format!("{line}mount -t erofs -o \"{options}\" {} {}", quote(bootstrap), quote(mountpoint))
}

/// For a POSIX shell.
fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_quoted() {
        let line = command(Path::new("/a b"), &[], Path::new("/it's"), Path::new("/mnt"));
        assert_eq!(line, r#"mount -t erofs -o "ro" '/it'\''s' '/mnt'"#);
    }
}
