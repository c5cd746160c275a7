//! `WWW-Authenticate`: what a registry wants to see before it answers (RFC 9110, section 11).

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// `basic`, `bearer`, …, in lower case.
    pub scheme: String,
    /// Parameters in the order met, names in lower case.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// All challenges of one header.
    pub fn parse_all(header: &str) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut rest = header;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let end = rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word.is_empty() {
                return all;
            }
            rest = after.trim_start();
            match (rest.strip_prefix('='), all.last_mut()) {
                (Some(value), Some(challenge)) => {
                    let (value, after) = split_value(value.trim_start());
                    challenge.parameters.push((word.to_ascii_lowercase(), value));
                    rest = after;
                }
                (Some(_), None) => return all,
                (None, _) => {
                    all.push(Self { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
                }
            }
        }
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// A token or quoted string, and what stands behind it.
fn split_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn real_ones() {
        let header = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push",error="invalid_token""#;
        let [bearer] = &Challenge::parse_all(header)[..] else { panic!() };
        assert_eq!(bearer.scheme, "bearer");
        assert_eq!(bearer.get("realm"), Some("https://auth.example/token"));
        assert_eq!(bearer.get("scope"), Some("repository:a/b:pull,push"));
        assert_eq!(bearer.get("none"), None);

        let two = Challenge::parse_all(r#"Basic realm="a \"quoted\" one", BEARER Realm=x , service="y,z""#);
        assert_eq!(two.len(), 2);
        assert_eq!(two[0].get("realm"), Some(r#"a "quoted" one"#));
        assert_eq!((two[1].get("realm"), two[1].get("service")), (Some("x"), Some("y,z")));
    }

    #[test]
    fn odd_ones_end() {
        for header in [
            "",
            ",",
            "=",
            "\"",
            "Bearer",
            "Bearer realm",
            "Bearer realm=",
            "Bearer realm=\"x",
            "x=y",
            "Negotiate abc==",
        ] {
            Challenge::parse_all(header);
        }
        assert_eq!(Challenge::parse_all("Bearer realm=\"x\\")[0].get("realm"), Some("x"));
    }
}
