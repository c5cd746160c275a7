//! Files that may be pipes: what is read, and what is written.
//!
//! A pipe or a device takes bytes as they come. A regular file appears under its name when it is complete.

use std::fs::{self, File};
use std::io::{self, Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Stands for stdin and stdout.
const DASH: &str = "-";

/// A stream to read; `-` is stdin.
pub fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    if path == Path::new(DASH) {
        return Ok(Box::new(stdin()));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Box::new(file))
}

/// Where a result goes.
pub enum Target {
    /// stdout, a pipe, a device.
    Stream(Option<PathBuf>),
    /// A file under a name of its own until it is complete.
    File { path: PathBuf, staged: PathBuf },
}

impl Target {
    /// `-` is stdout. Nothing is made yet.
    pub fn new(path: &Path) -> Result<Self> {
        if path == Path::new(DASH) {
            return Ok(Self::Stream(None));
        }
        // The file that a link leads to is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => Ok(Self::Stream(Some(path))),
            _ => {
                let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
                let staged = format!(".{}.{}.unfinished", name.to_string_lossy(), std::process::id());
                Ok(Self::File { staged: path.with_file_name(staged), path })
            }
        }
    }

    /// Whether stdout is taken.
    pub fn is_stdout(&self) -> bool {
        matches!(self, Self::Stream(None))
    }

    /// Opens it; a pipe waits for its reader.
    pub fn open(&self) -> Result<Box<dyn Write + Send>> {
        let (path, file) = match self {
            Self::Stream(None) => return Ok(Box::new(stdout())),
            Self::Stream(Some(path)) => (path, File::options().write(true).open(path)),
            Self::File { staged, path } => (path, File::create_new(staged)),
        };
        Ok(Box::new(file.with_context(|| format!("cannot write {}", path.display()))?))
    }

    /// As [`Target::open`], but a pipe is opened by its first byte. Readers that take the end of a pipe for success learn of
    /// what fails before.
    pub fn open_late(&self) -> Result<Box<dyn Write + Send>> {
        match self {
            Self::Stream(Some(path)) => Ok(Box::new(Late { path: path.clone(), file: None })),
            _ => self.open(),
        }
    }

    /// The result is complete: a file gets its name.
    pub fn publish(self) -> Result<()> {
        let Self::File { path, staged } = &self else { return Ok(()) };
        let publish = || -> io::Result<()> {
            File::open(staged)?.sync_all()?;
            fs::rename(staged, path)
        };
        publish().with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Self::File { staged, .. } = self {
            // After publishing there is none.
            let _ = fs::remove_file(staged);
        }
    }
}

/// A pipe that nothing was written to yet.
struct Late {
    path: PathBuf,
    file: Option<File>,
}

impl Write for Late {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => self.file.insert(File::options().write(true).open(&self.path)?).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}

/// Writes a small result at once.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let target = Target::new(path)?;
    let mut out = target.open()?;
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.with_context(|| format!("cannot write {}", path.display()))?;
    target.publish()
}
