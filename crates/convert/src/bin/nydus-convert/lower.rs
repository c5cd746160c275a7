//! From arguments to the library's options, once.

use std::path::{Path, PathBuf};
use std::{fs, io, io::Read};

use nydus_convert::oci::{Platform, PlatformError, Reference, ReferenceError};
use nydus_convert::rafs::{FsVersion, PathError};
use nydus_convert::{
    Compression, Fidelity, FsOptions, FsOptionsError, IndexForm, Lacking, Layers, PlatformFilter, Prefetch,
    PrefetchError, Replay, Resources, ToNydusOptions, ToOciOptions,
};
use thiserror::Error;

use crate::args;

/// Arguments that each parse but mean nothing together.
#[derive(Debug, Error)]
pub enum UsageError {
    /// A kind of reference that is only read.
    #[error("{reference}: images are not written there; targets are docker://, oci: and oci-archive:")]
    NoTarget { reference: String },
    /// Options of the format that mean nothing together.
    #[error(transparent)]
    Format(#[from] FsOptionsError),
    /// Text that is no reference.
    #[error(transparent)]
    BadReference(#[from] ReferenceError),
    /// A reference whose blobs are no files of this machine.
    #[error(
        "{reference}: mounting needs the blobs as files; copy the image into a layout and use oci:DIR[:REF]"
    )]
    NotALayout { reference: String },
    /// Text that is no platform.
    #[error(transparent)]
    BadPlatform(#[from] PlatformError),
    /// A path that no file can have.
    #[error(transparent)]
    BadPath(#[from] PathError),
    /// A list of paths that cannot be read.
    #[error("cannot read the paths to fetch first from {}", file.display())]
    PrefetchRead { file: PathBuf, source: io::Error },
    /// A list of paths with a line that is none.
    #[error("the paths to fetch first in {}", file.display())]
    Prefetch { file: PathBuf, source: PrefetchError },
    /// Nothing says where the chunk store is.
    #[error("there is neither HOME nor XDG_CACHE_HOME: name the chunk store by --store")]
    NoStoreDirectory,
    /// A target pinned to a digest that nobody can know yet.
    #[error("{reference}: a target cannot be pinned to a digest")]
    PinnedTarget { reference: String },
    /// A target that is the source.
    #[error(
        "{reference} is the source and the target; give the target another name, or --force to replace the source"
    )]
    OntoItself { reference: String },
    /// A target that holds the opposite of what is made.
    #[error(
        "{target} holds {held}, which {made} would replace; if source and target are swapped, swap them; --force replaces it"
    )]
    Replaces { target: String, held: &'static str, made: &'static str },
    /// A path where a reference is wanted.
    #[error(
        "{problem}; an OCI layout in a directory is oci:{text}, archives are oci-archive:{text} and docker-archive:{text}"
    )]
    LooksLocal { text: String, problem: ReferenceError },
    /// Encryption that is none.
    #[error(
        "--encrypt: the encryption of Nydus blobs uses one IV for everything and keeps the key inside the blob, so it \
         protects nothing; encrypt the storage at rest, or the layers of the OCI image with ocicrypt"
    )]
    Encrypt,
}

impl UsageError {
    /// The reference is understood, and cannot be written to.
    pub fn no_target(reference: &Reference) -> Self {
        Self::NoTarget { reference: reference.to_string() }
    }
}

/// A reference as typed.
pub fn reference(text: &str) -> Result<Reference, UsageError> {
    text.parse().map_err(|error: ReferenceError| {
        // What a reference means never depends on what is on the disk; what may have been meant does.
        let is_local =
            ['.', '/', '~'].iter().any(|start| text.starts_with(*start)) || Path::new(text).exists();
        match is_local {
            true => UsageError::LooksLocal { text: text.to_owned(), problem: error },
            false => error.into(),
        }
    })
}

impl args::ToNydus {
    /// The conversion asked for.
    pub fn options(&self) -> Result<ToNydusOptions, UsageError> {
        Ok(ToNydusOptions {
            fs: self.format.lower()?,
            oci_ref: self.oci_ref,
            tarfs: self.tarfs,
            fidelity: self.fidelity.lower(),
            platforms: platforms(&self.platform)?,
            reuse: self.reuse.lower(),
            prefetch: self.prefetch.lower()?,
            replay: self.replay.lower(),
            index: match self.index {
                args::IndexForm::NydusOnly => IndexForm::NydusOnly,
                args::IndexForm::WithOci => IndexForm::WithOci,
            },
            referrer: self.referrer,
            annotations: self.annotation.clone(),
            tmpdir: self.registries.common.tmpdir.clone(),
        })
    }

