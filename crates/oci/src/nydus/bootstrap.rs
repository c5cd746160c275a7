//! The bootstrap layer: a gzipped tar with the bootstrap, and whatever else travels with it.
//!
//! ```text
//! image/             directory  0755      all root:root, all modified at time zero: the bytes depend on the files alone
//! image/image.boot   file       0444
//! image/…            file       0444
//! zeros              1024 bytes
//! ```
//! Readers stop at `image/image.boot`, so it comes first.

use std::cell::Cell;
use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use thiserror::Error;

use crate::compression::decompress;
use crate::descriptor::Blob;
use crate::digest::{DiffId, HashingReader, HashingWriter};
use crate::kind::ErrorKind;
use crate::text::excerpt;

use super::{BOOTSTRAP_PATH, LAYERS_PATH, LEGACY_BOOTSTRAP_PATH, ORIGIN_PATH};
use crate::ustar::{self, BLOCK, Block, Entry, TRAILER};

/// The level that Go and most others take when not told otherwise.
const GZIP_LEVEL: u32 = 6;
/// "Unknown operating system" in a gzip header (RFC 1952), as Go writes it.
const GZIP_OS_UNKNOWN: u8 = 255;
/// Sizes of one file that eleven octal digits can hold, in bytes.
const MAX_FILE: u64 = (1 << 33) - 1;
/// Bytes of a name that fit without an extension header.
const MAX_NAME: usize = 100;

/// Plain bytes that a bootstrap layer can hold beside the bootstrap and the origin record: other tools add a
/// copy of each blob's chunk information.
const MAX_OTHER_CONTENT: u64 = 4 << 30;
/// Bytes that are read of a bootstrap however few are stored.
const FREE: u64 = 64 << 20;
/// Bytes that are read beyond that for each stored byte. Bootstraps shrink to a tenth, of nothing but empty files to a
/// twentieth.
const RATIO: u64 = 64;
/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// The most that is read of a bootstrap when so many bytes of its layer were.
const fn most(stored: u64) -> u64 {
    FREE.saturating_add(stored.saturating_mul(RATIO))
}

/// What is wrong with a bootstrap layer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// Not the files were written that were announced.
    #[error("\"{name}\" was announced with {expected} bytes, {actual} were written")]
    WrongSize {
        /// The file.
        name: String,
        /// Announced bytes.
        expected: u64,
        /// Written bytes.
        actual: u64,
    },
    /// A name or size that a plain header cannot hold.
    #[error("\"{name}\" with {size} bytes does not fit into a plain tar header")]
    BadFile {
        /// The file.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// No bootstrap in the layer.
    #[error("the bootstrap layer has no file {BOOTSTRAP_PATH}")]
    Missing,
    /// Two of them: which one counts depends on who reads.
    #[error("the bootstrap layer has \"{path}\" twice")]
    Twice {
        /// The path, escaped.
        path: String,
    },
    /// A link, a directory, … in its place.
    #[error("\"{path}\" in the bootstrap layer is not a regular file")]
    NotAFile {
        /// The path, escaped.
        path: String,
    },
    /// Bytes that compress to nothing: no bootstrap.
    #[error("\"{path}\" in the bootstrap layer has {size} bytes, far more than is stored of them")]
    OutOfProportion {
        /// The file, escaped.
        path: String,
        /// Its length in bytes.
        size: u64,
    },
    /// More bytes than the caller allows.
    #[error("\"{path}\" in the bootstrap layer has {size} bytes; at most {limit} are read")]
    TooLarge {
        /// The path, escaped.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The layer is not a tar.
    #[error("the bootstrap layer is not a tar: no header at byte {offset}")]
    NotATar {
        /// Where a header should be, in bytes of the plain tar.
        offset: u64,
    },
    /// The tar ends too early.
    #[error("the bootstrap layer's tar is truncated at byte {offset}")]
    Truncated {
        /// Its length.
        offset: u64,
    },
    /// Reading or writing failed; a reader's own error is inside.
    #[error("cannot read or write the bootstrap layer")]
    Io(#[from] io::Error),
}

impl BootstrapError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::WrongSize { .. } => ErrorKind::Other,
            Self::Missing
            | Self::Twice { .. }
            | Self::NotAFile { .. }
            | Self::NotATar { .. }
            | Self::Truncated { .. } => ErrorKind::Verification,
            Self::BadFile { .. } | Self::TooLarge { .. } | Self::OutOfProportion { .. } => {
                ErrorKind::ResourceLimit
            }
            Self::Io(error) => ErrorKind::of_io(error),
        }
    }
}

