//! Text from outside, in messages.

/// The beginning of text from outside, escaped, for a message: nobody wants a megabyte or a terminal's
/// control sequences in an error.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    let mut short: String = text.chars().take(MAX_CHARS).collect::<String>().escape_debug().collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_printable() {
        assert_eq!(excerpt("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
        assert_eq!(excerpt(&"x".repeat(1000)).chars().count(), 101);
    }
}
