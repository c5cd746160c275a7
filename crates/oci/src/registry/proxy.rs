//! Proxies from the environment: `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`, in either case.

use super::url::{Scheme, Url, host_of, is_loopback};

/// Which requests go through which proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Proxies {
    /// For plain requests.
    pub http: Option<String>,
    /// For requests over TLS.
    pub https: Option<String>,
    /// Hosts that are asked directly, in lower case.
    direct: Vec<String>,
}

impl Proxies {
    /// What the environment says, looked up by `get`.
    pub fn from(get: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let found = get(name).or_else(|| get(&name.to_ascii_uppercase()));
            found.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let all = either("all_proxy");
        let list = either("no_proxy").unwrap_or_default().to_ascii_lowercase();
        Self {
            http: either("http_proxy").or_else(|| all.clone()),
            https: either("https_proxy").or(all),
            direct: list.split([',', ' ']).filter(|host| !host.is_empty()).map(str::to_owned).collect(),
        }
    }

    /// Whether a proxy stands between here and `url`. This machine itself is always asked directly.
    pub fn is_direct(&self, url: &Url) -> bool {
        let proxy = match url.scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        proxy.is_none()
            || is_loopback(url.host())
            || self.direct.iter().any(|entry| matches(entry, &url.authority.to_ascii_lowercase()))
    }
}

/// `*`, a host or address, a domain with or without a dot in front; with a port, that port alone.
fn matches(entry: &str, authority: &str) -> bool {
    let host = host_of(authority);
    let entry = match entry.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') && !port.contains(':') && entry.matches(':').count() == 1 => {
            if !authority.ends_with(&format!(":{port}")) {
                return false;
            }
            host_of(entry)
        }
        _ => entry,
    };
    let domain = entry.trim_start_matches("*.").trim_start_matches('.');
    entry == "*" || host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_is_asked_directly() {
        let proxies = Proxies::from(|name| match name {
            "HTTPS_PROXY" => Some("http://proxy:3128".to_owned()),
            "no_proxy" => Some("example.com, .internal,10.0.0.7,reg:5000".to_owned()),
            _ => None,
        });
        assert_eq!(proxies.http, None);
        let direct = |url: &str| proxies.is_direct(&Url::parse(url).unwrap());
        for url in [
            "http://anything",
            "https://example.com",
            "https://a.example.com:8443",
            "https://x.internal",
            "https://10.0.0.7:5000",
            "https://reg:5000",
            "https://127.0.0.1:5000",
            "https://localhost",
        ] {
            assert!(direct(url), "{url}");
        }
        for url in
            ["https://badexample.com", "https://10.0.0.8", "https://reg:5001", "https://registry.example"]
        {
            assert!(!direct(url), "{url}");
        }
        assert!(
            Proxies::from(|name| (name == "no_proxy").then(|| "*".to_owned()))
                .is_direct(&Url::parse("https://x").unwrap())
        );
    }
}