/// A bootstrap layer that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredBootstrap {
    /// Digest and size of the compressed layer.
    pub blob: Blob,
    /// Digest of the plain tar.
    pub diff_id: DiffId,
}

/// Writes a bootstrap layer. The bytes are a function of the names and contents of its files.
pub struct BootstrapWriter<W: Write> {
    tar: PlainTar<W>,
}

type PlainTar<W> = HashingWriter<GzEncoder<HashingWriter<W>>>;

impl<W: Write> BootstrapWriter<W> {
    /// Begins a layer in `out` with a bootstrap of `size` bytes, which `content` writes.
    pub fn new<F>(out: W, size: u64, content: F) -> Result<Self, BootstrapError>
    where
        F: FnOnce(&mut dyn Write) -> io::Result<()>,
    {
        let header = GzBuilder::new().mtime(0).operating_system(GZIP_OS_UNKNOWN);
        let gzip = header.write(HashingWriter::new(out), Compression::new(GZIP_LEVEL));
        let mut writer = Self { tar: HashingWriter::new(gzip) };
        writer.tar.write_all(&ustar::header("image", b'5', 0o755, 0))?;
        writer.file(BOOTSTRAP_PATH, size, content)?;
        Ok(writer)
    }

    /// Adds a file `name` of mode 0444 after the bootstrap.
    pub fn extra(&mut self, name: &str, content: &[u8]) -> Result<(), BootstrapError> {
        self.file(name, content.len() as u64, |out| out.write_all(content))
    }

    fn file<F>(&mut self, name: &str, size: u64, content: F) -> Result<(), BootstrapError>
    where
        F: FnOnce(&mut dyn Write) -> io::Result<()>,
    {
        if name.len() > MAX_NAME || size > MAX_FILE {
            return Err(BootstrapError::BadFile { name: name.to_owned(), size });
        }
        self.tar.write_all(&ustar::header(name, b'0', 0o444, size))?;
        let mut counted = Counted { out: &mut self.tar, count: 0, is_out_of_proportion: false };
        let written = content(&mut counted);
        if counted.is_out_of_proportion {
            return Err(BootstrapError::OutOfProportion { path: name.to_owned(), size });
        }
        written?;
        let actual = counted.count;
        if actual != size {
            return Err(BootstrapError::WrongSize { name: name.to_owned(), expected: size, actual });
        }
        let padding = [0; BLOCK];
        let rest = usize::try_from(padding_after(size)).unwrap_or_default();
        self.tar.write_all(padding.get(..rest).unwrap_or_default())?;
        Ok(())
    }

    /// Ends the layer: the writer that was given, and what was written to it.
    pub fn finish(mut self) -> Result<(W, StoredBootstrap), BootstrapError> {
        self.tar.write_all(&[0; TRAILER])?;
        let (gzip, diff_id, _) = self.tar.finish();
        let (mut out, digest, size) = gzip.finish()?.finish();
        out.flush()?;
        Ok((out, StoredBootstrap { blob: Blob { digest, size }, diff_id: DiffId(diff_id) }))
    }
}

/// Counts the bytes of a file, and stops where no reader would go on.
struct Counted<'a, W: Write> {
    out: &'a mut PlainTar<W>,
    count: u64,
    is_out_of_proportion: bool,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.out.write(buf)?;
        self.count += n as u64;
        // Half of what is read: how far the encoder is behind, readers do not know.
        let stored = self.out.get_ref().get_ref().count();
        self.is_out_of_proportion |= self.count > most(stored) / 2;
        if self.is_out_of_proportion { Err(io::ErrorKind::InvalidData.into()) } else { Ok(n) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What a bootstrap layer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The bootstrap, as the reader of its format takes it.
    pub bytes: Vec<u8>,
    /// Our own record of the source image ([`ORIGIN_PATH`]), if there is one.
    pub origin: Option<Vec<u8>>,
    /// Our own records of the layers ([`LAYERS_PATH`]), if they are here.
    pub layers: Option<Vec<u8>>,
    /// Digest of the plain tar.
    pub diff_id: DiffId,
}

