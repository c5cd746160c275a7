//! The two ends of a road: references opened as sources and sinks.

use std::io::{Read, stdin};
use std::path::Path;

use anyhow::{Context, Result};
use nydus_convert::oci::{
    DirSource, DockerArchiveSource, LayerSource, LayoutSink, LayoutSource, OciArchiveSink, OciArchiveSource,
    Platform, Reference, RegistryName, RegistryOptions, RegistrySink, RegistrySource, Sink, Source,
};
use nydus_convert::{ChunkDictionary, Error, Rootfs};

use crate::usage::{self, UsageError};

/// Opens what a reference leads to.
pub fn open_source(reference: &Reference, options: &RegistryOptions) -> Result<Box<dyn Source>> {
    open_source_for(reference, options, &usage::unnamed_platform())
}

/// A layer without an image around it, which can be read as it comes: a pipe, or a directory tree. None of other sources.
pub fn open_stream(reference: &Reference) -> Result<Option<Box<dyn Read + Send>>> {
    Ok(match reference {
        Reference::Tar { file: None } => Some(Box::new(stdin())),
        Reference::Rootfs { dir } => Some(read_rootfs(dir)?),
        _ => None,
    })
}

/// A directory tree as a tar; what cannot be in one is told.
fn read_rootfs(dir: &Path) -> Result<Box<dyn Read + Send>> {
    let rootfs = Rootfs::scan(dir).map_err(Error::from)?;
    for socket in rootfs.sockets() {
        eprintln!("note: {socket} is a socket, which no layer can hold: left out");
    }
    rootfs.into_tar().with_context(|| format!("cannot read {}", dir.display()))
}

/// What may have been meant where an image of Docker Hub cannot be had: its name can be that of a path, too.
fn or_path(error: Error, name: &RegistryName) -> anyhow::Error {
    let path = name.repository.strip_prefix("library/").unwrap_or(&name.repository);
    if name.host != "docker.io" || !Path::new(path).exists() {
        return error.into();
    }
    anyhow::Error::from(error).context(format!(
        "{path} means an image on Docker Hub; the path is oci:{path} (an OCI layout), oci-archive:{path} or docker-archive:{path}"
    ))
}

/// As [`open_source`]; a layer without an image around it becomes an image for `platform`.
pub fn open_source_for(
    reference: &Reference,
    options: &RegistryOptions,
    platform: &Platform,
) -> Result<Box<dyn Source>> {
    let spool =
        |stream: Box<dyn Read + Send>| LayerSource::spool(stream, reference, platform, &options.unpacking());
    Ok(match reference {
        Reference::Dir { dir, digest } => {
            Box::new(DirSource::open(dir, digest.as_ref()).map_err(Error::from)?)
        }
        Reference::Tar { file: Some(file) } => {
            Box::new(LayerSource::open(file, platform, &options.unpacking()).map_err(Error::from)?)
        }
        Reference::Tar { file: None } => Box::new(spool(Box::new(stdin())).map_err(Error::from)?),
        Reference::Rootfs { dir } => Box::new(spool(read_rootfs(dir)?).map_err(Error::from)?),
        Reference::Registry(name) => {
            Box::new(RegistrySource::open(name, options).map_err(|error| or_path(error.into(), name))?)
        }
        Reference::Oci { dir, name, digest } => {
            Box::new(LayoutSource::open(dir, name.as_deref(), digest.as_ref()).map_err(Error::from)?)
        }
        Reference::OciArchive { file, name, digest } => Box::new(
            OciArchiveSource::open(file, name.as_deref(), digest.as_ref(), &options.unpacking())
                .map_err(Error::from)?,
        ),
        Reference::DockerArchive { file, name } => Box::new(
            DockerArchiveSource::open(file, name.as_deref(), &options.unpacking()).map_err(Error::from)?,
        ),
    })
}

/// Opens a dictionary: `bootstrap:FILE`, or as the reference builder has it, `bootstrap=FILE`; else a reference.
pub fn open_dictionary(text: &str, options: &RegistryOptions) -> Result<ChunkDictionary> {
    let open = || -> Result<ChunkDictionary> {
        match text.strip_prefix("bootstrap").and_then(|rest| rest.strip_prefix([':', '='])) {
            Some(file) => Ok(ChunkDictionary::of_bootstrap(Path::new(file)).map_err(Error::from)?),
            None => Ok(ChunkDictionary::of_images(open_source(&usage::reference(text)?, options)?.into())
                .map_err(Error::from)?),
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
        other => return Err(UsageError::no_target(other).into()),
    })
}
