//! Proxies from the environment, by the rules of Go's `golang.org/x/net/http/httpproxy`, which docker, containerd and
//! skopeo follow.
//!
//! ```text
//! HTTP_PROXY, HTTPS_PROXY    for plain requests and for those over TLS; ALL_PROXY for either, which Go does not know
//! NO_PROXY                   commas between:  *   10.0.0.0/8   fd00::/8   10.1.2.3[:PORT]   fd00::1   [fd00::1]:PORT
//!                            example.com[:PORT]   it and what is below     .example.com   *.example.com   below only
//! each                       in capitals first, then in small letters
//! ```

use std::net::IpAddr;

use super::url::{Scheme, Url};

/// Which requests go through which proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Proxies {
    /// For plain requests.
    pub http: Option<String>,
    /// For requests over TLS.
    pub https: Option<String>,
    /// What is asked directly.
    direct: Vec<Direct>,
}

/// One entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Direct {
    All,
    Network { address: IpAddr, bits: u8 },
    Address { address: IpAddr, port: Option<String> },
    Domain { name: String, itself: bool, port: Option<String> },
}

impl Proxies {
    /// What the environment says, looked up by `get`.
    pub fn from(get: impl Fn(&str) -> Option<String>) -> Self {
        let set =
            |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let either = |name: &str| set(name).or_else(|| set(&name.to_ascii_lowercase()));
        let all = either("ALL_PROXY");
        let list = either("NO_PROXY").unwrap_or_default();
        Self {
            http: either("HTTP_PROXY").or_else(|| all.clone()),
            https: either("HTTPS_PROXY").or(all),
            direct: list.split(',').filter_map(Direct::parse).collect(),
        }
    }

    /// The proxy between here and `url`, without credentials; none if there is none. This machine itself is always
    /// asked directly.
    pub fn between(&self, url: &Url) -> Option<&str> {
        let (proxy, port) = match url.scheme {
            Scheme::Http => (&self.http, "80"),
            Scheme::Https => (&self.https, "443"),
        };
        let proxy = proxy.as_deref()?;
        let (host, port) = match split_port(&url.authority) {
            Some((host, port)) => (host, port),
            None => (url.host(), port),
        };
        let address = host.parse().ok().map(|address: IpAddr| address.to_canonical());
        let host = host.to_ascii_lowercase();
        let direct = host == "localhost"
            || address.is_some_and(|address| address.is_loopback())
            || self.direct.iter().any(|entry| entry.names(&host, address, port));
        (!direct).then(|| without_credentials(proxy))
    }
}

/// `host:port` of a proxy's URL.
fn without_credentials(proxy: &str) -> &str {
    let rest = proxy.split_once("://").map_or(proxy, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

impl Direct {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        if entry == "*" {
            return Some(Self::All);
        }
        if let Some((address, bits)) = network(&entry) {
            return Some(Self::Network { address, bits });
        }
        let (host, port) = match split_port(&entry) {
            Some((host, port)) => (host, Some(port.to_owned()).filter(|port| !port.is_empty())),
            None => (entry.as_str(), None),
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Self::Address { address: address.to_canonical(), port });
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let (name, itself) = match host.strip_prefix('.') {
            Some(name) => (name, false),
            None => (host, true),
        };
        (!host.is_empty()).then(|| Self::Domain { name: name.to_owned(), itself, port })
    }

    fn names(&self, host: &str, address: Option<IpAddr>, port: &str) -> bool {
        let at = |wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| wanted == port);
        match self {
            Self::All => true,
            Self::Network { address: network, bits } => {
                address.is_some_and(|address| is_within(address, *network, *bits))
            }
            Self::Address { address: wanted, port } => address == Some(*wanted) && at(port),
            Self::Domain { name, itself, port } => {
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                address.is_none() && (below || *itself && host == name) && at(port)
            }
        }
    }
}

/// `address/bits`.
fn network(entry: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = entry.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    let bits = digits.then(|| bits.parse::<u8>().ok())?.filter(|bits| *bits <= most)?;
    Some((address, bits))
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let differing = u32::from(address) ^ u32::from(network);
            differing.leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let differing = u128::from(address) ^ u128::from(network);
            differing.leading_zeros() >= u32::from(bits)
        }
        _ => false,
    }
}