/// Reads the bootstrap layer `layer`, compressed or not, to its end: what a verifying reader says at the end
/// has been said. Neither the bootstrap nor a record of ours may have more than `limit` bytes.
pub fn read_bootstrap(layer: impl Read, limit: u64) -> Result<Bootstrap, BootstrapError> {
    let all = MAX_OTHER_CONTENT.saturating_add(limit.saturating_mul(3));
    let stored = Cell::new(0);
    let layer = Stored { inner: layer, count: &stored };
    let mut tar = Tar { plain: HashingReader::new(decompress(layer, all)?), offset: 0 };
    let (mut found, mut legacy, mut origin, mut layers) = (None, None, None, None);
    while let Some(entry) = tar.next()? {
        let (path, size, is_file) = match entry {
            Entry::File { path, size } => (path, size, true),
            Entry::Other { path, size } => (path, size, false),
            Entry::End => break,
        };
        let slot = match std::str::from_utf8(clean(&path)) {
            Ok(BOOTSTRAP_PATH) => &mut found,
            Ok(LEGACY_BOOTSTRAP_PATH) => &mut legacy,
            Ok(ORIGIN_PATH) => &mut origin,
            Ok(LAYERS_PATH) => &mut layers,
            _ => {
                tar.skip(size)?;
                continue;
            }
        };
        let path = || excerpt(&String::from_utf8_lossy(&path));
        if !is_file {
            return Err(BootstrapError::NotAFile { path: path() });
        }
        if slot.is_some() {
            return Err(BootstrapError::Twice { path: path() });
        }
        if size > limit {
            return Err(BootstrapError::TooLarge { path: path(), size, limit });
        }
        let content = tar.content(size, &stored)?;
        *slot = Some(content.ok_or_else(|| BootstrapError::OutOfProportion { path: path(), size })?);
    }
    let diff_id = tar.finish()?;
    let bytes = found.or(legacy).ok_or(BootstrapError::Missing)?;
    Ok(Bootstrap { bytes, origin, layers, diff_id })
}

/// Counts the stored bytes.
struct Stored<'a, R> {
    inner: R,
    count: &'a Cell<u64>,
}

impl<R: Read> Read for Stored<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}

/// A tar being read, block by block.
struct Tar<R> {
    plain: HashingReader<R>,
    offset: u64,
}

impl<R: Read> Tar<R> {
    /// The next header. None at the end of a tar that has no trailer.
    fn next(&mut self) -> Result<Option<Entry>, BootstrapError> {
        let at = self.offset;
        let mut block: Block = [0; BLOCK];
        let n = self.fill(&mut block)?;
        match n {
            0 => Ok(None),
            BLOCK => ustar::parse(&block).map(Some).ok_or(BootstrapError::NotATar { offset: at }),
            _ => Err(BootstrapError::Truncated { offset: self.offset }),
        }
    }

    /// Reads as many bytes as there are, up to the whole buffer.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, BootstrapError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match crate::verify::read_some(&mut self.plain, rest)? {
                0 => break,
                n => filled += n,
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }

    /// The next `size` bytes and the padding behind them; none if so few stored bytes cannot mean it. The memory grows with
    /// what really arrives.
    fn content(&mut self, size: u64, stored: &Cell<u64>) -> Result<Option<Vec<u8>>, BootstrapError> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            let piece = PIECE.min(size - bytes.len() as u64);
            let n = (&mut self.plain).take(piece).read_to_end(&mut bytes)? as u64;
            self.offset += n;
            if n < piece {
                return Err(BootstrapError::Truncated { offset: self.offset });
            }
            if bytes.len() as u64 > most(stored.get()) {
                return Ok(None);
            }
        }
        self.pass(padding_after(size))?;
        Ok(Some(bytes))
    }

    fn skip(&mut self, size: u64) -> Result<(), BootstrapError> {
        self.pass(size)?;
        self.pass(padding_after(size))
    }

    fn pass(&mut self, size: u64) -> Result<(), BootstrapError> {
        let n = io::copy(&mut (&mut self.plain).take(size), &mut io::sink())?;
        self.offset += n;
        if n < size { Err(BootstrapError::Truncated { offset: self.offset }) } else { Ok(()) }
    }

    /// Reads whatever follows the end and gives the digest of everything.
    fn finish(mut self) -> Result<DiffId, BootstrapError> {
        io::copy(&mut self.plain, &mut io::sink())?;
        Ok(DiffId(self.plain.finish().1))
    }
}

fn padding_after(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// A path without the prefixes that some tools put before it.
fn clean(path: &[u8]) -> &[u8] {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    path.strip_prefix(b"/").unwrap_or(path)
}

impl From<BootstrapError> for io::Error {
    fn from(error: BootstrapError) -> Self {
        match error {
            BootstrapError::Io(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}
