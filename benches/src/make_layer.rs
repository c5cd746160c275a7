//! `make-layer tree|large DIR`: writes the layer of a benchmark as `DIR/layer.tar` and as the OCI layout `DIR/oci`.
//! `make-layer FILE DIR`: writes a layer that is there, a tar or a gzip stream, as the OCI layout `DIR/oci`.

use std::fs;
use std::io::{Error, Result};
use std::path::PathBuf;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, dir] = arguments.as_slice() else {
        return Err(Error::other("usage: make-layer tree|large|FILE DIR"));
    };
    let dir = PathBuf::from(dir);
    fs::create_dir_all(&dir)?;
    let mut tar = Vec::new();
    match kind.as_str() {
        "tree" => benches::write_tree(&mut tar, 80_000, 6 << 10)?,
        "large" => benches::write_large(&mut tar, 1 << 30)?,
        file => return benches::write_layout(&dir.join("oci"), &fs::read(file)?),
    }
    fs::write(dir.join("layer.tar"), &tar)?;
    benches::write_layout(&dir.join("oci"), &tar)
}
