//! Numbers as tar spells them: octal or base-256 in header fields, decimal in PAX records.
//!
//! The rules are those of Go's `archive/tar`, so a number means here what it means to the container engines.

use nydus_convert_rafs::Timestamp;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// A number in a header field. Octal digits between spaces and NULs, 0 if there are none; or, if the top bit of the
/// first byte is set, a big-endian two's complement number of the remaining bits. `None`: neither, or not in an `i64`.
pub(crate) fn header_number(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let begin = field.iter().position(|byte| !is_blank(byte)).unwrap_or(field.len());
    let digits = field.get(begin..).unwrap_or_default();
    let digits = digits.split(|&byte| byte == 0).next().unwrap_or_default();
    let mut value: i64 = 0;
    for byte in digits.trim_ascii_end() {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value = value.checked_mul(8)?.checked_add(i64::from(digit))?;
    }
    Some(value)
}

fn base_256(field: &[u8]) -> Option<i64> {
    // The bit under the marker is the sign. A negative number is read as the complement of its complement.
    let negative = field.first().is_some_and(|first| first & 0x40 != 0);
    let invert = if negative { 0xff } else { 0 };
    let mut value: i64 = 0;
    for (index, byte) in field.iter().enumerate() {
        let mask = if index == 0 { 0x7f } else { 0xff };
        value = value.checked_mul(256)?.checked_add(i64::from((byte ^ invert) & mask))?;
    }
    Some(if negative { !value } else { value })
}

/// A decimal number, with or without a sign. `None`: not a number, or not in an `i64`.
pub(crate) fn decimal(text: &[u8]) -> Option<i64> {
    // Digits are ASCII, so what is not UTF-8 is not a number; Rust's grammar is the one wanted: [+-]?[0-9]+.
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A PAX time: decimal seconds, optionally a point and a fraction. Digits beyond nanoseconds are cut off, as Go does.
pub(crate) fn pax_time(text: &[u8]) -> Option<Timestamp> {
    let point = text.iter().position(|&byte| byte == b'.').unwrap_or(text.len());
    let (whole, fraction) = text.split_at(point);
    let seconds = decimal(whole)?;
    let mut nanos = 0;
    let mut unit = NANOS_PER_SECOND / 10;
    for byte in fraction.get(1..).unwrap_or_default() {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        nanos += u32::from(digit) * unit;
        unit /= 10;
    }
    // The sign holds for the fraction too ("-0.5" is half a second before 1970), and a timestamp counts upwards.
    if whole.first() == Some(&b'-') && nanos > 0 {
        return Some(Timestamp { seconds: seconds.checked_sub(1)?, nanos: NANOS_PER_SECOND - nanos });
    }
    Some(Timestamp { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"000644 \0", Some(0o644)),
            (b"   644  ", Some(0o644)),
            (b"\0\x00644\0\0\0", Some(0o644)),
            (b"00000644", Some(0o644)),
            (b"77777777777\0", Some(0o77_777_777_777)),
            (b"777777777777", Some(0o777_777_777_777)),
            (b"644\0junk", Some(0o644)),
            (b"", Some(0)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"00008\0", None),
            (b"-1\0", None),
            (b"644 1\0", None),
            (b"7777777777777777777777777", None),
        ] {
            assert_eq!(header_number(field), value, "{field:?}");
        }
    }

    #[test]
    fn base_256_fields() {
        for (field, value) in [
            (&[0x80, 0, 0, 0, 0, 0, 0, 1][..], Some(1)),
            (&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], Some(0xffff_ffff)),
            (&[0xff; 12], Some(-1)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0], Some(-256)),
            (&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Some(i64::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], Some(i64::MIN)),
            (&[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0], None),
            (&[0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], None),
            (&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
            (&[0xbf, 0xff], Some(0x3fff)),
            (&[0xc0, 0], Some(-0x4000)),
        ] {
            assert_eq!(header_number(field), value, "{field:x?}");
        }
    }

    #[test]
    fn decimals() {
        for (text, value) in [
            (&b"0"[..], Some(0)),
            (b"00012", Some(12)),
            (b"+5", Some(5)),
            (b"-5", Some(-5)),
            (b"9223372036854775807", Some(i64::MAX)),
            (b"9223372036854775808", None),
            (b"-9223372036854775808", Some(i64::MIN)),
            (b"", None),
            (b"-", None),
            (b" 1", None),
            (b"1 ", None),
            (b"0x1", None),
            (b"1\xff", None),
        ] {
            assert_eq!(decimal(text), value, "{text:?}");
        }
    }

    #[test]
    fn times() {
        let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
        for (text, value) in [
            (&b"1"[..], at(1, 0)),
            (b"1.", at(1, 0)),
            (b"1.5", at(1, 500_000_000)),
            (b"1.000000001", at(1, 1)),
            (b"1.0000000019999", at(1, 1)),
            (b"-1.5", at(-2, 500_000_000)),
            (b"-0.5", at(-1, 500_000_000)),
            (b"-1", at(-1, 0)),
            (b"-1.0", at(-1, 0)),
            (b"9223372036854775807.999999999", at(i64::MAX, 999_999_999)),
            (b"-9223372036854775808", at(i64::MIN, 0)),
            (b"-9223372036854775808.1", None),
            (b"9223372036854775808", None),
            (b".5", None),
            (b"1.5.5", None),
            (b"1.-5", None),
            (b"1e3", None),
            (b"", None),
        ] {
            assert_eq!(pax_time(text), value, "{text:?}");
        }
    }
}
