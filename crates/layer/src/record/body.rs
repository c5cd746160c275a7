//! Bodies of extension headers: one stream, back to back; the size in the header says how long each is.
//!
//! PAX records are kept as they are. Keys and the digits of times cost hardly more after zstd than numbers in columns
//! of their own would. But a time in the records foretells the header that follows:
//!
//! ```text
//! 30 mtime=1700000000.123456789\n          mtime of the next entry's header: 1700000000
//!          └── digits ──┘
//! ```

use super::bytes::Input;
use super::error::RecordError;

const MTIME: &[u8] = b" mtime=";

/// Writes bodies.
#[derive(Debug, Default)]
pub(super) struct BodyWriter {
    bodies: Vec<u8>,
    /// What they foretell.
    pub mtime: Option<u64>,
}

/// Reads bodies.
#[derive(Debug)]
pub(super) struct BodyReader<'a> {
    bodies: Input<'a>,
    /// What they foretell.
    pub mtime: Option<u64>,
}

impl BodyWriter {
    pub fn push(&mut self, body: &[u8]) {
        self.bodies.extend_from_slice(body);
        self.mtime = foretold_mtime(body).or(self.mtime);
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.bodies.len() as u64
    }

    pub fn stream(&self) -> &[u8] {
        &self.bodies
    }
}

impl<'a> BodyReader<'a> {
    pub fn new(input: &mut Input<'a>) -> Result<Self, RecordError> {
        Ok(Self { bodies: input.stream("bodies")?, mtime: None })
    }

    /// The next body.
    pub fn next(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let body = self.bodies.take(length)?;
        self.mtime = foretold_mtime(body).or(self.mtime);
        Ok(body)
    }
}

/// The digits behind the first ` mtime=`, if they are 1 to 12.
fn foretold_mtime(body: &[u8]) -> Option<u64> {
    let at = body.windows(MTIME.len()).position(|window| window == MTIME)?;
    let value = &body[at + MTIME.len()..];
    let count = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = value[..count].iter().fold(0_u64, |number, digit| {
        // More than 12 digits are of no interest.
        number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
    });
    (1..=12).contains(&count).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foretold() {
        for (body, mtime) in [
            (&b"20 mtime=1700000000.5\n"[..], Some(1_700_000_000)),
            (b"11 atime=1\n11 mtime=2\n11 mtime=3\n", Some(2)),
            (b"11 mtime=-2\n", None),
            (b"11 mtime=", None),
            (b"11 mtime", None),
            (b"xx mtime=999999999999", Some(999_999_999_999)),
            (b"xx mtime=1000000000000", None),
            (b"xx mtime=10000000000000000000000000000", None),
            (b"", None),
        ] {
            assert_eq!(foretold_mtime(body), mtime, "{}", body.escape_ascii());
        }
    }
}
