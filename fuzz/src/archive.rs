//! Any bytes as an image archive: no panic, no memory that the bytes do not have, and what is given was verified.

use std::io::Read;
use std::path::Path;

use super::oci::{DockerArchiveSource, Error, OciArchiveSource, Source, Unpacking};

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    let dir = std::env::temp_dir();
    let path = dir.join(format!("archive-{}-{:?}", std::process::id(), std::thread::current().id()));
    let staging = Unpacking { dir, max_zstd_window: 128 << 20 };
    std::fs::write(&path, bytes).expect("a temporary file");
    read(OciArchiveSource::open(&path, None, None, &staging), &path);
    for name in [None, Some("@1"), Some("busybox:1.0")] {
        read(DockerArchiveSource::open(&path, name, &staging), &path);
    }
    std::fs::remove_file(&path).expect("our own file");
}

fn read<S: Source>(opened: Result<S, Error>, archive: &Path) {
    let source = match opened {
        Ok(source) => source,
        Err(error) => return assert!(!error.to_string().is_empty(), "{}", archive.display()),
    };
    let root = source.root().clone();
    let mut content = Vec::new();
    if let Ok(mut stream) = source.open(&root)
        && stream.read_to_end(&mut content).is_ok()
    {
        assert_eq!(content.len() as u64, root.size);
        assert_eq!(source.open_file(&root).expect("it was read").size(), root.size);
    }
}
