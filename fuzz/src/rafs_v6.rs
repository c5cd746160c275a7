//! Bootstraps: the reader takes any bytes, and what it accepts can be shown, written and read again.

use nydus_convert_rafs::dump;
use nydus_convert_rafs::v5;
use nydus_convert_rafs::v6::{self, WriteError};

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    let Ok(image) = v6::parse(bytes) else {
        // What is shown all the same is of the other version.
        assert!(dump::bootstrap(bytes).is_err() || v5::parse(bytes).is_ok());
        return;
    };
    assert!(!dump::image(&image).to_string().is_empty());
    let mut written = Vec::new();
    match v6::write(&image, &mut written) {
        Ok(length) => {
            assert_eq!(length, written.len() as u64);
            let again = v6::parse(&written).expect("what was written is read");
            assert!(again.tree == image.tree);
            let mut twice = Vec::new();
            v6::write(&again, &mut twice).expect("what was read is written");
            assert!(twice == written);
        }
        // Without a chunk table there is nothing to write, and 16 TiB of blobs fit no device.
        Err(WriteError::UnknownChunk { .. } | WriteError::TooLarge) => {}
        Err(error) => panic!("{error}"),
    }
}
