//! Raw bytes for people: names in messages are never lossy and never forge terminal output.

use std::fmt;

/// Shows bytes as text: valid UTF-8 stays, control characters, backslashes and invalid bytes are escaped as `\xNN`.
pub fn display_bytes(bytes: &[u8]) -> impl fmt::Display + '_ {
    Escaped(bytes)
}

struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.utf8_chunks() {
            for c in part.valid().chars() {
                if c.is_control() || c == '\\' {
                    let mut buffer = [0; 4];
                    for byte in c.encode_utf8(&mut buffer).bytes() {
                        write!(f, "\\x{byte:02x}")?;
                    }
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in part.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_is_not_text() {
        for (bytes, text) in [
            (&b"usr/bin"[..], "usr/bin"),
            ("größe".as_bytes(), "größe"),
            (b"a\nb", "a\\x0ab"),
            (b"a\xffb", "a\\xffb"),
            (b"back\\slash", "back\\x5cslash"),
        ] {
            assert_eq!(display_bytes(bytes).to_string(), text);
        }
    }
}
