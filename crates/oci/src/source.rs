//! Where images come from.

use std::io::Read;

use crate::descriptor::Descriptor;
use crate::error::Error;
use crate::range::FileRange;
use crate::reference::Reference;

/// One image or index, and everything it names.
pub trait Source: Send + Sync {
    /// What it is called: for reports and messages.
    fn name(&self) -> &Reference;

    /// The manifest or index that the reference names.
    fn root(&self) -> &Descriptor;

    /// Whether what is not there may be somewhere else: in a registry everything is that an index lists; archives and layouts
    /// often have a part of it.
    fn is_whole(&self) -> bool {
        false
    }

    /// The content of `descriptor` as a stream that is verified on the way: it ends without an error only if
    /// size and digest are right.
    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error>;

    /// The content of `descriptor`, in a file, to be read by ranges. Its length is the declared size; its digest has *not* been verified: for content that carries digests of its parts.
    fn open_file(&self, descriptor: &Descriptor) -> Result<FileRange, Error>;

    /// The verified content of `descriptor`, for small things. More than `limit` bytes are refused unread
    /// ([`Error::TooLarge`]).
    fn read(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        let (digest, size) = (descriptor.digest, descriptor.size);
        if size > limit {
            return Err(Error::TooLarge { digest, size, limit });
        }
        let mut bytes = Vec::new();
        self.open(descriptor)?.read_to_end(&mut bytes).map_err(|source| Error::reading(digest, source))?;
        Ok(bytes)
    }
}
