//! Completion scripts, run by the shells that they are for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::{TempDir, tempdir};

use crate::support::cli::ok;
use crate::support::tools::require;

/// What bash calls when a key is pressed after `$@`; the last word is what was begun.
const BASH: &str = r#"
source "$1"; shift
function=$(complete -p nydus-convert | sed 's/.* -F \([^ ]*\) .*/\1/')
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
$function "$1" "${@: -1}" "${@: -2:1}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

const FISH: &str = r#"source $argv[1]; complete -C "$argv[2..]""#;

/// A terminal in which a key is pressed. The word that is waited for is not what was typed.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PROMPT=; fpath=(${1:h} \$fpath); autoload -Uz compinit; compinit -u -D; bindkey '^I' complete-word"
zpty -w shell "echo REA''DY"
zpty -r -m shell shown '*READY*'
zpty -n -w shell "${@[2,-2]}"$'\t'
zpty -r -m shell shown "*${@[-1]}*"
print -r -- $shown
"#;

/// The script for a shell, under the name that zsh looks for.
fn script(dir: &TempDir, shell: &str) -> PathBuf {
    let path = dir.path().join("_nydus-convert");
    fs::write(&path, ok(["completions", shell]).stdout).unwrap();
    path
}

fn words(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

/// What is typed, and what comes of it.
const TYPED: &[(&[&str], &str)] = &[
    (&["nydus-convert", "insp"], "inspect"),
    (&["nydus-convert", "store", "verif"], "verify"),
    (&["nydus-convert", "to-nydus", "--chunk-si"], "--chunk-size"),
    (&["nydus-convert", "mount-cmd", "--platf"], "--platform"),
];

fn bash(script: &Path, typed: &[&str]) -> Vec<String> {
    words(Command::new("bash").arg("-c").arg(BASH).arg("bash").arg(script).args(typed))
}

fn fish(script: &Path, typed: &[&str]) -> Vec<String> {
    words(Command::new("fish").args(["--no-config", "-c", FISH]).arg(script).args(typed))
}

#[test]
fn in_bash_and_fish() {
    require!("bash", "fish");
    let dir = tempdir().unwrap();
    for (shell, complete) in [("bash", bash as fn(&Path, &[&str]) -> Vec<String>), ("fish", fish)] {
        let script = script(&dir, shell);
        for (typed, expected) in TYPED {
            let found = complete(&script, typed);
            assert!(found.iter().any(|word| word == expected), "{shell} {typed:?}: {found:?}");
        }
    }
}

#[test]
fn in_zsh() {
    require!("zsh", "timeout");
    let dir = tempdir().unwrap();
    let script = script(&dir, "zsh");
    for (typed, expected) in TYPED {
        let mut zsh = Command::new("timeout");
        zsh.args(["60", "zsh", "-f", "-c", ZSH, "zsh"]).arg(&script).args(*typed).arg(expected);
        let shown = words(&mut zsh).join(" ");
        assert!(shown.contains(expected), "{typed:?}: {shown}");
    }
}
