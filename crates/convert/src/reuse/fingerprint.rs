//! What the bytes of a blob depend on, as text, so that equal text means equal bytes.

use nydus_convert_chunk::store::{ChunkClass, LayerKey as StoredKey};
use nydus_convert_oci::{Algorithm, DiffId, Digest, Hasher};

use crate::options::{FsOptions, ToNydusOptions};
use crate::report::ToolReport;

/// Raised whenever the same input and options give other bytes than before within one version of this program: a store
/// must not give back what an earlier build made. Includes changes of the compression libraries.
const EPOCH: u32 = 1;

/// A layer, and the layers below it if its blob depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LayerIdentity {
    /// Digest of the stored layer.
    pub digest: Digest,
    /// Its stored length.
    pub size: u64,
    /// Digest of its plain tar.
    pub diff_id: DiffId,
    /// Tells the layers below it, if its blob may refer to theirs.
    pub below: Option<Digest>,
}

impl LayerIdentity {
    pub(super) fn key(&self, fingerprint: &str) -> StoredKey {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(self.text().as_bytes());
        hasher.update(fingerprint.as_bytes());
        StoredKey(<[u8; 32]>::try_from(hasher.finish().as_bytes()).unwrap_or_default())
    }

    /// What layers above this one have below them.
    pub fn chain(&self) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(self.text().as_bytes());
        hasher.finish()
    }

    fn text(&self) -> String {
        let below = self.below.map_or_else(|| "-".to_owned(), |below| below.to_string());
        format!("layer {} {} {} {below}\n", self.digest, self.size, self.diff_id)
    }
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
pub(super) fn of_layers(options: &ToNydusOptions) -> String {
    let ToNydusOptions { fs, replay, fidelity, prefetch, resources, .. } = options;
    format!(
        "{}\nreplay {replay:?} fidelity {fidelity:?} largest {}\nprefetch {:?}\n",
        class(fs),
        resources.max_layer_size,
        prefetch.patterns()
    )
}
