//! Any bytes as a list of chunks of other blobs: no panic, one form, and no blob that is not there.

use nydus_convert::remembered::foreign_chunks;

/// Blobs of the bootstrap beside the list.
const BLOBS: usize = 3;

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    let Ok(chunks) = foreign_chunks::parse(bytes, BLOBS) else { return };
    assert!(chunks.iter().all(|chunk| usize::from(chunk.at.blob) < BLOBS));
    assert!(foreign_chunks::write(&chunks) == bytes);
}