/// Host and port of `host:port` or `[address]:port`; a colon too many is none (Go's `net.SplitHostPort`).
fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(rest) => Some((rest.strip_suffix(']')?, port)),
        None => (!host.contains([':', '[', ']']) && !port.contains(']')).then_some((host, port)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `NO_PROXY`, a URL, and whether Go's httpproxy asks it directly.
    const CASES: &[(&str, &str, bool)] = &[
        ("", "http://r.example", false),
        // This machine.
        ("", "https://127.0.0.1:5000", true),
        ("", "http://127.9.9.9", true),
        ("", "https://[::1]:5000", true),
        ("", "https://[::ffff:127.0.0.1]:5000", true),
        ("", "https://localhost:5000", true),
        ("", "https://a.localhost", false),
        // Networks.
        ("10.0.0.0/8", "https://10.1.2.3:5000", true),
        ("10.9.9.9/8", "https://10.1.2.3", true),
        ("10.0.0.0/8", "https://11.1.2.3", false),
        ("10.1.2.3/32", "https://10.1.2.3", true),
        ("10.1.2.2/32", "https://10.1.2.3", false),
        ("0.0.0.0/0", "https://8.8.8.8", true),
        ("0.0.0.0/0", "https://[fd00::1]", false),
        ("192.168.0.0/22", "http://192.168.3.255", true),
        ("192.168.0.0/22", "http://192.168.4.0", false),
        ("10.0.0.0/33", "https://10.1.2.3", false),
        ("10.0.0.0/+8", "https://10.1.2.3", false),
        ("fd00::/8", "https://[fd12::5]:5000", true),
        ("FD00::/8", "https://[fd12::5]", true),
        ("fd00::/8", "https://[fe80::5]", false),
        ("10.0.0.0/8", "https://10.example", false),
        // Prefixes in glibc's manner.
        ("10.", "https://10.1.2.3", false),
        ("10.1", "https://10.1.2.3", false),
        // Addresses.
        ("10.1.2.3", "https://10.1.2.3:5000", true),
        ("10.1.2.3:5000", "https://10.1.2.3:5000", true),
        ("10.1.2.3:5000", "https://10.1.2.3:5001", false),
        ("10.1.2.3:443", "https://10.1.2.3", true),
        ("10.1.2.3:80", "https://10.1.2.3", false),
        ("10.1.2.3:80", "http://10.1.2.3", true),
        ("fd00::1", "https://[fd00::1]:5000", true),
        ("[fd00::1]:5000", "https://[fd00::1]:5000", true),
        ("[fd00::1]:5000", "https://[fd00::1]:5001", false),
        ("[fd00::1]", "https://[fd00::1]", false),
        ("::ffff:10.1.2.3", "https://10.1.2.3", true),
        // Names.
        ("example.com", "https://example.com", true),
        ("example.com", "https://a.b.example.com:8443", true),
        ("example.com", "https://badexample.com", false),
        ("EXAMPLE.com", "https://Example.COM", true),
        (".example.com", "https://a.example.com", true),
        (".example.com", "https://example.com", false),
        ("*.example.com", "https://a.example.com", true),
        ("*.example.com", "https://example.com", false),
        ("*example.com", "https://a.example.com", false),
        ("reg:5000", "https://reg:5000", true),
        ("reg:5000", "https://reg:5001", false),
        ("reg:443", "https://reg", true),
        (".example:5000", "https://a.example:5000", true),
        // Lists.
        ("*", "https://r.example", true),
        ("a, *", "https://r.example", true),
        ("x,,  10.0.0.0/8 ,\t.local", "https://10.1.2.3", true),
        ("10.0.0.0/8,.local", "https://reg.local", true),
        ("a.example b.example", "https://b.example", false),
        (":5000", "https://reg:5000", false),
        (",", "https://reg:5000", false),
    ];

    #[test]
    fn direct_and_not() {
        for (list, url, direct) in CASES {
            let proxies = Proxies::from(|name| match name {
                "HTTPS_PROXY" | "HTTP_PROXY" => Some("http://u:p@proxy:3128/".to_owned()),
                "NO_PROXY" => Some((*list).to_owned()),
                _ => None,
            });
            let expected = (!direct).then_some("proxy:3128");
            assert_eq!(proxies.between(&Url::parse(url).unwrap()), expected, "{list} {url}");
        }
    }

    #[test]
    fn capitals_come_first() {
        let proxies = |set: &[(&str, &str)]| {
            let found = Proxies::from(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            });
            (found.http, found.https)
        };
        let some = |text: &str| Some(text.to_owned());
        for (set, http, https) in [
            (&[("HTTP_PROXY", "a"), ("http_proxy", "b")][..], some("a"), None),
            (&[("HTTP_PROXY", " "), ("http_proxy", "b")], some("b"), None),
            (&[("https_proxy", "a"), ("all_proxy", "b")], some("b"), some("a")),
            (&[("ALL_PROXY", "a"), ("all_proxy", "b")], some("a"), some("a")),
        ] {
            assert_eq!(proxies(set), (http, https), "{set:?}");
        }
    }
}
