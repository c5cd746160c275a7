//! What the user wants of a registry.

use std::path::PathBuf;
use std::time::Duration;

use crate::archive::Unpacking;
use crate::compression::StreamLimits;

use super::credentials::Credentials;
use super::retry::Retry;
use super::url::{Scheme, host_of, is_loopback};

/// How to speak with a registry.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Plain HTTP. Registries on this machine (localhost, 127.0.0.0/8, ::1) are spoken to plainly too, unless one of
    /// the two options for TLS is given, there are certificates for the host, or the port is 443.
    pub plain_http: bool,
    /// TLS, with whatever certificate the registry shows.
    pub insecure: bool,
    /// PEM certificates of authorities to trust, beside the system's; those that this machine keeps for the host do not
    /// count then.
    pub ca_file: Option<PathBuf>,
    /// Who we are. Mirrors are not told what is given here, they get what the environment knows for them.
    pub credentials: Credentials,
    /// Whether what this machine says about hosts counts where the options above say nothing: mirrors and other rules of
    /// `registries.conf`, certificates of `certs.d`.
    pub machine_rules: bool,
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
    /// Largest window of a zstd frame in archives, which are unpacked there.
    pub max_zstd_window: u64,
}

impl RegistryOptions {
    /// Two minutes: registries hash a large blob at its end before they answer.
    pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);
    /// 64 MiB: above the smallest part that registries on object stores take (5 to 16 MiB), and cheap to send again.
    pub(crate) const DEFAULT_PART: u64 = 64 << 20;

    /// How `authority` is spoken to: by what is asked for, else by `place`, what this machine says about it.
    pub(super) fn security(&self, authority: &str, place: Known) -> Security {
        let over_tls = self.ca_file.is_some() || authority.ends_with(":443") || place.certs;
        let (scheme, insecure) = match () {
            () if self.plain_http => (Some(Scheme::Http), self.insecure),
            () if self.insecure => (Some(Scheme::Https), true),
            () if place.insecure && self.ca_file.is_none() => (None, true),
            () if is_loopback(host_of(authority)) && !over_tls => (Some(Scheme::Http), false),
            () => (Some(Scheme::Https), false),
        };
        Security { scheme, insecure }
    }

    /// Where temporary files are made.
    pub(crate) fn staging(&self) -> PathBuf {
        self.staging.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// Where archives are unpacked, and what that may take.
    pub fn unpacking(&self) -> Unpacking {
        Unpacking { dir: self.staging(), max_zstd_window: self.max_zstd_window }
    }
}

/// What this machine says about a host.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// Any certificate will do, and plain HTTP.
    pub insecure: bool,
    /// There are certificates for it.
    pub certs: bool,
}

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Security {
    /// None: TLS if the host knows it.
    pub scheme: Option<Scheme>,
    /// Whatever certificate is shown.
    pub insecure: bool,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            plain_http: false,
            insecure: false,
            ca_file: None,
            credentials: Credentials::default(),
            machine_rules: true,
            retry: Retry::default(),
            timeout: Self::DEFAULT_TIMEOUT,
            part: Self::DEFAULT_PART,
            staging: None,
            max_zstd_window: StreamLimits::DEFAULT_ZSTD_WINDOW,
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
        let trusted = RegistryOptions { ca_file: Some("ca.pem".into()), ..plain.clone() };
        let nothing = Known::default();
        let rule = Known { insecure: true, ..nothing };
        let certs = Known { certs: true, ..nothing };
        for (options, host, known, scheme, any) in [
            (&plain, "localhost:5000", nothing, Some(Scheme::Http), false),
            (&plain, "[::1]:5000", nothing, Some(Scheme::Http), false),
            (&plain, "localhost:443", nothing, Some(Scheme::Https), false),
            (&plain, "r.example:5000", nothing, Some(Scheme::Https), false),
            (&insecure, "localhost:5000", nothing, Some(Scheme::Https), true),
            (&insecure, "r.example", nothing, Some(Scheme::Https), true),
            (&trusted, "localhost:5000", nothing, Some(Scheme::Https), false),
            (&asked, "r.example", nothing, Some(Scheme::Http), false),
            // What this machine says counts where nothing is asked for.
            (&plain, "localhost:5000", certs, Some(Scheme::Https), false),
            (&plain, "localhost:5000", rule, None, true),
            (&plain, "r.example", rule, None, true),
            (&trusted, "r.example", rule, Some(Scheme::Https), false),
            (&insecure, "r.example", rule, Some(Scheme::Https), true),
            (&asked, "r.example", rule, Some(Scheme::Http), false),
            (&asked, "r.example", certs, Some(Scheme::Http), false),
        ] {
            let expected = Security { scheme, insecure: any };
            assert_eq!(options.security(host, known), expected, "{host} {options:?} {known:?}");
        }
    }
}
