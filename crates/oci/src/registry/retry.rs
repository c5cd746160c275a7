//! When to try again, and how long to wait: a function of what happened, without a clock and without chance.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How often and how soon something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first one.
    pub times: u32,
    /// Wait before the second try; it doubles from try to try.
    pub delay: Duration,
}

impl Default for Retry {
    /// Three more tries, after 1, 2 and 4 seconds: what skopeo and podman do by default.
    fn default() -> Self {
        Self { times: 3, delay: Duration::from_secs(1) }
    }
}

/// Longest wait of our own choice.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// Longest wait a registry may ask for: who is to wait longer is better told so.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

impl Retry {
    /// How long to wait before try number `next` (the first retry is 1); none if there is none.
    pub(super) fn wait(&self, next: u32, retry_after: Option<Duration>) -> Option<Duration> {
        if next > self.times {
            return None;
        }
        let doubled = self.delay.saturating_mul(1_u32.checked_shl(next - 1).unwrap_or(u32::MAX));
        Some(retry_after.unwrap_or(doubled.min(MAX_DELAY)))
    }
}

/// Whether a request that got this answer may get a better one.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// The wait that `Retry-After` asks for: seconds, or a date, which is compared with the answer's own `Date`.
pub(super) fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let asked = match value.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Duration::from_secs(seconds_of(value)?.saturating_sub(seconds_of(date?)?)),
    };
    Some(asked.min(MAX_RETRY_AFTER))
}

/// Seconds since 1970 of a date like `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, the one form that may be sent).
fn seconds_of(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let [_, day, month, year, time, "GMT"] = date.split_whitespace().collect::<Vec<_>>()[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let (day, year) = (day.parse::<u64>().ok()?, year.parse::<u64>().ok()?);
    let [hours, minutes, seconds] =
        time.splitn(3, ':').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?[..]
    else {
        return None;
    };
    if !(1970..=9999).contains(&year)
        || !(1..=31).contains(&day)
        || hours > 23
        || minutes > 59
        || seconds > 60
    {
        return None;
    }
    // Days from 1 March of the year 0: months have 153 days in five, leap days come last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

/// Waits, or less long if `cancelled` is set meanwhile.
pub(super) fn sleep(duration: Duration, cancelled: &AtomicBool) {
    const STEP: Duration = Duration::from_millis(50);
    let mut left = duration;
    while !left.is_zero() && !cancelled.load(Ordering::Relaxed) {
        let step = left.min(STEP);
        thread::sleep(step);
        left = left.saturating_sub(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double() {
        let retry = Retry { times: 9, delay: Duration::from_secs(1) };
        let waits: Vec<_> = (1..=10).map(|next| retry.wait(next, None).map(|wait| wait.as_secs())).collect();
        let expected = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Some);
        assert_eq!(waits, [&expected[..], &[None]].concat());
        assert_eq!(retry.wait(1, Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(Retry { times: 0, ..retry }.wait(1, None), None);
    }

    #[test]
    fn dates() {
        assert_eq!(seconds_of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds_of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds_of("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        for bad in ["", "yesterday", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov 1066 08:49:37 GMT"] {
            assert_eq!(seconds_of(bad), None, "{bad}");
        }
        let after = |value, date| retry_after(value, date).map(|wait| wait.as_secs());
        assert_eq!(after("3", None), Some(3));
        assert_eq!(after("99999", None), Some(300));
        let (then, now) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:30 GMT");
        assert_eq!(after(then, Some(now)), Some(7));
        assert_eq!(after(now, Some(then)), Some(0));
        assert_eq!(after(then, None), None);
    }
}
