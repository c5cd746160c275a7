//! The reference builder and a layer for it.

use std::env;
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::chunk;

/// The reference builder: in `bin/` of the cache of tools, else in `PATH`. Without it the test is skipped, but not in CI.
pub fn builder() -> Option<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let cache = env::var_os("NYDUS_CONVERT_CI_CACHE")
        .map(PathBuf::from)
        .or_else(|| cache.map(|cache| cache.join("nydus-convert-ci")));
    let path = env::var_os("PATH").unwrap_or_default();
    let found = cache
        .map(|cache| cache.join("bin"))
        .into_iter()
        .chain(env::split_paths(&path))
        .map(|dir| dir.join("nydus-image"))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip: nydus-image not found");
        let _ = writeln!(io::stderr(), "SKIP reference blobs: nydus-image not found");
    }
    found
}

/// Files of these sizes: below, at and above the chunk sizes, some with equal content.
pub fn layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (number, length) in
        [1, 17, 4095, 4096, 4097, 9000, 9000, 65_536, 300_000, 1 << 20, (1 << 20) + 1, 2_500_000]
            .into_iter()
            .cycle()
            .take(40)
            .enumerate()
    {
        let seed = chunk(3 + number / 2);
        let content: Vec<u8> = seed.iter().copied().cycle().take(length).collect();
        let mut header = tar::Header::new_ustar();
        header.set_size(length as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, format!("file-{number:02}"), content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}
