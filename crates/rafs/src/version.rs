//! Which version of the format some bytes are, and reading and writing any of them.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use thiserror::Error;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use crate::fit::{self, Loss};
use crate::{Image, Inode, v5, v6};

/// A version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum FsVersion {
    /// The format of its own.
    V5,
    /// The one that is also EROFS.
    #[default]
    V6,
}

impl FsVersion {
    /// The version whose magic number the bytes carry.
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| U32::read_from_prefix(bytes.get(at..)?).ok().map(|(number, _)| number.get());
        if number(0) == Some(v5::layout::MAGIC) && number(4) == Some(v5::layout::VERSION) {
            return Some(Self::V5);
        }
        (number(v6::layout::SUPERBLOCK_OFFSET as usize) == Some(v6::layout::MAGIC)).then_some(Self::V6)
    }

    /// [`v5::fit`] or [`v6::fit`].
    pub fn fit(self, name: Option<&[u8]>, inode: &mut Inode) -> Vec<Loss> {
        match self {
            Self::V5 => fit::fit(name, inode, &v5::CAPACITY),
            Self::V6 => fit::fit(name, inode, &v6::CAPACITY),
        }
    }
}

/// Why an image cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The image cannot be written as v5.
    #[error(transparent)]
    V5(#[from] v5::WriteError),
    /// The image cannot be written as v6.
    #[error(transparent)]
    V6(#[from] v6::WriteError),
}

/// Writes the bootstrap of `image`. Returns its length in bytes.
pub fn write(version: FsVersion, image: &Image, out: &mut impl Write) -> Result<u64, WriteError> {
    Ok(match version {
        FsVersion::V5 => v5::write(image, out)?,
        FsVersion::V6 => v6::write(image, out)?,
    })
}

/// Text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{text}' is not one of 5, 6")]
pub struct FsVersionError {
    /// What was to be parsed.
    pub text: String,
}

impl FromStr for FsVersion {
    type Err = FsVersionError;

    fn from_str(text: &str) -> Result<Self, FsVersionError> {
        match text {
            "5" => Ok(Self::V5),
            "6" => Ok(Self::V6),
            _ => Err(FsVersionError { text: text.to_owned() }),
        }
    }
}

/// `5` or `6`.
impl fmt::Display for FsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V5 => "5",
            Self::V6 => "6",
        })
    }
}

/// Why bytes are no bootstrap of any version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseError {
    /// There is no magic number of a known version.
    #[error("not a RAFS bootstrap of version 5 or 6")]
    Unknown,
    /// Of the kernel's file system, and not of Nydus before its third version.
    #[error(
        "it is EROFS but not RAFS v6: Nydus v3 (RAFS v7), composefs and mkfs.erofs make such; RAFS v5 and v6 are read"
    )]
    OtherErofs,
    /// A v5 bootstrap that cannot be read.
    #[error(transparent)]
    V5(#[from] v5::ReadError),
    /// A v6 bootstrap that cannot be read.
    #[error(transparent)]
    V6(#[from] v6::ReadError),
}

/// Reads a bootstrap of either version.
pub fn parse(bytes: &[u8]) -> Result<(FsVersion, Image), ParseError> {
    let version = FsVersion::detect(bytes).ok_or(ParseError::Unknown)?;
    let image = match version {
        FsVersion::V5 => v5::parse(bytes)?,
        FsVersion::V6 => v6::parse(bytes).map_err(|error| match error {
            v6::ReadError::Superblock { field: v6::ReadError::MARK, .. } => ParseError::OtherErofs,
            error => error.into(),
        })?,
    };
    Ok((version, image))
}
