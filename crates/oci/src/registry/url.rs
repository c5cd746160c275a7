//! The few things of URLs that registries need: where one leads, and where a `Location` in its answer leads from there.

use std::fmt;

/// Plain or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// `scheme://authority/path?query`, absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub scheme: Scheme,
    /// Host, with the port if it is given.
    pub authority: String,
    /// From the first slash on, query included.
    pub path: String,
}

impl Url {
    /// An absolute URL; none if it is of another scheme or has user information, which no registry sends.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let sound = !authority.is_empty() && !authority.contains('@');
        sound.then(|| Self { scheme, authority: authority.to_owned(), path })
    }

    /// The authority as others may spell it too: the host in small letters and without the root's dot, no port that is the
    /// scheme's own.
    fn place(&self) -> String {
        let own = match self.scheme {
            Scheme::Http => ":80",
            Scheme::Https => ":443",
        };
        let authority = self.authority.to_ascii_lowercase();
        let authority = authority.strip_suffix(own).unwrap_or(&authority);
        match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                format!("{}:{port}", host.strip_suffix('.').unwrap_or(host))
            }
            _ => authority.strip_suffix('.').unwrap_or(authority).to_owned(),
        }
    }

    /// Where `location` leads from here (RFC 3986, section 5). On the same authority the scheme stays: a registry behind a
    /// proxy that ends TLS does not know that it is asked over TLS.
    pub fn join(&self, location: &str) -> Option<Self> {
        let location = location.trim().split('#').next().unwrap_or_default();
        let with_scheme = location.find("://").is_some_and(|at| !location[..at].contains(['/', '?']));
        if with_scheme || location.starts_with("//") {
            let scheme = if with_scheme { "" } else { self.scheme.name() };
            let joint = if with_scheme { "" } else { ":" };
            let mut url = Self::parse(&format!("{scheme}{joint}{location}"))?;
            if url.place() == self.place() {
                (url.scheme, url.authority) = (self.scheme, self.authority.clone());
            }
            return Some(url);
        }
        let own = self.path.split('?').next().unwrap_or_default();
        let path = match location.chars().next() {
            Some('/') => location.to_owned(),
            None | Some('?') => format!("{own}{location}"),
            Some(_) => format!("{}{location}", own.rfind('/').map_or("/", |slash| &own[..=slash])),
        };
        Some(Self { path: without_dots(&path), ..self.clone() })
    }

    /// The same with one query parameter more; `value` needs no escaping.
    pub fn with_query(&self, name: &str, value: &str) -> Self {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        Self { path: format!("{}{joint}{name}={value}", self.path), ..self.clone() }
    }

    /// The host without its port, without the brackets of an address.
    pub fn host(&self) -> &str {
        host_of(&self.authority)
    }

    /// Method and path for a message; queries can hold secrets.
    pub fn shown(&self, method: &str) -> String {
        format!("{method} {}", self.path.split('?').next().unwrap_or_default())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority, self.path)
    }
}

/// A path, with its query, without `.` and `..`.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut parts: Vec<&str> = Vec::new();
    let mut names = path.split('/').skip(1).peekable();
    while let Some(name) = names.next() {
        match name {
            "." | ".." => {
                if name == ".." {
                    parts.pop();
                }
                if names.peek().is_none() {
                    parts.push("");
                }
            }
            name => parts.push(name),
        }
    }
    format!("/{}{query}", parts.join("/"))
}

/// The host of `host[:port]`, without the brackets of an address.
pub(super) fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Whether a host is this machine itself.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn locations() {
        let at = Url::parse("https://r.example:5000/v2/a/blobs/uploads/").unwrap();
        for (location, leads_to) in [
            ("/v2/a/blobs/uploads/1?_state=x", "https://r.example:5000/v2/a/blobs/uploads/1?_state=x"),
            ("1", "https://r.example:5000/v2/a/blobs/uploads/1"),
            ("http://r.example:5000/x", "https://r.example:5000/x"),
            ("https://cdn.example/x?sig=1#f", "https://cdn.example/x?sig=1"),
            ("https://cdn.example?x", "https://cdn.example/?x"),
            ("//cdn.example/x", "https://cdn.example/x"),
            ("https://R.Example.:5000/x?u=http://a/b", "https://r.example:5000/x?u=http://a/b"),
            ("?_state=1", "https://r.example:5000/v2/a/blobs/uploads/?_state=1"),
            ("./x?u=http://a/../b", "https://r.example:5000/v2/a/blobs/uploads/x?u=http://a/../b"),
            ("../../y/..", "https://r.example:5000/v2/a/"),
            ("/v2/../../z/.", "https://r.example:5000/z/"),
        ] {
            assert_eq!(at.join(location).unwrap().to_string(), leads_to, "{location}");
        }
        for location in ["ftp://x/y", "https://user:word@x/y", "https:///y", "///y"] {
            assert_eq!(at.join(location), None, "{location}");
        }
        for (own, location) in [
            ("https://r.example/", "https://R.example:443/x"),
            ("https://r.example/", "http://r.example.:80/x"),
            ("https://r.example:443/", "https://r.example/x"),
            ("http://[::1]/", "http://[::1]:80/x"),
        ] {
            let own = Url::parse(own).unwrap();
            assert_eq!(own.join(location), Some(Url { path: "/x".to_owned(), ..own }), "{location}");
        }
        assert_eq!(
            at.with_query("digest", "d").with_query("a", "b").path,
            "/v2/a/blobs/uploads/?digest=d&a=b"
        );
        assert_eq!(at.shown("GET"), "GET /v2/a/blobs/uploads/");
    }

    #[test]
    fn this_machine() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1", "a.localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "example"] {
            assert!(!is_loopback(host), "{host}");
        }
        assert_eq!((host_of("[::1]:5000"), host_of("a:1"), host_of("a")), ("::1", "a", "a"));
    }
}
