//! What the bytes of a blob depend on, as text, so that equal text means equal bytes.

use nydus_convert_chunk::store::{ChunkClass, LayerKey as StoredKey};
use nydus_convert_oci::{Algorithm, Hasher};

use crate::layer::converted::LayerIdentity;
use crate::options::{FsOptions, ToNydusOptions};
use crate::report::ToolReport;

/// Raised whenever the same input and options give other bytes than before within one version of this program: a store
/// must not give back what an earlier build made. Includes changes of the compression libraries.
const EPOCH: u32 = 1;

/// What the store finds a layer by.
pub(super) fn key(layer: &LayerIdentity, fingerprint: &str) -> StoredKey {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(layer.text().as_bytes());
    hasher.update(fingerprint.as_bytes());
    StoredKey(<[u8; 32]>::try_from(hasher.finish().as_bytes()).unwrap_or_default())
}

/// What the stored form of chunks depends on, and whether an image can refer to them.
pub(super) fn class(fs: &FsOptions) -> ChunkClass {
    let ToolReport { version, libzstd } = ToolReport::current();
    let FsOptions {
        version: rafs,
        compression,
        digester,
        chunk_size,
        batch_size,
        aligned_chunks,
        kernel_mountable,
    } = fs;
    ChunkClass::new(&format!(
        "nydus-convert {version}.{EPOCH} libzstd {libzstd} rafs {rafs} {compression} {digester} chunk {} batch {batch_size} \
         aligned {aligned_chunks} kernel {kernel_mountable}",
        chunk_size.bytes()
    ))
}

/// What else the blob of a layer depends on.
pub(super) fn of_layers(options: &ToNydusOptions, max_layer_size: u64) -> String {
    let ToNydusOptions { fs, replay, fidelity, prefetch, .. } = options;
    format!(
        "{}\nreplay {replay:?} fidelity {fidelity:?} largest {max_layer_size}\nprefetch {:?}\n",
        class(fs),
        prefetch.patterns()
    )
}
