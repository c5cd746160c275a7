//! A blob on its way into two places.

use std::io::{self, Write};

use nydus_convert_chunk::store::{NewObject, checksum};

/// What went into the store, and its checksum.
pub(crate) type Copied = (Box<dyn NewObject>, u32);

/// Writes to a sink, and the same into the store; or to one of them alone.
pub(crate) struct Tee<W> {
    inner: Option<W>,
    copy: Option<Box<dyn NewObject>>,
    check: u32,
}

impl<W> Tee<W> {
    /// One of both must be there.
    pub fn new(inner: Option<W>, copy: Option<Box<dyn NewObject>>) -> Self {
        Self { inner, copy, check: 0 }
    }

    /// The sink, and the copy with the CRC-32C of its bytes.
    pub fn into_parts(self) -> (Option<W>, Option<Copied>) {
        (self.inner, self.copy.map(|copy| (copy, self.check)))
    }
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.inner {
            Some(inner) => inner.write(bytes)?,
            None => bytes.len(),
        };
        if let Some(copy) = &mut self.copy {
            let name_it =
                |error: io::Error| io::Error::new(error.kind(), format!("the chunk store: {error}"));
            let bytes = bytes.get(..written).unwrap_or_default();
            copy.write_all(bytes).map_err(name_it)?;
            self.check = checksum(self.check, bytes);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.as_mut().map_or(Ok(()), Write::flush)
    }
}
