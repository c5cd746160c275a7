//! A blob on its way into two places.

use std::io::{self, Write};

use nydus_convert_chunk::store::NewObject;

/// Writes to a sink, and the same into the store.
pub(crate) struct Tee<W> {
    inner: W,
    copy: Option<Box<dyn NewObject>>,
}

impl<W> Tee<W> {
    /// Without a copy it writes to `inner` alone.
    pub fn new(inner: W, copy: Option<Box<dyn NewObject>>) -> Self {
        Self { inner, copy }
    }

    pub fn into_parts(self) -> (W, Option<Box<dyn NewObject>>) {
        (self.inner, self.copy)
    }
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        if let Some(copy) = &mut self.copy {
            let name_it =
                |error: io::Error| io::Error::new(error.kind(), format!("the chunk store: {error}"));
            copy.write_all(bytes.get(..written).unwrap_or_default()).map_err(name_it)?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