    /// The bounds asked for.
    pub fn bounds(&self) -> Resources {
        self.resources.lower(self.registries.common.max_zstd_window())
    }
}

impl args::Format {
    /// The file system asked for.
    pub fn lower(&self) -> Result<FsOptions, UsageError> {
        if self.encrypt {
            return Err(UsageError::Encrypt);
        }
        let fs = FsOptions {
            version: self.fs_version.lower(),
            compression: self.compressor.unwrap_or(match self.kernel_mountable {
                true => Compression::None,
                false => Compression::default(),
            }),
            digester: self.digester,
            chunk_size: self.chunk_size,
            batch_size: self.batch_size,
            aligned_chunks: self.aligned_chunk,
            kernel_mountable: self.kernel_mountable,
        };
        fs.check()?;
        Ok(fs)
    }
}

impl args::Prefetch {
    /// Reads the list.
    pub fn lower(&self) -> Result<Prefetch, UsageError> {
        let Some(file) = self.list.as_ref().filter(|_| self.policy == args::PrefetchPolicy::Fs) else {
            return Ok(Prefetch::default());
        };
        let list = if file.as_os_str() == "-" {
            let mut list = Vec::new();
            io::stdin().lock().read_to_end(&mut list).map(|_| list)
        } else {
            fs::read(file)
        };
        let list = list.map_err(|source| UsageError::PrefetchRead { file: file.clone(), source })?;
        Prefetch::parse(&list).map_err(|source| UsageError::Prefetch { file: file.clone(), source })
    }
}

impl args::FsVersion {
    /// The library's word for it.
    pub fn lower(self) -> FsVersion {
        match self {
            Self::V5 => FsVersion::V5,
            Self::V6 => FsVersion::V6,
        }
    }
}

impl args::Fidelity {
    /// The library's word for it.
    pub fn lower(self) -> Fidelity {
        match self {
            Self::Strict => Fidelity::Strict,
            Self::Warn => Fidelity::Warn,
        }
    }
}

impl args::Replay {
    /// The library's word for it.
    pub fn lower(self) -> Replay {
        match self {
            Self::Auto => Replay::Auto,
            Self::Proven => Replay::Proven,
            Self::Tar => Replay::Tar,
            Self::None => Replay::None,
        }
    }
}

impl args::ToOci {
    /// The conversion asked for.
    pub fn options(&self) -> Result<ToOciOptions, UsageError> {
        // To ask for the originals is to want nothing else.
        let lacking = match self.layers {
            Some(Layers::Original) => Lacking::Refuse,
            _ => Lacking::Add,
        };
        let layers = self.layers.unwrap_or_default();
        Ok(ToOciOptions { layers, lacking, platforms: platforms(&self.platform)? })
    }

    /// The bounds asked for.
    pub fn bounds(&self) -> Resources {
        self.resources.lower(self.registries.common.max_zstd_window())
    }
}

impl args::Resources {
    /// The bounds asked for.
    pub fn lower(&self, max_zstd_window: u64) -> Resources {
        let default = Resources::default();
        let jobs = self.jobs.unwrap_or(default.jobs);
        Resources {
            jobs,
            parallel_layers: self.parallel_layers.unwrap_or_else(|| jobs.min(default.parallel_layers)),
            window_bytes: self
                .max_memory
                .map_or(default.window_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            max_layer_size: self.max_layer_size.unwrap_or(default.max_layer_size),
            max_zstd_window,
            max_metadata: self.max_metadata.unwrap_or(default.max_metadata),
        }
    }
}

/// What a tar or a directory is for that says nothing of a platform: not this machine's, for the same input is the same
/// image everywhere.
pub fn unnamed_platform() -> Platform {
    Platform::new("linux", "amd64")
}

/// `all`, or a list of platforms.
pub fn platforms(text: &str) -> Result<PlatformFilter, UsageError> {
    if text == "all" {
        return Ok(PlatformFilter::All);
    }
    Ok(PlatformFilter::Only(text.split(',').map(str::parse::<Platform>).collect::<Result<_, _>>()?))
}
