//! What a target's name holds now: a conversion never replaces its source, nor an image by its opposite, unless forced.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nydus_convert::oci::{Reference, RegistryOptions, RegistrySource, Source};
use nydus_convert::{Error, holds_nydus};

use crate::open::open_source;
use crate::usage::UsageError;

/// What a conversion makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Makes {
    /// Nydus images of others.
    Nydus,
    /// Others of Nydus images.
    Oci,
}

/// An error if the target is the source, or holds what this conversion would be made from. What cannot be read is nothing that
/// could be lost.
pub fn check(
    makes: Makes,
    source: &Reference,
    target: &Reference,
    options: &RegistryOptions,
) -> Result<(), UsageError> {
    // Two pipes or streams have no place, and are never the same.
    if place(source).is_some_and(|place_of_source| Some(place_of_source) == place(target)) {
        return Err(UsageError::OntoItself { reference: target.to_string() });
    }
    let held = open(target, options).ok().and_then(|held| holds_nydus(held.as_ref()).ok().flatten());
    match (makes, held) {
        (Makes::Nydus, Some(false)) => Err(UsageError::Replaces {
            target: target.to_string(),
            held: "an OCI image",
            made: "a Nydus image",
        }),
        (Makes::Oci, Some(true)) => Err(UsageError::Replaces {
            target: target.to_string(),
            held: "a Nydus image",
            made: "an OCI image",
        }),
        _ => Ok(()),
    }
}

fn open(target: &Reference, options: &RegistryOptions) -> Result<Box<dyn Source>> {
    match target {
        Reference::Registry(name) => {
            Ok(Box::new(RegistrySource::open_target(name, options).map_err(Error::from)?))
        }
        _ => open_source(target, options),
    }
}

/// Where an image is, however it is spelled.
fn place(reference: &Reference) -> Option<(PathBuf, Option<String>)> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match reference {
        Reference::Registry(name) => {
            let tag = name.tag.clone().or_else(|| name.digest.map(|digest| digest.to_string()));
            Some((PathBuf::from(name.name()), tag))
        }
        Reference::Oci { dir: path, name, .. } | Reference::OciArchive { file: path, name, .. } => {
            Some((real(path), name.clone()))
        }
        _ => None,
    }
}
