//! PAX records, written: `length SP key=value LF`, where the length counts the whole record, itself included.
//!
//! Records stand in order of their keys' bytes, so equal entries give equal bytes.

use std::collections::BTreeMap;

use nydus_convert_rafs::Timestamp;

use crate::xattr::SCHILY;

/// The records of one entry.
#[derive(Debug, Default)]
pub(super) struct Records(BTreeMap<Vec<u8>, Vec<u8>>);

impl Records {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A name or a link's target. Where one is not UTF-8, a record says so, as POSIX wants it; most readers do not care.
    pub fn name(&mut self, key: &str, value: &[u8]) {
        if std::str::from_utf8(value).is_err() {
            self.0.insert(b"hdrcharset".to_vec(), b"BINARY".to_vec());
        }
        self.0.insert(key.into(), value.to_vec());
    }

    pub fn number(&mut self, key: &str, value: u64) {
        self.0.insert(key.into(), value.to_string().into_bytes());
    }

    pub fn mtime(&mut self, time: Timestamp) {
        self.0.insert(b"mtime".to_vec(), decimal_time(time).into_bytes());
    }

    /// An extended attribute, whose name must pass [`is_xattr_name`].
    pub fn xattr(&mut self, name: &[u8], value: &[u8]) {
        self.0.insert([SCHILY, name].concat(), value.to_vec());
    }

    /// The body of the extension header.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (key, value) in &self.0 {
            let length = record_length(key.len() + value.len());
            body.extend_from_slice(length.to_string().as_bytes());
            body.push(b' ');
            body.extend_from_slice(key);
            body.push(b'=');
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        body
    }
}

/// Whether a record can hold an attribute of that name: the first `=` of a record ends its key. GNU tar and bsdtar have
/// escapes for it, each its own, and no container engine reads either.
pub(crate) fn is_xattr_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&b'=') && !name.contains(&0)
}

/// Length of a record with `text` bytes of key and value. More digits make it longer, which may need one more digit.
fn record_length(text: usize) -> usize {
    let bare = text + b" =\n".len();
    let digits = |number: usize| number.checked_ilog10().unwrap_or_default() as usize + 1;
    let guess = bare + digits(bare);
    bare + digits(guess)
}

/// Seconds and, if there is one, the fraction without trailing zeros. The sign holds for both: half a second before
/// 1970 is `-0.5`.
fn decimal_time(time: Timestamp) -> String {
    const NANOS: u128 = 1_000_000_000;
    let total = i128::from(time.seconds) * NANOS as i128 + i128::from(time.nanos);
    let sign = if total < 0 { "-" } else { "" };
    let (seconds, nanos) = (total.unsigned_abs() / NANOS, total.unsigned_abs() % NANOS);
    match nanos {
        0 => format!("{sign}{seconds}"),
        _ => format!("{sign}{seconds}.{}", format!("{nanos:09}").trim_end_matches('0')),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::number::pax_time;

    #[test]
    fn lengths_count_themselves() {
        for text in (0..2000).chain(9_900..10_100).chain(99_900..100_100) {
            let length = record_length(text);
            assert_eq!(length, length.to_string().len() + text + 3, "{text}");
        }
        // At these a digit is added by the digits.
        for (text, length) in
            [(5, 9), (6, 11), (93, 98), (94, 99), (95, 101), (992, 998), (993, 999), (994, 1001)]
        {
            assert_eq!(record_length(text), length, "{text}");
        }
    }

    #[test]
    fn times() {
        for (seconds, nanos, text) in [
            (0, 0, "0"),
            (1, 500_000_000, "1.5"),
            (1, 1, "1.000000001"),
            (-1, 0, "-1"),
            (-1, 500_000_000, "-0.5"),
            (-2, 250_000_000, "-1.75"),
            (i64::MIN, 0, "-9223372036854775808"),
            (i64::MIN, 1, "-9223372036854775807.999999999"),
            (i64::MAX, 999_999_999, "9223372036854775807.999999999"),
        ] {
            let time = Timestamp { seconds, nanos };
            assert_eq!(decimal_time(time), text);
            assert_eq!(pax_time(text.as_bytes()), Some(time), "{text}");
        }
    }

    #[test]
    fn sorted_and_binary_safe() {
        let mut records = Records::default();
        records.number("uid", 3_000_000);
        records.name("path", b"a\xffb");
        records.xattr(b"user.b", b"\0\n10 path=x\n");
        records.xattr(b"user.a", b"");
        let body = b"24 SCHILY.xattr.user.a=\n36 SCHILY.xattr.user.b=\0\n10 path=x\n\n21 hdrcharset=BINARY\n12 path=a\xffb\n15 uid=3000000\n";
        assert_eq!(records.body().escape_ascii().to_string(), body.escape_ascii().to_string());
    }

    #[test]
    fn attribute_names() {
        assert!(is_xattr_name(b"user.\xff\n %41"));
        for name in [&b""[..], b"user.a=b", b"user.\0"] {
            assert!(!is_xattr_name(name));
        }
    }
}
