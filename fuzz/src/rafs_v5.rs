//! v5 bootstraps: the reader takes any bytes, and what it accepts can be shown, written and read again.

use nydus_convert_rafs::dump;
use nydus_convert_rafs::v5::{self, WriteError};

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    let checked = v5::check_digests(bytes);
    let Ok(image) = v5::parse(bytes) else {
        assert!(checked.is_err());
        return;
    };
    assert!(!dump::bootstrap(bytes).expect("what is read is shown").to_string().is_empty());
    let mut written = Vec::new();
    match v5::write(&image, &mut written) {
        Ok(length) => {
            assert_eq!(length, written.len() as u64);
            v5::check_digests(&written).expect("what was written has its digests");
            let again = v5::parse(&written).expect("what was written is read");
            let mut twice = Vec::new();
            v5::write(&again, &mut twice).expect("what was read is written");
            assert!(twice == written);
        }
        // Attributes with names that writers refuse, features that v5 cannot have.
        Err(WriteError::Unfit { .. } | WriteError::Blob { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
