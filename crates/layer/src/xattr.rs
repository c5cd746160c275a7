//! Extended attributes in PAX records, in both spellings.
//!
//! ```text
//! SCHILY.xattr.NAME=VALUE          star, GNU tar, Go, and so every container engine: name and value as they are
//! LIBARCHIVE.xattr.NAME=VALUE      bsdtar: the name with %XX escapes, the value in base64 without padding
//! ```
//! bsdtar writes both by default, and escapes the name in the first one too (`SCHILY.xattr.user.gr%C3%B6%C3%9Fe`).
//! Taken by the letter that is a second attribute which the file never had; its `LIBARCHIVE` twin tells. Without a twin
//! a percent sign in a `SCHILY` name is just that, as in Go: that GNU tar writes `=` and `%` in names as `%3D` and `%25`
//! is known to GNU tar alone, and engines unpack the name as it stands.
//! Names are not judged here: an empty or unknown one is for whoever builds the tree to refuse.

use nydus_convert_rafs::Xattrs;

pub(crate) const SCHILY: &[u8] = b"SCHILY.xattr.";
pub(crate) const LIBARCHIVE: &[u8] = b"LIBARCHIVE.xattr.";

/// Whether a key names an extended attribute.
pub(crate) fn is_record(key: &[u8]) -> bool {
    key.starts_with(SCHILY) || key.starts_with(LIBARCHIVE)
}

/// Collects attributes, record by record; a later record of a name replaces an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    xattrs: Xattrs,
    /// Those of `LIBARCHIVE` records, to know their twins by.
    libarchive: Xattrs,
}

impl Collector {
    /// Adds what the records of one header say. `SCHILY` records win: they hold the value as it is, and they are what
    /// container engines read.
    pub fn add<'a>(&mut self, records: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone) {
        for (key, value) in records.clone() {
            if let Some(name) = key.strip_prefix(LIBARCHIVE) {
                let (name, value) = (percent_decode(name), base64_decode(value));
                self.libarchive.insert(name.clone(), value.clone());
                self.xattrs.insert(name, value);
            }
        }
        for (key, value) in records {
            if let Some(name) = key.strip_prefix(SCHILY).filter(|name| !self.has_twin(name, value)) {
                self.xattrs.insert(name.to_vec(), value.to_vec());
            }
        }
    }

    pub fn finish(self) -> Xattrs {
        self.xattrs
    }

    /// Whether a `LIBARCHIVE` record holds the same under the name that this one escapes.
    fn has_twin(&self, name: &[u8], value: &[u8]) -> bool {
        name.contains(&b'%') && self.libarchive.get(&percent_decode(name)) == Some(value)
    }
}

/// `%XX` becomes a byte; a `%` without two hexadecimal digits stands for itself, as in libarchive.
fn percent_decode(text: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        let escaped = match after {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &after[2..];
            }
            None => bytes.push(*first),
        }
    }
    bytes
}

/// Standard alphabet, with or without padding. What is outside the alphabet is passed over, as in libarchive.
fn base64_decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let mut bits: u32 = 0;
    let mut count = 0;
    for &byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => continue,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, name) in [
            (&b"user.plain"[..], &b"user.plain"[..]),
            (b"user.a%3Db%25", b"user.a=b%"),
            (b"user.%ff%0a", b"user.\xff\n"),
            (b"100%", b"100%"),
            (b"%4", b"%4"),
            (b"%zz%41", b"%zzA"),
            (b"", b""),
        ] {
            assert_eq!(percent_decode(text), name);
        }
    }

    #[test]
    fn values() {
        for (text, value) in [
            (&b""[..], &b""[..]),
            (b"Zg", b"f"),
            (b"Zg==", b"f"),
            (b"Zm8", b"fo"),
            (b"Zm8=", b"fo"),
            (b"Zm9v", b"foo"),
            (b"Zm9v\nYmFy", b"foobar"),
            (b"AAAKAP//", b"\0\0\n\0\xff\xff"),
            (b"+/+/", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(base64_decode(text), value);
        }
    }

    fn collect(records: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
        let mut collector = Collector::default();
        collector.add(records.iter().map(|(key, value)| (key.as_bytes(), *value)));
        let xattrs = collector.finish();
        xattrs.iter().map(|(name, value)| (name.escape_ascii().to_string(), value.to_vec())).collect()
    }

    #[test]
    fn records() {
        let found = collect(&[
            ("SCHILY.xattr.user.a", b"\0\n"),
            ("SCHILY.xattr.user.both", b"schily"),
            ("LIBARCHIVE.xattr.user.both", b"b3RoZXI"),
            ("LIBARCHIVE.xattr.user.%62", b"AAo"),
            ("SCHILY.acl.access", b"user::rwx"),
        ]);
        let expected: [(&str, &[u8]); 3] =
            [("user.a", b"\0\n"), ("user.b", b"\0\n"), ("user.both", b"schily")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_vec())));
    }

    #[test]
    fn twins() {
        let names = |records: &[(&str, &[u8])]| -> Vec<String> {
            collect(records).into_iter().map(|(name, _)| name).collect()
        };
        let schily: (&str, &[u8]) = ("SCHILY.xattr.user.%41", b"f");
        let plain: (&str, &[u8]) = ("SCHILY.xattr.user.A", b"f");
        assert_eq!(names(&[schily, ("LIBARCHIVE.xattr.user.%41", b"Zg")]), ["user.A"]);
        assert_eq!(names(&[schily, ("LIBARCHIVE.xattr.user.%41", b"Zm8")]), ["user.%41", "user.A"]);
        assert_eq!(names(&[plain, schily]), ["user.%41", "user.A"]);
        assert_eq!(names(&[schily]), ["user.%41"]);
    }
}
