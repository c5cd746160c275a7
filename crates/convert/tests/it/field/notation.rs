//! Layers in a line: what an entry is, its name, its content or target; `|` between entries, `||` between layers.
//!
//! ```text
//! F name content    D name    L name -> target (symbolic)    H name -> target (hard)    W name (empty file)
//! C name (character device 0:0)    P name (fifo)    G records (global PAX)    X record (PAX, for the next entry)
//! ```
//! A name may be empty. Entries have mode 0644, directories 0755, owner 0:0 and the time 1.

use tar::{EntryType, Header};

use crate::support::tars::Tar;

/// The tars of a line, the lowest layer first.
pub fn layers(line: &str) -> Vec<Vec<u8>> {
    line.split("||").map(layer).collect()
}

fn layer(text: &str) -> Vec<u8> {
    let entries = text.split('|').map(str::trim).filter(|entry| !entry.is_empty());
    entries.fold(Tar::new(), entry).finish()
}

fn entry(tar: Tar, text: &str) -> Tar {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let target = rest.strip_prefix("-> ").unwrap_or_default();
    let plain = |tar: Tar, kind: EntryType, mode: u32, content: &str| {
        let change = |header: &mut Header| {
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_mtime(1);
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        };
        tar.raw(name.as_bytes(), change, content.as_bytes())
    };
    match kind {
        "F" => plain(tar, EntryType::Regular, 0o644, rest),
        "W" => plain(tar, EntryType::Regular, 0o644, ""),
        "D" => plain(tar, EntryType::Directory, 0o755, ""),
        // As some writers have it; Linux makes all of them 0777.
        "L" => plain(tar, EntryType::Symlink, 0o644, ""),
        "H" => plain(tar, EntryType::Link, 0o644, ""),
        "C" => plain(tar, EntryType::Char, 0o644, ""),
        "P" => plain(tar, EntryType::Fifo, 0o644, ""),
        "G" => {
            let record = record(name);
            tar.raw(b"global", |header| header.set_entry_type(EntryType::XGlobalHeader), &record)
        }
        "X" => {
            let (key, value) = name.split_once('=').unwrap();
            tar.pax(&[(key, value.as_bytes())])
        }
        other => panic!("{other} is no kind of entry: {text}"),
    }
}

/// `LENGTH KEY=VALUE` and a line feed; the length counts itself.
fn record(text: &str) -> Vec<u8> {
    let length = (1..)
        .map(|digits| text.len() + 2 + digits)
        .find(|length| length.to_string().len() + text.len() + 2 == *length);
    format!("{} {text}\n", length.unwrap()).into_bytes()
}
