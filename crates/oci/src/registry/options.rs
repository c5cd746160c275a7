//! What the user wants of a registry.

use std::path::PathBuf;
use std::time::Duration;

use super::credentials::Credentials;
use super::retry::Retry;
use super::url::{Scheme, host_of, is_loopback};

/// How to speak with a registry.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Plain HTTP. Registries on this machine (localhost, 127.0.0.0/8, ::1) are spoken to plainly too, unless one of
    /// the two options for TLS is given or the port is 443.
    pub plain_http: bool,
    /// TLS, with whatever certificate the registry shows.
    pub insecure: bool,
    /// PEM certificates of authorities to trust, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Who we are.
    pub credentials: Credentials,
    /// When to try again.
    pub retry: Retry,
    /// How long to wait for a connection, and for the next bytes to move.
    pub timeout: Duration,
    /// Blobs up to this many bytes are sent in one request; larger ones in parts of this size, so that a push can go
    /// on where it was cut off. Registries may ask for larger parts.
    pub part: u64,
    /// Directory for what waits to be sent or is read by ranges; the system's if none is given. Files there have no
    /// name and vanish with the process.
    pub staging: Option<PathBuf>,
}

impl RegistryOptions {
    /// Two minutes: registries hash a large blob at its end before they answer.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);
    /// 64 MiB: above the smallest part that registries on object stores take (5 to 16 MiB), and cheap to send again.
    pub const DEFAULT_PART: u64 = 64 << 20;

    pub(super) fn scheme(&self, authority: &str) -> Scheme {
        let over_tls = self.insecure || self.ca_file.is_some() || authority.ends_with(":443");
        if self.plain_http || (is_loopback(host_of(authority)) && !over_tls) {
            Scheme::Http
        } else {
            Scheme::Https
        }
    }

    /// Where temporary files are made.
    pub fn staging(&self) -> PathBuf {
        self.staging.clone().unwrap_or_else(std::env::temp_dir)
    }
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            plain_http: false,
            insecure: false,
            ca_file: None,
            credentials: Credentials::default(),
            retry: Retry::default(),
            timeout: Self::DEFAULT_TIMEOUT,
            part: Self::DEFAULT_PART,
            staging: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_asked_for_or_local() {
        let plain = RegistryOptions::default();
        let insecure = RegistryOptions { insecure: true, ..plain.clone() };
        let asked = RegistryOptions { plain_http: true, ..plain.clone() };
        for (options, host, scheme) in [
            (&plain, "localhost:5000", Scheme::Http),
            (&plain, "[::1]:5000", Scheme::Http),
            (&plain, "localhost:443", Scheme::Https),
            (&plain, "r.example:5000", Scheme::Https),
            (&insecure, "localhost:5000", Scheme::Https),
            (&insecure, "r.example", Scheme::Https),
            (&asked, "r.example", Scheme::Http),
        ] {
            assert_eq!(options.scheme(host), scheme, "{host}");
        }
    }
}
