//! Streams that real programs make here and now: recognised, and made again.
//!
//! A program that is missing is a reason to skip, except in CI (`CI=true`).

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use nydus_convert_recompress::identify;
use support::{ONE, PLAIN, check, check_sampled, have, part, run};

fn python(code: &str, plain: &[u8]) -> Vec<u8> {
    let script =
        format!("import sys,gzip,zlib,io\np=sys.stdin.buffer.read()\n{code}\nsys.stdout.buffer.write(o)");
    run("python3", &["-c", &script], plain)
}

#[test]
fn gzip_on_a_file() {
    if !have("gzip", "--version") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layer.tar");
    File::create(&path).unwrap().write_all(&PLAIN).unwrap();
    let stored = run("gzip", &["-c", path.to_str().unwrap()], b"");
    let recipe = check(&stored, "GNU gzip level 6");
    assert!(recipe.write().len() < 60);
}

#[test]
fn gzip_levels() {
    if have("gzip", "--version") {
        for level in [1, 2, 3, 4, 5, 7, 8, 9] {
            let stored = run("gzip", &["-n", &format!("-{level}")], part());
            check(&stored, &format!("GNU gzip level {level}"));
        }
    }
}

#[test]
fn pigz() {
    if have("pigz", "--version") {
        check(&run("pigz", &["-n", "-6"], &PLAIN), "pigz level 6");
        for (args, method) in [
            (&["-n", "-1"][..], "pigz level 1"),
            (&["-9"], "pigz level 9"),
            (&["-n", "-3", "-p", "1"], "pigz level 3, one thread"),
            (&["-n", "-b", "64"], "pigz level 6, 64 KiB units"),
            (&["-n", "-i"], "pigz level 6, independent units"),
        ] {
            check(&run("pigz", args, part()), method);
        }
    }
}

#[test]
fn python_gzip_and_zlib() {
    if have("python3", "--version") {
        check_sampled(&python("o=gzip.compress(p,6,mtime=0)", &PLAIN), "zlib level 6");
        for level in 1..=9 {
            check_sampled(
                &python(&format!("o=gzip.compress(p,{level})"), part()),
                &format!("zlib level {level}"),
            );
        }
        for (code, method) in [
            ("c=zlib.compressobj(6,8,31,9);o=c.compress(p)+c.flush()", "zlib level 6, memory level 9"),
            ("c=zlib.compressobj(4,8,31,7);o=c.compress(p)+c.flush()", "zlib level 4, memory level 7"),
        ] {
            check(&python(code, part()), method);
        }
        let flushes = "c=zlib.compressobj(6,8,31,8);o=b''
for i in range(0,len(p),700001): o+=c.compress(p[i:i+700001])+c.flush(FLUSH)
o+=c.flush()";
        check(&python(&flushes.replace("FLUSH", "zlib.Z_SYNC_FLUSH"), part()), "zlib level 6");
        check(&python(&flushes.replace("FLUSH", "zlib.Z_FULL_FLUSH"), part()), "zlib level 6, full flushes");
        // Flushes without a rule, the last of them behind the sample.
        let odd = "c=zlib.compressobj(5,8,31,8);o=b'';l=0
for i in (100000,100001,3000000,4500000): o+=c.compress(p[l:i])+c.flush(zlib.Z_SYNC_FLUSH);l=i
o+=c.compress(p[l:])+c.flush()";
        check(&python(odd, part()), "zlib level 5");
    }
}

#[test]
fn java() {
    if !have("java", "-version") {
        return;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/encoders/Gzip.java");
    let source = source.to_str().unwrap();
    // A runtime without a compiler cannot run sources.
    if !Command::new("java")
        .args(["--list-modules"])
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("jdk.compiler"))
    {
        support::skip("java has no compiler");
        return;
    }
    check_sampled(&run("java", &[source, "-1"], &PLAIN), "zlib level 6");
    for level in [1, 6, 9] {
        let stored = run("java", &[source, &level.to_string()], part());
        check_sampled(&stored, &format!("zlib level {level}"));
    }
}

#[test]
fn tails() {
    if !have("gzip", "--version") {
        return;
    }
    let stored = run("gzip", &["-n"], &PLAIN[..300_000]);
    let padded = [&stored[..], &vec![0; 1_000_000]].concat();
    assert!(check(&padded, "GNU gzip level 6").write().len() < 40);
    let junk = [&stored[..], b"junk", &[0; 300], &stored[..100]].concat();
    check(&junk, "GNU gzip level 6");
    let too_much = [&stored[..], &PLAIN[..200_000]].concat();
    assert_eq!(identify(|| Ok(&too_much[..]), ONE).unwrap(), None);
}

#[test]
fn damage_and_unknown_encoders() {
    if have("gzip", "--version") {
        let stored = run("gzip", &["-n"], &PLAIN[..300_000]);
        for at in [0, 3, 20, stored.len() / 2, stored.len() - 6] {
            let mut damaged = stored.clone();
            damaged[at] ^= 0x21;
            assert_eq!(identify(|| Ok(&damaged[..]), ONE).unwrap(), None, "{at}");
        }
        assert_eq!(identify(|| Ok(&stored[..stored.len() - 1]), ONE).unwrap(), None);
    }
    // Another implementation of the same algorithm, which nothing here remakes.
    let mut other = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    other.write_all(part()).unwrap();
    let stored = other.finish().unwrap();
    assert_eq!(identify(|| Ok(&stored[..]), ONE).unwrap(), None);
}
