//! Layers as other programs compress them.

use super::tools::Tool;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What everything here needs.
pub const TOOLS: [&str; 5] = ["go", "python3", "gzip", "pigz", "zstd"];

/// Go's standard gzip at a level, as docker, containerd and crane use it.
pub fn go(level: u32, tar: &[u8]) -> Vec<u8> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/gogzip.go");
    let mut command = Tool::get("go").command();
    // Any version will do, and none is to be fetched.
    command.arg("run").arg(program).arg(level.to_string()).env("GOTOOLCHAIN", "local");
    through(command, tar)
}

/// Python's gzip, hence zlib.
pub fn python(tar: &[u8]) -> Vec<u8> {
    let program =
        "import gzip, sys; sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read(), 9, mtime=0))";
    filter("python3", &["-c", program], tar)
}

/// A program that compresses its standard input.
pub fn filter(program: &str, args: &[&str], tar: &[u8]) -> Vec<u8> {
    let mut command = Tool::get(program).command();
    command.args(args);
    through(command, tar)
}

/// What a command makes of its standard input.
pub fn through(mut command: Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{command:?}: {}", output.status);
    output.stdout
}
