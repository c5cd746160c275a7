//! What the reports say, in words.

use std::time::{SystemTime, UNIX_EPOCH};

use nydus_convert_oci::Digest;

const DAY: u64 = 24 * 60 * 60;

/// `sha256:…`
pub(super) fn digest(id: [u8; 32]) -> String {
    Digest::from_sha256(id).to_string()
}

/// A name that some person chose, on one line and without what a terminal would obey.
pub(super) fn printable(name: &str) -> String {
    name.chars().fold(String::with_capacity(name.len()), |mut text, character| {
        match character.is_control() {
            true => text.push_str(&format!("\\x{:02x}", u32::from(character))),
            false => text.push(character),
        }
        text
    })
}

/// Seconds since 1970 as RFC 3339 in UTC. Past the year 9999 it is told as the last second of that year.
pub(super) fn rfc3339(seconds: u64) -> String {
    let seconds = seconds.min(253_402_300_799);
    let (days, rest) = (seconds / DAY, seconds % DAY);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

pub(super) fn rfc3339_of(time: SystemTime) -> String {
    rfc3339(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Year, month and day of a day since 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn terminals_are_not_told_what_to_do() {
        assert_eq!(printable("oci:a\u{1b}[31m\tö:b"), "oci:a\\x1b[31m\\x09ö:b");
    }
}
