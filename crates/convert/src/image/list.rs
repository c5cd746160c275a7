//! Listing the files of a Nydus image.

use std::fmt;

use nydus_convert_oci::{Platform, Source};
use nydus_convert_rafs::{EntryPath, InodeId, InodeKind, Timestamp, Tree, display_bytes};
use serde::Serialize;

use super::error::ImageError;
use super::find::{FoundKind, find_one};
use super::nydus::NydusImage;

/// Opens the Nydus image behind `source`: the only one, or of an index the one for `platform`.
pub fn open_nydus(source: &dyn Source, platform: Option<&Platform>) -> Result<NydusImage, ImageError> {
    match find_one(source, platform)?.kind {
        FoundKind::Nydus(manifest) => NydusImage::open(source, &manifest),
        _ => Err(ImageError::NotNydus { reference: source.name().to_string() }),
    }
}

/// One file of a listing. Printed, it is a line as of `ls -l`; names are never allowed to forge the terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Path from the root, with `\xNN` for what is not text.
    pub path: String,
    /// `dir`, `file`, `symlink`, `char`, `block`, `fifo` or `socket`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Permission bits.
    pub mode: u16,
    /// Number of names.
    pub links: u32,
    /// User id of the owner.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Length of a file's content or of a link's target in bytes.
    pub size: u64,
    /// Modification time in seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds of the modification time.
    pub mtime_nanos: u32,
    /// Target of a symbolic link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Major and minor number of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
    /// Names of the extended attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<String>,
}

impl NydusImage {
    /// The file at `path`, or everything below it if it is a directory, in the order of their paths.
    pub fn list(&self, path: &EntryPath) -> Result<impl Iterator<Item = Listed> + '_, ImageError> {
        let tree = &self.image.tree;
        let missing = || ImageError::NoSuchFile { path: path.clone() };
        let start = tree.resolve(path).map_err(|_| missing())?.ok_or_else(missing)?;
        Ok(list_tree(tree, path.clone(), start).map(|(_, listed)| listed))
    }
}

/// Everything from `start` on, which is at `path`, in the order of the paths.
pub fn list_tree(
    tree: &Tree,
    path: EntryPath,
    start: InodeId,
) -> impl Iterator<Item = (InodeId, Listed)> + '_ {
    let counts = tree.link_counts();
    tree.walk_from(path, start)
        .map(move |entry| (entry.id, listed(tree, &entry.path, entry.id, counts[entry.id.index()])))
}

fn listed(tree: &Tree, path: &EntryPath, id: InodeId, links: u32) -> Listed {
    let inode = tree.inode(id);
    let (kind, size, target, device) = match &inode.kind {
        InodeKind::Directory(_) => ("dir", 0, None, None),
        InodeKind::Regular { size, .. } => ("file", *size, None, None),
        InodeKind::Symlink { target } => {
            ("symlink", target.len() as u64, Some(display_bytes(target).to_string()), None)
        }
        InodeKind::CharDevice(number) => ("char", 0, None, Some((number.major, number.minor))),
        InodeKind::BlockDevice(number) => ("block", 0, None, Some((number.major, number.minor))),
        InodeKind::Fifo => ("fifo", 0, None, None),
        InodeKind::Socket => ("socket", 0, None, None),
    };
    let metadata = &inode.metadata;
    let Timestamp { seconds, nanos } = metadata.mtime;
    Listed {
        path: path.to_string(),
        kind,
        mode: metadata.mode,
        links,
        uid: metadata.uid,
        gid: metadata.gid,
        size,
        mtime: seconds,
        mtime_nanos: nanos,
        target,
        device,
        xattrs: metadata.xattrs.iter().map(|(name, _)| display_bytes(name).to_string()).collect(),
    }
}

impl Listed {
    /// `drwxr-sr-t` and the like.
    fn mode_string(&self) -> String {
        let letter = match self.kind {
            "dir" => 'd',
            "symlink" => 'l',
            "char" => 'c',
            "block" => 'b',
            "fifo" => 'p',
            "socket" => 's',
            _ => '-',
        };
        let mut text = String::from(letter);
        for (shift, special, with, without) in
            [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
        {
            let bits = self.mode >> shift;
            text.push(if bits & 4 != 0 { 'r' } else { '-' });
            text.push(if bits & 2 != 0 { 'w' } else { '-' });
            text.push(match (self.mode & special != 0, bits & 1 != 0) {
                (true, true) => with,
                (true, false) => without,
                (false, true) => 'x',
                (false, false) => '-',
            });
        }
        text
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = match self.device {
            Some((major, minor)) => format!("{major},{minor}"),
            None => self.size.to_string(),
        };
        let (mode, time) = (self.mode_string(), civil_time(self.mtime));
        write!(
            f,
            "{mode} {:>3} {:>5} {:>5} {size:>10} {time} {}",
            self.links, self.uid, self.gid, self.path
        )?;
        self.target.iter().try_for_each(|target| write!(f, " -> {target}"))
    }
}

/// Seconds since 1970 as `YYYY-MM-DD HH:MM` in UTC, by the proleptic Gregorian calendar.
fn civil_time(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01: years that begin in March have the leap day at their end.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", rest / 3600, rest / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00"),
            (951_827_696, "2000-02-29 12:34"),
            (1_700_000_000, "2023-11-14 22:13"),
            (4_107_542_400, "2100-03-01 00:00"),
            (-1, "1969-12-31 23:59"),
        ] {
            assert_eq!(civil_time(seconds), text);
        }
    }

    #[test]
    fn lines() {
        let listed = Listed {
            path: "/usr/bin/su".to_owned(),
            kind: "file",
            mode: 0o4711,
            links: 2,
            uid: 0,
            gid: 4,
            size: 71_912,
            mtime: 0,
            mtime_nanos: 0,
            target: None,
            device: None,
            xattrs: Vec::new(),
        };
        assert_eq!(listed.to_string(), "-rws--x--x   2     0     4      71912 1970-01-01 00:00 /usr/bin/su");
        let link = Listed { kind: "symlink", mode: 0o777, target: Some("dash".to_owned()), ..listed.clone() };
        assert!(link.to_string().starts_with("lrwxrwxrwx") && link.to_string().ends_with(" -> dash"));
        let tmp = Listed { kind: "dir", mode: 0o1776, ..listed.clone() };
        assert_eq!(tmp.mode_string(), "drwxrwxrwT");
        let null = Listed { kind: "char", mode: 0o666, device: Some((1, 3)), ..listed };
        assert!(null.to_string().contains("crw-rw-rw-") && null.to_string().contains(" 1,3 "));
    }
}
