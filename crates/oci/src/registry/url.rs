//! The few things of URLs that registries need: where one leads, and where a `Location` in its answer leads from there.

use std::fmt;

/// Plain or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
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

    /// Where `location` leads from here. On the same authority the scheme stays: a registry behind a proxy that ends
    /// TLS does not know that it is asked over TLS.
    pub fn join(&self, location: &str) -> Option<Self> {
        if location.contains("://") {
            let mut url = Self::parse(location)?;
            if url.authority == self.authority {
                url.scheme = self.scheme;
            }
            return Some(url);
        }
        let location = location.split('#').next().unwrap_or_default();
        if location.starts_with("//") {
            return None;
        }
        let path = if location.starts_with('/') {
            location.to_owned()
        } else {
            let own = self.path.split('?').next().unwrap_or_default();
            let dir = own.rfind('/').map_or("/", |slash| &own[..=slash]);
            format!("{dir}{location}")
        };
        Some(Self { path, ..self.clone() })
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
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
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
        ] {
            assert_eq!(at.join(location).unwrap().to_string(), leads_to, "{location}");
        }
        for location in ["ftp://x/y", "https://user:word@x/y", "https:///y", "//other/y"] {
            assert_eq!(at.join(location), None, "{location}");
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
