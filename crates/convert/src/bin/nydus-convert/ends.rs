//! The two ends of a road: references opened as sources and sinks.

use std::path::Path;

use anyhow::{Context, Result};
use nydus_convert::oci::{
    DockerArchiveSource, LayoutSink, LayoutSource, OciArchiveSink, OciArchiveSource, Reference,
    RegistryOptions, RegistrySink, RegistrySource, Sink, Source,
};
use nydus_convert::{ChunkDictionary, Error};

use crate::lower::{self, UsageError};

/// Opens what a reference leads to.
pub fn open_source(reference: &Reference, options: &RegistryOptions) -> Result<Box<dyn Source>> {
    Ok(match reference {
        Reference::Registry(name) => Box::new(RegistrySource::open(name, options).map_err(Error::from)?),
        Reference::Oci { dir, name, digest } => {
            Box::new(LayoutSource::open(dir, name.as_deref(), digest.as_ref()).map_err(Error::from)?)
        }
        Reference::OciArchive { file, name, digest } => Box::new(
            OciArchiveSource::open(file, name.as_deref(), digest.as_ref(), options.staging())
                .map_err(Error::from)?,
        ),
        Reference::DockerArchive { file, name } => Box::new(
            DockerArchiveSource::open(file, name.as_deref(), options.staging()).map_err(Error::from)?,
        ),
        other => return Err(UsageError::unsupported(other, lower::SOURCE).into()),
    })
}

/// Opens a dictionary: `bootstrap:FILE`, or as the reference builder has it, `bootstrap=FILE`; else a reference.
pub fn open_dictionary(text: &str, options: &RegistryOptions) -> Result<ChunkDictionary> {
    let open = || -> Result<ChunkDictionary> {
        match text.strip_prefix("bootstrap").and_then(|rest| rest.strip_prefix([':', '='])) {
            Some(file) => Ok(ChunkDictionary::of_bootstrap(Path::new(file))?),
            None => Ok(ChunkDictionary::of_images(open_source(&lower::reference(text)?, options)?.into())?),
        }
    };
    open().with_context(|| format!("chunk dictionary {text}"))
}

/// Begins an image under the name that a reference is. `source` is what it will be made from.
pub fn open_sink(
    reference: &Reference,
    source: &Reference,
    options: &RegistryOptions,
) -> Result<Box<dyn Sink>> {
    if reference.digest().is_some() {
        return Err(UsageError::PinnedTarget { reference: reference.to_string() }.into());
    }
    let in_target = |source| Error::Target { reference: reference.to_string(), source };
    Ok(match reference {
        Reference::Registry(name) => {
            let source = match source {
                Reference::Registry(source) => Some(source),
                _ => None,
            };
            Box::new(RegistrySink::create(name, source, options).map_err(in_target)?)
        }
        Reference::Oci { dir, name, .. } => {
            Box::new(LayoutSink::create(dir, name.as_deref()).map_err(in_target)?)
        }
        Reference::OciArchive { file, name, .. } => {
            Box::new(OciArchiveSink::create(file, name.as_deref()).map_err(in_target)?)
        }
        other => return Err(UsageError::unsupported(other, lower::TARGET).into()),
    })
}
