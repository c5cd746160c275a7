//! `regz FILE.gz`: which encoder made the file, how small the recipe is, and whether the file can be made again.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use flate2::bufread::MultiGzDecoder;
use nydus_convert_recompress::{Recipe, identify, replay};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: regz FILE.gz")?;
    let threads = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let Some(recipe) = identify(|| File::open(&path), threads)? else {
        println!("made by an encoder that is not known");
        return Ok(());
    };
    let bytes = recipe.write();
    println!("{}: {} members, a recipe of {} bytes", recipe.method(), recipe.member_count(), bytes.len());

    // As if only the plain bytes and the recipe were left.
    let plain = MultiGzDecoder::new(BufReader::new(File::open(&path)?)).take(recipe.plain_len());
    let mut same = Same(BufReader::new(File::open(&path)?));
    let replayed = replay(&Recipe::parse(&bytes)?, plain, &mut same, threads)?;
    println!("{} plain bytes gave the same {} bytes again", replayed.plain, replayed.stored);
    Ok(())
}

/// Fails when it is given other bytes than those of the file.
struct Same(BufReader<File>);

impl Write for Same {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut original = vec![0; bytes.len()];
        self.0.read_exact(&mut original)?;
        if original == bytes { Ok(bytes.len()) } else { Err(io::Error::other("the bytes differ")) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
